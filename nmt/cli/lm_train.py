"""nmt-lm train: a prepared text -> a language model; under torchrun, one worker of several."""

from __future__ import annotations

from collections.abc import Sequence

from nmt.cli.common import make_parser, overrides
from nmt.cli.lm_prep import PREPARED
from nmt.cli.train import run_training
from nmt.tasks.language.defaults import language_defaults
from nmt.tasks.language.task import LanguageTask
from nmt.training.distributed import workers_of_torchrun
from nmt.training.session import Request, train

PROG = "nmt-lm train"
MODEL = "lm"
"Where nmt-lm puts a model, and looks for it."
KEYS = (
    "paths.prepared",
    "paths.model",
    "lm.tying",
    "lm.architecture",
    "training.max_epochs",
    "training.max_updates",
    "training.seed",
    "runtime.device",
    "runtime.threads",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_training(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Join the other workers, if there are any, and train."""
    with workers_of_torchrun() as workers, workers.together():
        train(request_of(argv), LanguageTask, workers)


def request_of(argv: list[str]) -> Request:
    """Parse the command line."""
    parser = make_parser(PROG, "Train a language model, tied or untied. Run again, it continues.", KEYS)
    parser.add_argument("--force", action="store_true", help="remove the model that is there and start over")
    parser.add_argument("--dry-run", action="store_true", help="print the parameter ledger and train nothing")
    arguments = parser.parse_args(argv)
    places = {"paths.prepared": PREPARED, "paths.model": MODEL}
    asked = overrides(arguments)
    return Request(
        values=places | asked,
        base=language_defaults,
        force=arguments.force,
        dry_run=arguments.dry_run,
        quiet=arguments.quiet,
    )
