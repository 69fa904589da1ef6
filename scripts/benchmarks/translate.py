"""Measures translation against fairseq, OpenNMT-py and JoeyNMT: equal work for all of them, taking turns.

Every tool searches the same sentences with the same beam, in batches of equally many sentences, with a model of about
the same size. The weights are fresh: what search costs does not depend on them, but for the length of the output, which
is forced to be the same. So nobody trains for hours first, and the figures compare search alone. Each peer has an
environment of its own in .bench/, made when first needed; one that cannot be had is left out, and named.
--architecture transformer compares Transformers: ours, OpenNMT-py's, and CTranslate2 with our weights.

With --model, --source and --reference: the variants of our own search on a trained model, with their BLEU.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bpe.command import Parser
from bpe.errors import UserError
from scripts.benchmarks.environments import PEERS, available
from scripts.benchmarks.model_cost import OURS, SIZES, Sizes
from scripts.benchmarks.peers_translate import VARIANTS, Setting, take_turns, with_ratios
from scripts.benchmarks.report import Column, Table, as_json, facts, write_json
from scripts.benchmarks.transformer_cost import CTRANSLATE2, SEARCHED, TransformerSizes
from scripts.benchmarks.translate_text import SourceText, made_up, of_file
from scripts.benchmarks.translate_trained import trained_table

MEGABYTE, MILLION = 1_000_000, 1_000_000
RATIOS = {
    "rnn": (("x fastest peer", "of_fastest_peer"), ("x JoeyNMT", "of_joeynmt")),
    "transformer": (("x OpenNMT-py", "of_opennmt"), ("x CTranslate2", "of_ctranslate2")),
}
"Heading and key of how many times faster a row is; `alone_` and the key: one sentence."
REFERENCES = {"rnn": "joeynmt", "transformer": "opennmt"}
PEERS_OF = {"rnn": tuple(PEERS), "transformer": SEARCHED}
COST_COLUMNS = (
    Column("tool", "tool"),
    Column("M parameters", "parameters", ",.1f", 1 / MILLION),
    Column("M multiply-adds/source piece", "per_source_piece", ",.2f", 1 / MILLION),
    Column("/output piece", "per_output_piece", ",.2f", 1 / MILLION),
    Column("G multiply-adds/s", "multiply_adds_per_second", ",.1f", 1e-9),
    Column("import s", "import_seconds", ",.2f"),
    Column("load s", "load_seconds", ",.2f"),
    Column("peak MB", "peak_bytes", ",.0f", 1 / MEGABYTE),
    Column("GPU MB", "device_bytes", ",.0f", 1 / MEGABYTE),
)
NOTES = (
    "pieces in, pieces out; fresh weights, every translation exactly as long; pieces/s: the last step's counted",
    "x: times faster. CPU s: processor time of all sentences, all threads. one: sentence by sentence",
)
COST_NOTES = (
    "multiply-adds: one hypothesis, all rows of the vocabulary; per second: those of the decoder's steps alone",
    "OpenNMT-py and JoeyNMT tie only embeddings as wide as the state: their softmax is twice as large as ours",
    "import: from the start of the process until the tool is imported; load: until its model is ready",
)
TRANSFORMER_NOTE = "x CTranslate2: in the same precision, on the same weights, in two workers of one thread"
SHORTLIST_NOTE = "shortlist: of random pieces, as many as nmt-shortlist gives (fresh weights have no other)"


def speed_columns(architecture: str) -> list[Column]:
    """The columns of the first table."""
    ratios = RATIOS[architecture]
    return [
        Column("tool", "tool"),
        Column("sentences/s", "sentences_per_second", ",.1f"),
        Column("pieces/s", "pieces_per_second", ",.0f"),
        *(Column(heading, key, ".2f") for heading, key in ratios),
        Column("CPU s", "processor_seconds", ",.1f"),
        Column("one: median ms", "alone_median", ",.1f", 1000),
        Column("95% ms", "alone_95", ",.1f", 1000),
        *(Column(heading, f"alone_{key}", ".2f") for heading, key in ratios),
    ]


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench translate", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--vocabulary", type=int, nargs="+", action="extend", metavar="N", help="pieces (default: 8000 90000)")
    add("--architecture", choices=list(RATIOS), default="rnn", help="of all models (default: rnn)")
    add("--peers", nargs="*", choices=[*PEERS, CTRANSLATE2], help="default: all that have the architecture")
    add("--variants", nargs="+", choices=VARIANTS, help="of our search (default: all; on a GPU without int8)")
    add("--source", type=Path, metavar="FILE", help="pieces between spaces (default: made-up ones)")
    numbers = {"--sentences": 256, "--length": 16, "--beam": 5, "--batch": 64, "--alone": 32}
    numbers |= {"--embedding": 256, "--hidden": 512, "--layers": 4, "--heads": 8, "--feedforward": 1024}
    numbers |= {"--rounds": 3, "--threads": 2}
    about = {"--hidden": "of RNNs; ", **dict.fromkeys(("--layers", "--heads", "--feedforward"), "of Transformers; ")}
    for flag, default in numbers.items():
        add(flag, type=int, default=default, metavar="N", help=f"{about.get(flag, '')}default: {default}")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    add("--model", type=Path, metavar="DIR", help="a trained model: compares our variants on --source, raw text")
    add("--reference", type=Path, metavar="FILE", help="raw translations of --source, for BLEU")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    wanted = parser.parse_args(argv)
    wanted.vocabulary = wanted.vocabulary or [8000, 90_000]
    if min(vars(wanted)[flag.lstrip("-")] for flag in numbers if flag != "--alone") < 1 or wanted.alone < 0:
        raise UserError(f"{', '.join(numbers)} must be at least 1 (--alone 0)")
    if min(wanted.vocabulary) < wanted.beam * 2:
        raise UserError("a vocabulary of fewer than two pieces for each place of the beam", where="--vocabulary")
    if wanted.model and not (wanted.source and wanted.reference):
        raise UserError("needs --source and --reference", where="--model")
    if wanted.reference and not wanted.model:
        raise UserError("needs --model", where="--reference", hint="models with fresh weights have no BLEU")
    wanted.peers = list(dict.fromkeys(PEERS_OF[wanted.architecture] if wanted.peers is None else wanted.peers))
    if others := [peer for peer in wanted.peers if peer not in PEERS_OF[wanted.architecture]]:
        raise UserError(f"no {wanted.architecture} of {', '.join(others)} is measured", where="--peers")
    wanted.variants = wanted.variants or [name for name in VARIANTS if wanted.device == "cpu" or "int8" not in name]
    return wanted


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    about = facts("translate", argv, ("torch", "numpy"))
    tables: list[Table] = []
    missing: dict[str, str] = {}
    if wanted.model:
        print(about.text(), flush=True)
        tables.append(trained_table(wanted))
        print(f"\n{tables[0].text()}")
    else:
        pythons, missing = available([peer for peer in wanted.peers if peer in PEERS])
        packages = dict(PEERS[peer].package.split("==") for peer in pythons)
        if CTRANSLATE2 in wanted.peers:
            try:
                packages[CTRANSLATE2] = version(CTRANSLATE2)
                pythons[CTRANSLATE2] = Path(sys.executable)
            except PackageNotFoundError:
                missing[CTRANSLATE2] = "is not installed here"
        about = replace(about, versions=about.versions | packages)
        print(about.text(), flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-translate-") as folder:
            setting = _setting(wanted, Path(folder), pythons)
            for vocabulary in dict.fromkeys(wanted.vocabulary):
                tables += (found := _compare(wanted, setting, vocabulary, missing))
                print("\n" + "\n\n".join(table.text() for table in found), flush=True)
    for peer, why in missing.items():
        print(f"scripts/bench translate: left out: {peer}: {why}", file=sys.stderr)
    if wanted.json:
        options = {key: str(value) if isinstance(value, Path) else value for key, value in vars(wanted).items()}
        write_json(wanted.json, about, {"options": options, "missing": missing, "tables": as_json(tables)})


def _setting(wanted: Namespace, scratch: Path, pythons: dict[str, Path]) -> Setting:
    def sizes(tool: str) -> Sizes | TransformerSizes:
        if wanted.architecture == "transformer":
            names = ("embedding", "layers", "heads", "feedforward")
            return TransformerSizes(**{name: getattr(wanted, name) for name in names})
        narrow = SIZES[tool].embedding < SIZES[tool].hidden
        return Sizes(embedding=wanted.embedding if narrow else wanted.hidden, hidden=wanted.hidden)

    same = {name: vars(wanted)[name] for name in ("device", "threads", "rounds", "beam", "length", "batch", "alone")}
    return Setting(
        scratch=scratch,
        pythons=pythons,
        variants=list(dict.fromkeys(wanted.variants)),
        sizes={tool: sizes(tool) for tool in (OURS, *pythons)},
        **same,
    )


def _compare(wanted: Namespace, setting: Setting, vocabulary: int, missing: dict[str, str]) -> list[Table]:
    """The tables for one size of the vocabulary. missing: why peers are; those that fail now are added."""
    folder = setting.scratch / f"text-{vocabulary}"
    folder.mkdir()
    text = _text(wanted, folder, vocabulary)
    rows, failed = take_turns(setting, text)
    rows = with_ratios(rows, REFERENCES[wanted.architecture])
    missing |= failed
    size = f"{vocabulary:,} pieces"
    sentences = f"{text.num_sentences:,} sentences of {text.num_pieces / text.num_sentences:.1f} pieces"
    work = f"{sentences} -> {setting.length}, beam {setting.beam}, batches of {setting.batch}"
    notes = [*NOTES, *([SHORTLIST_NOTE] if any("shortlist" in name for name in setting.variants) else [])]
    if wanted.architecture == "transformer":
        notes.append(TRANSFORMER_NOTE)
    notes += [f"left out: {peer} ({why})" for peer, why in missing.items()]
    where = f"{setting.threads} threads" if setting.device == "cpu" else setting.device
    title, of_all = f"Vocabulary of {size}: {work}; {where}", speed_columns(wanted.architecture)
    speed = Table(title=title, columns=of_all, rows=rows, notes=notes)
    columns = COST_COLUMNS if setting.device == "cuda" else COST_COLUMNS[:-1]
    cost_notes = COST_NOTES if wanted.architecture == "rnn" else (COST_NOTES[0], COST_NOTES[-1])
    return [speed, Table(title=f"Models of {size}", columns=columns, rows=rows, notes=cost_notes)]


def _text(wanted: Namespace, folder: Path, vocabulary: int) -> SourceText:
    if wanted.source:
        return of_file(folder, vocabulary, wanted.sentences, wanted.source)
    return made_up(folder, vocabulary, wanted.sentences)
