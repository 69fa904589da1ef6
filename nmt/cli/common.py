"""What the commands share: flags that set configuration keys, one-line errors, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import nmt
from bpe.command import Parser, run
from nmt.config import DROPPED, Config
from nmt.configfile import Values, build_config, parse_assignments, read_yaml
from nmt.models.architectures import ARCHITECTURES, LANGUAGE_ARCHITECTURES

__all__ = ["FLAGS", "Parser", "config_from", "make_parser", "overrides", "run"]

FLAGS: dict[str, dict[str, object]] = {
    "paths.corpus": {"flag": "--corpus", "metavar": "DIR", "help": "folder of the text"},
    "paths.prepared": {"flag": "--prepared", "metavar": "DIR", "help": "folder of prepared data"},
    "paths.model": {"flag": "--model", "metavar": "DIR", "help": "model folder"},
    "paths.start": {"flag": "--from", "metavar": "MODEL", "help": "model folder whose weights training starts from"},
    "paths.embeddings": {"flag": "--embeddings", "metavar": "FILE", "help": "start rows from word2vec's text format"},
    "training.mix": {
        "flag": "--mix",
        "nargs": "+",
        "action": "extend",
        "metavar": "FOLDER=WEIGHT",
        "help": "prepared folders of which so many pairs come for every pair of the training data",
    },
    "prep.source": {"flag": "--src", "metavar": "LANG", "help": "source language"},
    "prep.target": {"flag": "--tgt", "metavar": "LANG", "help": "target language"},
    "prep.joint_bpe": {"flag": "--joint-bpe", "type": int, "metavar": "N", "help": "merges of the joint BPE"},
    "prep.sentencepiece": {"flag": "--sentencepiece", "type": int, "metavar": "N", "help": "sentencepiece pieces"},
    "prep.tokenizer": {"flag": "--tokenizer", "help": "reversible (the default), moses or none"},
    "prep.protect": {
        "flag": "--protect",
        "nargs": "+",
        "metavar": "WHAT",
        "help": "what comes out as it went in: placeholders, urls, tags, all, or expressions",
    },
    "prep.min_length": {"flag": "--min-length", "type": int, "metavar": "N", "help": "pieces of a side at least"},
    "prep.max_length": {"flag": "--max-length", "type": int, "metavar": "N", "help": "pieces of a side at most"},
    "prep.max_ratio": {"flag": "--max-ratio", "type": float, "metavar": "X", "help": "of the sides' pieces at most"},
    "prep.max_word_length": {"flag": "--max-word-length", "type": int, "metavar": "N", "help": "characters at most"},
    "prep.min_alphabetic": {"flag": "--min-alphabetic", "type": float, "metavar": "X", "help": "share of letters"},
    "prep.deduplicate": {"flag": "--deduplicate", "action": "store_true", "help": "drop pairs seen before"},
    "prep.drop": {"flag": "--drop", "nargs": "+", "metavar": "WHAT", "help": f"training pairs: {', '.join(DROPPED)}"},
    "prep.detect_languages": {
        "flag": "--detect-languages",
        "action": "store_true",
        "help": "count pairs in another language (py3langid)",
    },
    "prep.unescape_entities": {
        "flag": "--unescape-entities",
        "action": "store_true",
        "help": "turn &apos; and the like into characters",
    },
    "model.tying": {"flag": "--tying", "help": "untied, decoder or three-way (the default)"},
    "model.architecture": {"flag": "--architecture", "help": " or ".join(ARCHITECTURES)},
    "lm.tying": {"flag": "--tying", "help": "untied, or tied (the default)"},
    "lm.architecture": {"flag": "--architecture", "help": " or ".join(LANGUAGE_ARCHITECTURES)},
    "training.max_epochs": {"flag": "--max-epochs", "type": int, "metavar": "N", "help": "epochs in all"},
    "training.max_updates": {"flag": "--max-updates", "type": int, "metavar": "N", "help": "updates in all"},
    "training.untie_at": {
        "flag": "--untie-at",
        "type": float,
        "metavar": "N",
        "help": "untied from this update on, or from this fraction of all",
    },
    "training.tie_at": {
        "flag": "--tie-at",
        "type": float,
        "metavar": "N",
        "help": "untied until this update, or fraction of all, and then tied",
    },
    "training.seed": {"flag": "--seed", "type": int, "metavar": "N", "help": "random seed"},
    "training.batch_tokens": {"flag": "--batch-tokens", "type": int, "metavar": "N", "help": "target pieces a batch"},
    "search.batch_tokens": {"flag": "--batch-tokens", "type": int, "metavar": "N", "help": "source pieces a batch"},
    "search.beam": {"flag": "--beam", "type": int, "metavar": "N", "help": "beam size"},
    "search.stopping": {"flag": "--stopping", "help": "exact (the default), present or first"},
    "search.length_penalty": {"flag": "--length-penalty", "type": float, "metavar": "X", "help": "length exponent"},
    "search.max_length_ratio": {"flag": "--max-length-ratio", "type": float, "metavar": "X", "help": "output limit"},
    "search.length_normalization": {"flag": "--length-normalization", "help": "length (the default) or gnmt"},
    "search.coverage_penalty": {"flag": "--coverage-penalty", "type": float, "metavar": "X", "help": "GNMT's weight"},
    "search.min_length": {"flag": "--min-length", "type": int, "metavar": "N", "help": "pieces at least"},
    "search.max_length": {"flag": "--max-length", "type": int, "metavar": "N", "help": "pieces at most"},
    "search.no_repeat_ngram": {
        "flag": "--no-repeat-ngram",
        "type": int,
        "metavar": "N",
        "help": "no sequence of N pieces comes twice",
    },
    "search.repetition_penalty": {
        "flag": "--repetition-penalty",
        "type": float,
        "metavar": "X",
        "help": "above 1: pieces written already are less likely",
    },
    "search.allow_unknown": {"flag": "--allow-unknown", "action": "store_true", "help": "write <unk> too"},
    "search.allow_source_pieces": {
        "flag": "--allow-source-pieces",
        "action": "store_true",
        "help": "write pieces too that only the source side has",
    },
    "search.sampling": {"flag": "--sampling", "action": "store_true", "help": "draw translations at random"},
    "search.temperature": {"flag": "--temperature", "type": float, "metavar": "X", "help": "of sampling"},
    "search.top_k": {"flag": "--top-k", "type": int, "metavar": "N", "help": "sample from the N likeliest pieces"},
    "search.top_p": {"flag": "--top-p", "type": float, "metavar": "X", "help": "sample from this much probability"},
    "search.seed": {"flag": "--seed", "type": int, "metavar": "N", "help": "random seed of sampling"},
    "search.precision": {"flag": "--precision", "help": "float32 (the default), bf16 or int8"},
    "search.shortlist": {
        "flag": "--shortlist",
        "action": "store_true",
        "help": "score only likely target pieces (nmt-shortlist collects them)",
    },
    "search.language_model": {
        "flag": "--language-model",
        "metavar": "DIR",
        "help": "a model of nmt-lm train that joins in (its text prepared with --like)",
    },
    "search.language_model_weight": {
        "flag": "--language-model-weight",
        "type": float,
        "metavar": "X",
        "help": "of its log-probabilities (default: 0.1)",
    },
    "search.replace_unknown": {
        "flag": "--replace-unknown",
        "action": "store_true",
        "help": "write the source word in an unknown piece's place",
    },
    "search.prefix_source": {
        "flag": "--prefix-source",
        "metavar": "PIECES",
        "help": "before every source, as >>fra<< of OPUS-MT's models",
    },
    "search.split_sentences": {
        "flag": "--split-sentences",
        "action": "store_true",
        "help": "translate the sentences of a line one by one",
    },
    "serve.host": {"flag": "--host", "metavar": "ADDRESS", "help": "address to listen on (default: 127.0.0.1)"},
    "serve.port": {"flag": "--port", "type": int, "metavar": "N", "help": "port to listen on (default: 5000)"},
    "serve.char_limit": {"flag": "--char-limit", "type": int, "metavar": "N", "help": "characters of a request"},
    "serve.batch_limit": {"flag": "--batch-limit", "type": int, "metavar": "N", "help": "texts of a request"},
    "serve.alternatives_limit": {
        "flag": "--alternatives-limit",
        "type": int,
        "metavar": "N",
        "help": "further translations of a text",
    },
    "serve.queue_limit": {"flag": "--queue-limit", "type": int, "metavar": "N", "help": "requests in work or waiting"},
    "serve.timeout": {"flag": "--timeout", "type": float, "metavar": "SECONDS", "help": "that a request may take"},
    "serve.rate": {"flag": "--rate", "type": int, "metavar": "N", "help": "requests a minute of a key or an address"},
    "serve.keys": {"flag": "--keys", "metavar": "FILE", "help": "keys, one a line, each with a rate if it has its own"},
    "serve.require_key": {
        "flag": "--require-key",
        "action": "store_true",
        "help": "translate only for those with a key",
    },
    "serve.cors": {"flag": "--cors", "nargs": "+", "metavar": "ORIGIN", "help": "origins whose pages may use it"},
    "word2vec.size": {"flag": "--size", "type": int, "metavar": "N", "help": "numbers of a vector"},
    "word2vec.window": {"flag": "--window", "type": int, "metavar": "N", "help": "words to each side at most"},
    "word2vec.negatives": {"flag": "--negatives", "type": int, "metavar": "N", "help": "noise words of a pair"},
    "word2vec.passes": {"flag": "--passes", "type": int, "metavar": "N", "help": "how often the text is read"},
    "word2vec.min_count": {"flag": "--min-count", "type": int, "metavar": "N", "help": "leave out rarer words"},
    "word2vec.lowercase": {"flag": "--lowercase", "action": "store_true", "help": "make all letters small"},
    "runtime.device": {"flag": "--device", "help": "auto, cpu, cuda or mps"},
    "runtime.threads": {"flag": "--threads", "type": int, "metavar": "N", "help": "CPU threads"},
}
"Configuration keys that have a flag of their own; every other key is reached by --set."


def make_parser(prog: str, description: str, keys: Sequence[str]) -> Parser:
    """A parser with --config, --set, --quiet, --version and the flags of the given configuration keys."""
    parser = Parser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{prog} {nmt.__version__}")
    for key in keys:
        options = dict(FLAGS[key])
        parser.add_argument(str(options.pop("flag")), dest=key, default=None, **options)  # type: ignore[arg-type]
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="YAML recipe; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any configuration key")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser


def overrides(arguments: argparse.Namespace) -> Values:
    """What the user asked for: recipes, then --set, then flags; the last wins."""
    values: Values = {}
    for path in arguments.config:
        values |= read_yaml(path)
    values |= parse_assignments(arguments.set)
    values |= {key: value for key, value in vars(arguments).items() if key in FLAGS and value is not None}
    return values


def config_from(arguments: argparse.Namespace, base: Values | None = None) -> Config:
    """The configuration: defaults, `base` (as a model folder's own), then the user's words."""
    return build_config(base or {}, overrides(arguments))
