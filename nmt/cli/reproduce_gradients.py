"""nmt-reproduce gradients: how the two roles of a tied embedding share its updates."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import make_parser
from nmt.cli.reproduce_language import KEYS, add_text_flags, add_training_flags, check_training_flags, experiment_of
from nmt.device import set_threads
from nmt.reproduce.gradients import BATCHES, GradientOrder, measure_gradients
from nmt.reproduce.gradients_report import gradients_text, write_gradients

PROG = "nmt-reproduce gradients"
DESCRIPTION = """The argument of section 3 of Press & Wolf (2017), measured: trains Table 6's tied small model and, at
the start and after each epoch, takes the gradient of its matrix apart into what its use as input and its use as output
give. Everything lands in --out. Stopped at any point and called again, it continues."""
OUT = "reproduction-gradients"


def command(argv: list[str]) -> None:
    """Parse, run, print."""
    parser = make_parser(PROG, DESCRIPTION, KEYS)
    batches = f"batches to measure on at a time ({BATCHES})"
    parser.add_argument("--batches", type=int, default=BATCHES, metavar="N", help=batches)
    add_training_flags(parser, OUT, jobs=False)
    add_text_flags(parser)
    arguments = parser.parse_args(argv)
    check_training_flags(arguments)
    if arguments.batches < 1:
        raise UserError(f"{arguments.batches} is out of range: it must be 1 or more", where="--batches")
    experiment = experiment_of("table6", arguments)
    set_threads(experiment.config(experiment.table.rows[0]).runtime.threads)
    order = GradientOrder(
        name=arguments.name,
        command=shlex.join([*PROG.split(), *argv]),
        batches=arguments.batches,
        report_only=arguments.report_only,
        quiet=arguments.quiet,
    )
    found = measure_gradients(experiment, order)
    written = write_gradients(found, Path(arguments.out))
    print(json.dumps(found.as_dict(), indent=1) if arguments.json else gradients_text(found))
    if not arguments.quiet:
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)
