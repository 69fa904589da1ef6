"""nmt-reproduce all: one page for the whole paper."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import nmt
from nmt.cli.common import Parser
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.whole.page import WholePaper
from nmt.reproduce.whole.report import paper_text, write_paper
from nmt.reproduce.whole.sources import KINDS, find_reports

PROG = "nmt-reproduce all"
DESCRIPTION = """Write one page (Markdown, JSON, HTML) for the whole paper of Press & Wolf (2017) from the folders of
the single tables: eight tables, each with the paper's figures beside ours, what is missing, and each claim of the
abstract with what was found. Trains nothing. A table that is not named is looked for in a subfolder of --out that is
called by it, and where its command puts it."""
OUT = "reproduction-all"


def command(argv: list[str]) -> None:
    """Parse, read, write, print."""
    arguments = make_parser().parse_args(argv)
    out = Path(arguments.out)
    named = {key: getattr(arguments, key) for key in KINDS}
    reports = find_reports(named, out)
    if not arguments.quiet:
        for key, found in reports.items():
            told = ", ".join(report.folder for report in found) or "none"
            print(f"{KINDS[key].title.partition(':')[0]}: {told}", file=sys.stderr)
    paper = WholePaper(Provenance.now(shlex.join([*PROG.split(), *argv])), reports)
    written = write_paper(paper, out)
    print(json.dumps(paper.as_dict(), indent=1) if arguments.json else paper_text(paper))
    if not arguments.quiet:
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(prog=PROG, description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("--version", action="version", version=f"{PROG} {nmt.__version__}")
    for key, kind in KINDS.items():
        where = f"folders of its reports (OUT/{key}, else {kind.folder})"
        add(f"--{key}", nargs="+", default=[], metavar="DIR", help=where)
    add("--out", default=OUT, metavar="DIR", help=f"folder of the page ({OUT})")
    add("--json", action="store_true", help="print JSON")
    add("--quiet", action="store_true", help="no progress on standard error")
    return parser
