"""nmt-reproduce table2: word2vec untied and tied, scored on word similarity benchmarks."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import make_parser, overrides
from nmt.cli.reproduce_benchmarks import add_benchmark_flags, benchmark_source
from nmt.configfile import build_config, read_yaml
from nmt.reproduce.experiment import recipe_in
from nmt.reproduce.table2 import Table2Order, reproduce
from nmt.reproduce.table2_report import as_dict, as_text, write

PROG = "nmt-reproduce table2"
DESCRIPTION = """Train word2vec (skip-gram with negative sampling) untied and tied on a text, and score the rows of the
input, the output and the tied matrix on five word similarity benchmarks, as in Press & Wolf (2017), Table 2. Everything
lands in --out, the vectors in word2vec's text format. Stopped and called again, it goes on with the runs that are
left."""
KEYS = (
    "paths.corpus",
    "word2vec.size",
    "word2vec.window",
    "word2vec.negatives",
    "word2vec.passes",
    "word2vec.min_count",
    "word2vec.lowercase",
    "runtime.threads",
)
DEFAULT_SCALE = "small"


def command(argv: list[str]) -> None:
    """Parse, run, print."""
    parser = make_parser(PROG, DESCRIPTION, KEYS)
    parser.add_argument("--text", nargs="+", metavar="FILE", help="texts to train on (train.txt of --corpus)")
    parser.add_argument("--scale", metavar="NAME", help=f"recipe configs/table2/NAME.yaml ({DEFAULT_SCALE})")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="models of each mode, seeds 1 to N (1)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time (1)")
    add_benchmark_flags(parser, mirror="--from")
    parser.add_argument("--out", default="table2", metavar="DIR", help="folder of everything (table2)")
    parser.add_argument("--name", default="", metavar="TEXT", help="what the text is called in the report")
    parser.add_argument("--report-only", action="store_true", help="train nothing; report what is there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    found = reproduce(order_of(arguments, shlex.join([*PROG.split(), *argv])))
    written = write(found, found.order.out)
    print(json.dumps(as_dict(found), indent=1, ensure_ascii=False) if arguments.json else as_text(found))
    if not arguments.quiet:
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def order_of(arguments: argparse.Namespace, command_line: str) -> Table2Order:
    """The recipe of the scale, then --config, --set and flags over it."""
    for flag in ("seeds", "jobs"):
        value = getattr(arguments, flag)
        if not 1 <= value <= 1000:
            raise UserError(f"{value} is out of range: it must be 1 to 1,000", where=f"--{flag}")
    named = arguments.scale or (None if arguments.config else DEFAULT_SCALE)
    recipe = read_yaml(recipe_in("table2", named)) if named else {}
    config = build_config(recipe, overrides(arguments))
    texts = tuple(map(Path, arguments.text)) if arguments.text else (Path(config.paths.corpus) / "train.txt",)
    return Table2Order(
        options=config.word2vec,
        scale=named or Path(arguments.config[-1]).stem,
        texts=texts,
        out=Path(arguments.out),
        seeds=arguments.seeds,
        jobs=arguments.jobs,
        threads=config.runtime.threads,
        benchmarks=benchmark_source(arguments),
        command=command_line,
        name=arguments.name,
        report_only=arguments.report_only,
        quiet=arguments.quiet,
    )
