"""nmt-reproduce table4: which of the matrices of untied and tied models are alike."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import nmt
from bpe.errors import UserError
from nmt.cli.common import Parser
from nmt.device import set_threads
from nmt.evaluate.rankcorrelation import MIN_PIECES
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.table4 import MODELS, WORDS, compare_rows
from nmt.reproduce.table4_report import table4_text, write_table4

PROG = "nmt-reproduce table4"
DESCRIPTION = """Spearman's rank correlation of the cosine similarities of all pairs of words between the input, the
output and the tied matrix, as in Press & Wolf (2017), Table 4, from models that are trained already. Name the folders
that there are; the columns of the others stay open."""
OUT = "reproduction-table4"


def command(argv: list[str]) -> None:
    """Parse, compare, print."""
    arguments = make_parser().parse_args(argv)
    folders = {model: Path(getattr(arguments, model)) for model in MODELS if getattr(arguments, model)}
    if not folders:
        hint = "name one with --word2vec, --small or --large"
        raise UserError("no folder of trained models named", hint=hint)
    if arguments.words < MIN_PIECES:
        raise UserError(f"{arguments.words} is out of range: it must be {MIN_PIECES} or more", where="--words")
    set_threads(arguments.threads)
    made = Provenance.now(shlex.join([*PROG.split(), *argv]))
    found = compare_rows(folders, arguments.words, made, arguments.name, quiet=arguments.quiet)
    written = write_table4(found, Path(arguments.out))
    print(json.dumps(found.as_dict(), indent=1) if arguments.json else table4_text(found))
    if not arguments.quiet:
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(prog=PROG, description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("--version", action="version", version=f"{PROG} {nmt.__version__}")
    add("--word2vec", metavar="DIR", help="folder of nmt-reproduce table2")
    add("--small", metavar="DIR", help="folder of nmt-reproduce table6 (or table3)")
    add("--large", metavar="DIR", help="folder of nmt-reproduce table5")
    words = f"compare the N most frequent words ({WORDS:,}); memory grows with N squared"
    add("--words", type=int, default=WORDS, metavar="N", help=words)
    add("--out", default=OUT, metavar="DIR", help=f"folder of the report ({OUT})")
    add("--name", default="", metavar="TEXT", help="what the text is called in the report")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads (0: all)")
    add("--json", action="store_true", help="print JSON")
    add("--quiet", action="store_true", help="no progress on standard error")
    return parser
