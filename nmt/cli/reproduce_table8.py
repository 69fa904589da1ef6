"""nmt-reproduce table8: from a corpus to the comparison of the three tying modes."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import make_parser, overrides
from nmt.config import ModelConfig
from nmt.configfile import build_config, read_yaml
from nmt.models.architectures import ARCHITECTURES
from nmt.reproduce import table8
from nmt.reproduce.experiment import find_recipe
from nmt.reproduce.report import FILES, summary_text, write_report
from nmt.reproduce.sizes import sizes_text, table_8_sizes
from nmt.reproduce.table8 import Order

PROG = "nmt-reproduce table8"
DESCRIPTION = """Train the untied, decoder-tied and three-way tied model of a language pair with one recipe, translate
and score validation and test sets, and write a report (Markdown, JSON, one HTML page). Everything lands in --out.
Stopped at any point and called again, it continues; what is finished is not done again."""
KEYS = (
    "paths.corpus",
    "prep.source",
    "prep.target",
    "model.architecture",
    "training.max_updates",
    "search.beam",
    "runtime.device",
    "runtime.threads",
)
DEFAULT_SCALE = "small"


def command(argv: list[str]) -> None:
    """Parse, run, print."""
    parser = make_parser(PROG, DESCRIPTION, KEYS)
    recipes = ", ".join(f"configs/{each.recipes}/NAME.yaml for {name}" for name, each in ARCHITECTURES.items())
    parser.add_argument(
        "--scale",
        metavar="NAME",
        help=f"recipe ({DEFAULT_SCALE}): {recipes}",
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="models of each mode, seeds 1 to N (1)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time (1)")
    parser.add_argument("--out", default="reproduction", metavar="DIR", help="folder of everything (reproduction)")
    parser.add_argument("--name", default="", metavar="TEXT", help="what the text is called in the report")
    parser.add_argument("--sizes", action="store_true", help="the paper's six models counted; needs no data")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, how long and how much disk")
    parser.add_argument("--report-only", action="store_true", help="train nothing; report what is there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if arguments.sizes:
        print(json.dumps(table_8_sizes(), indent=1) if arguments.json else sizes_text())
        return
    order = order_of(arguments, shlex.join([*PROG.split(), *argv]))
    if arguments.dry_run:
        print(table8.plan(order))
        return
    results, experiment = table8.reproduce(order)
    write_report(results, experiment.folder, *table8.embedding_parts(experiment, results))
    print(json.dumps(results.as_dict(), indent=1) if arguments.json else summary_text(results))
    if not arguments.quiet:
        print(f"written: {', '.join(str(Path(arguments.out) / name) for name in FILES)}", file=sys.stderr)


def order_of(arguments: argparse.Namespace, command_line: str) -> Order:
    """The recipe of the scale, then --config, --set and flags over it."""
    for flag in ("seeds", "jobs"):
        value = getattr(arguments, flag)
        if not 1 <= value <= 1000:
            raise UserError(f"{value} is out of range: it must be 1 to 1,000", where=f"--{flag}")
    named = arguments.scale or (None if arguments.config else DEFAULT_SCALE)
    values = overrides(arguments)
    architecture = values.get("model.architecture", ModelConfig().architecture)
    recipe = read_yaml(find_recipe(named, architecture)) if named else {}
    return Order(
        config=build_config(recipe, values),
        scale=named or Path(arguments.config[-1]).stem,
        seeds=arguments.seeds,
        out=Path(arguments.out),
        jobs=arguments.jobs,
        command=command_line,
        name=arguments.name,
        report_only=arguments.report_only,
        quiet=arguments.quiet,
    )
