"""nmt-reproduce advise: should this pair of languages be tied, and how?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bpe.command import num_cores
from bpe.errors import UserError
from nmt.cli.common import make_parser, overrides
from nmt.config import ModelConfig
from nmt.configfile import build_config, read_yaml
from nmt.models.architectures import ARCHITECTURES
from nmt.reproduce.advise.report import FILES, as_dict, as_text, write
from nmt.reproduce.advise.trial import AdviceOrder, corpus_files, trial
from nmt.reproduce.experiment import find_recipe
from nmt.reproduce.table1 import measure

PROG = "nmt-reproduce advise"
DESCRIPTION = """Say how a pair of languages should be tied: count what they share at several numbers of merges and what
each mode weighs, train the three modes for a short time, in pairs and with several seeds, and apply a stated rule. Ends
in one page: which mode, how many merges, why, and what would change it."""
KEYS = (
    "paths.corpus",
    "prep.source",
    "prep.target",
    "prep.joint_bpe",
    "model.architecture",
    "runtime.device",
    "runtime.threads",
)
LADDER = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
DEFAULT_SCALE, DEFAULT_SEEDS, DEFAULT_MINUTES = "small", 3, 30.0


def command(argv: list[str]) -> None:
    """Parse, measure, advise, print."""
    parser = make_parser(PROG, DESCRIPTION, KEYS)
    ladder = " ".join(map(str, LADDER))
    recipes = ", ".join(f"configs/{each.recipes}/NAME.yaml for {name}" for name, each in ARCHITECTURES.items())
    parser.add_argument("--merges", type=int, nargs="+", default=LADDER, metavar="N", help=f"to count at ({ladder})")
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, metavar="N", help="of all training (30)")
    parser.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, metavar="N", help="models of each mode (3)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time (1)")
    parser.add_argument("--scale", metavar="NAME", help=f"recipe ({DEFAULT_SCALE}): {recipes}")
    parser.add_argument("--out", default="advice", metavar="DIR", help="folder of everything (advice)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    order, asked = order_of(arguments)
    files = corpus_files(order.config)
    merges = sorted({*arguments.merges, *([asked] if asked else [])})
    workers = order.config.runtime.threads or num_cores()
    table = measure(files, order.config, merges, workers, order.quiet)
    measured, results = trial(order, table, asked)
    write(measured, table, results, order.out)
    if not order.quiet:
        print(f"written: {', '.join(str(order.out / name) for name in FILES)}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(as_dict(measured, table, results), indent=1))
    else:
        print(as_text(measured, table, results))


def order_of(arguments: argparse.Namespace) -> tuple[AdviceOrder, int | None]:
    """The recipe of the scale, then --config, --set and flags over it; and the merges that were asked for."""
    for flag in ("seeds", "jobs"):
        value = getattr(arguments, flag)
        if not 1 <= value <= 1000:
            raise UserError(f"{value} is out of range: it must be 1 to 1,000", where=f"--{flag}")
    if not arguments.minutes > 0:
        raise UserError(f"{arguments.minutes:g} is out of range: it must be above 0", where="--minutes")
    named = arguments.scale or (None if arguments.config else DEFAULT_SCALE)
    values = overrides(arguments)
    architecture = values.get("model.architecture", ModelConfig().architecture)
    recipe = read_yaml(find_recipe(named, architecture)) if named else {}
    config = build_config(recipe, values)
    if config.prep.sentencepiece:
        raise UserError("the advice is about a joint BPE", where="prep.sentencepiece", hint="leave it out")
    order = AdviceOrder(
        config=config,
        scale=named or Path(arguments.config[-1]).stem,
        seeds=arguments.seeds,
        minutes=arguments.minutes,
        out=Path(arguments.out),
        jobs=arguments.jobs,
        quiet=arguments.quiet,
    )
    return order, values.get("prep.joint_bpe")
