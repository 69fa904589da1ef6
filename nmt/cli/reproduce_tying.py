"""nmt-reproduce tying: what training.record_tying wrote down, as pictures, tables and a reading."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nmt
from nmt.cli.common import Parser
from nmt.report.document import as_text
from nmt.reproduce.tying.records import read_runs
from nmt.reproduce.tying.report import FILES, as_dict, tying_parts, write

PROG = "nmt-reproduce tying"
DESCRIPTION = """Of runs that were trained with training.record_tying=true: the gradient of each role of the vocabulary
matrices over the updates, the cosines between them, the lengths of rows by frequency and side, and the likeness to an
untied run's matrices. Says by a stated rule, with intervals over seeds, whether the output's gradient drowns the
inputs'."""


def command(argv: list[str]) -> None:
    """Parse, read, write, print."""
    parser = Parser(prog=PROG, description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROG} {nmt.__version__}")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model folders, of any modes and seeds")
    parser.add_argument("--out", metavar="DIR", help=f"write {', '.join(FILES)} and the pictures there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="do not say what was written")
    arguments = parser.parse_args(argv)
    groups = read_runs([Path(folder) for folder in arguments.models])
    if arguments.out:
        written = write(groups, Path(arguments.out))
        if not arguments.quiet:
            print(f"written: {', '.join(map(str, written))}", file=sys.stderr)
    print(json.dumps(as_dict(groups)) if arguments.json else as_text(tying_parts(groups)))
