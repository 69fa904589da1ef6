"""nmt-reproduce similarity: what tying does to the embeddings of trained models."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import nmt
from bpe.textfiles import write_text
from nmt.cli.common import Parser
from nmt.device import set_threads
from nmt.report.document import as_markdown, as_text
from nmt.reproduce.similarity import TITLE, Study, StudyOptions, study, study_parts

PROG = "nmt-reproduce similarity"
DESCRIPTION = """Compare the vocabulary matrices of trained models that share a vocabulary: Spearman's rank correlation
of the cosine similarities of all pairs of pieces (Press & Wolf, 2017, Table 4), and in three-way tied models the
nearest neighbours across the two languages."""


def command(argv: list[str]) -> None:
    """Parse, compare, print."""
    arguments = make_parser().parse_args(argv)
    set_threads(arguments.threads)
    options = StudyOptions(
        pieces=arguments.pieces, neighbours=arguments.neighbours, words=arguments.words, ask=tuple(arguments.word)
    )
    found = study([Path(folder) for folder in arguments.models], options)
    if arguments.out:
        write(found, Path(arguments.out))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack a character of the pieces
    print(json.dumps(found.as_dict()) if arguments.json else as_text(study_parts(found)))


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog=PROG, description=DESCRIPTION, allow_abbrev=False)
    default = StudyOptions()
    parser.add_argument("--version", action="version", version=f"{PROG} {nmt.__version__}")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model folders of one vocabulary")
    numbers = {
        "pieces": f"compare the N most frequent pieces ({default.pieces:,}); memory grows with N squared",
        "neighbours": f"neighbours of a word to show ({default.neighbours})",
        "words": f"words of each language to show neighbours of, the most frequent ones ({default.words})",
    }
    for name, meaning in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name), metavar="N", help=meaning)
    parser.add_argument(
        "--word", action="append", default=[], metavar="PIECE", help="show neighbours of this piece; may be repeated"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (0: all)")
    parser.add_argument("--out", metavar="DIR", help="write similarity.md and similarity.json there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def write(found: Study, folder: Path) -> None:
    """The two files."""
    write_text(folder / "similarity.md", as_markdown(TITLE, study_parts(found), {}))
    write_text(folder / "similarity.json", json.dumps(found.as_dict(), indent=1, ensure_ascii=False) + "\n")
