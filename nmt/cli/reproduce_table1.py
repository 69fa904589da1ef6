"""nmt-reproduce table1: what two languages share of a joint BPE, and what tying would save."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import config_from, make_parser
from nmt.device import set_threads
from nmt.prepare.files import find_corpus
from nmt.reproduce.table1 import LADDER, measure
from nmt.reproduce.table1_report import FILES, as_dict, as_text, write

PROG = "nmt-reproduce table1"
DESCRIPTION = """Table 1 of Press & Wolf (2017) for a corpus, at several numbers of merges: pieces only in source, only
in target and in both, their share of the running text, and the size of a model in each tying mode. Trains nothing."""
KEYS = ("paths.corpus", "prep.source", "prep.target", "prep.tokenizer", "prep.protect", "runtime.threads")


def command(argv: list[str]) -> None:
    """Parse, count, print."""
    parser = make_parser(PROG, DESCRIPTION, KEYS)
    ladder = " ".join(map(str, LADDER))
    parser.add_argument("--merges", type=int, nargs="+", default=LADDER, metavar="N", help=f"merges to try ({ladder})")
    parser.add_argument("--out", metavar="DIR", help=f"write {', '.join(FILES)} and the pictures there")
    parser.add_argument("--json", action="store_true", help="print JSON, not the tables")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    if config.prep.sentencepiece:
        raise UserError("Table 1 is about a joint BPE", where="prep.sentencepiece", hint="leave it out")
    files = find_corpus(config.paths.corpus, config.prep.source, config.prep.target, needed=("train",))
    if not arguments.quiet:
        print(f"{files.source} -> {files.target} ({files.chosen})", file=sys.stderr)
    table = measure(files, config, arguments.merges, set_threads(config.runtime.threads), arguments.quiet)
    if arguments.out:
        written = write(table, Path(arguments.out))
        if not arguments.quiet:
            print(f"written: {', '.join(map(str, written))}", file=sys.stderr)
    print(json.dumps(as_dict(table), indent=1) if arguments.json else as_text(table))
