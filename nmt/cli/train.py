"""nmt-train: prepared/ -> model/; under torchrun, one worker of several."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from nmt.cli.common import make_parser, overrides, run
from nmt.tasks.translation.start import start_values
from nmt.tasks.translation.task import TranslationTask
from nmt.training.distributed import Silent, workers_of_torchrun
from nmt.training.interruption import Interrupted
from nmt.training.session import Request, train

PROG = "nmt-train"
KEYS = (
    "paths.prepared",
    "paths.model",
    "paths.start",
    "paths.embeddings",
    "training.mix",
    "model.tying",
    "training.untie_at",
    "training.tie_at",
    "model.architecture",
    "training.max_updates",
    "training.batch_tokens",
    "training.seed",
    "runtime.device",
    "runtime.threads",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_training(PROG, command, argv)


def run_training(prog: str, command: Callable[[list[str]], None], argv: Sequence[str] | None) -> int:
    """Call a command that trains; returns its exit code."""
    try:
        return run(prog, command, argv)
    except Interrupted as signal:
        print(f"{prog}: stopped by {signal}; everything is saved, run the same command to continue", file=sys.stderr)
        return 128 + signal.number
    except Silent as told:
        return told.code


def command(argv: list[str]) -> None:
    """Join the other workers, if there are any, and train."""
    with workers_of_torchrun() as workers, workers.together():
        train(request_of(argv), TranslationTask, workers)


def request_of(argv: list[str]) -> Request:
    """Parse the command line."""
    parser = make_parser(
        PROG,
        "Train a model with untied, decoder-tied or three-way tied word embeddings. Run again, it continues.",
        KEYS,
    )
    parser.add_argument("--force", action="store_true", help="remove the model that is there and start over")
    parser.add_argument("--dry-run", action="store_true", help="print the parameter ledger and train nothing")
    arguments = parser.parse_args(argv)
    values = overrides(arguments)
    return Request(
        values=values, base=start_values, force=arguments.force, dry_run=arguments.dry_run, quiet=arguments.quiet
    )


if __name__ == "__main__":
    sys.exit(main())
