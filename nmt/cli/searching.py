"""What commands that search or score share: their flags, and the models and search settings they ask for."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import Parser, make_parser, overrides
from nmt.config import SearchConfig
from nmt.configfile import build_config, flatten, parse_assignments
from nmt.device import keep_freed_memory, pick_device, set_threads
from nmt.folder.bundle import Bundle, load_bundle
from nmt.text.sentences import without_abbreviations
from nmt.translate.glossary import Glossary
from nmt.translate.translator import Translator

KEYS = (
    "paths.model",
    *(f"search.{field.name}" for field in dataclasses.fields(SearchConfig)),
    "runtime.device",
    "runtime.threads",
)
WEIGHT = "search.language_model_weight"


@dataclass(frozen=True)
class SearchArguments:
    """What a command line asks for."""

    bundle: Bundle
    ensemble: list[Bundle]
    search: SearchConfig
    "The model folder's own settings, and then the user's."


def search_parser(prog: str, description: str, keys: Sequence[str] = ()) -> Parser:
    """A parser with a flag for each of the keys, for each search setting, and for the models."""
    return models_parser(prog, description, (*keys, *KEYS))


def models_parser(prog: str, description: str, keys: Sequence[str]) -> Parser:
    """A parser with a flag for each of the keys, and for models to average."""
    parser = make_parser(prog, description, keys)
    parser.add_argument("--ensemble", nargs="+", default=[], metavar="DIR", help="models to average with --model")
    return parser


def load_translator(arguments: argparse.Namespace) -> Translator:
    """The model folder, device, threads, search settings and glossary that the command line asks for.

    A precision that the machine does not have is told of on standard error, and float32 takes its place.
    """
    asked = load_asked(arguments)
    path = getattr(arguments, "glossary", None)
    glossary = Glossary.load(path) if path else None
    translator = Translator(asked.bundle, asked.search, ensemble=asked.ensemble, glossary=glossary)
    if translator.searcher.note and not arguments.quiet:
        print(f"search.precision: {translator.searcher.note}", file=sys.stderr)
    if translator.search.split_sentences and not arguments.quiet:
        note = without_abbreviations(translator.bundle.text.options.source)
        print(note, end="\n" if note else "", file=sys.stderr)
    return translator


def check_set(arguments: argparse.Namespace) -> None:
    """What a trained model cannot be told any more is a UserError."""
    for key in parse_assignments(arguments.set):
        if key.split(".")[0] in ("model", "lm", "training"):
            raise UserError(f"{key} is fixed once a model is trained", where="--set", hint="search.* can be set here")


def load_asked(arguments: argparse.Namespace) -> SearchArguments:
    """Load the model folders on the device asked for, and set the number of threads."""
    check_set(arguments)
    values = overrides(arguments)
    asked = build_config(values)
    set_threads(asked.runtime.threads)
    keep_freed_memory()
    device = pick_device(asked.runtime.device)
    bundle, *ensemble = (load_bundle(Path(path), device) for path in (asked.paths.model, *arguments.ensemble))
    own = flatten({"search": dataclasses.asdict(bundle.config.search)}, asked.paths.model)
    search = build_config(own, values).search
    if WEIGHT in values and search.language_model is None:
        raise UserError("counts with a language model only", where=WEIGHT, hint="name one with --language-model")
    return SearchArguments(bundle, ensemble, search)
