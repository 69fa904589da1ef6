"""nmt-average: the mean of several checkpoints as one model folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import config_from, make_parser, run
from nmt.folder.averaging import WeightsFile, average_models, newest

PROG = "nmt-average"
DESCRIPTION = """Write a model folder whose weights are the mean of several checkpoints: the newest ones that a run kept
(--last, after training with training.average_last), or any weights files and model folders of one kind."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, average, say what came of it."""
    parser = make_parser(PROG, DESCRIPTION, ("paths.model",))
    parser.add_argument("files", nargs="*", metavar="FILE_OR_FOLDER", help="weights files, or model folders (the best)")
    parser.add_argument("--last", type=int, metavar="N", help="average the N newest checkpoints of --model")
    parser.add_argument("--output", metavar="DIR", help="model folder to write (with --last: MODEL-average)")
    parser.add_argument("--force", action="store_true", help="replace an average that is there")
    arguments = parser.parse_args(argv)
    model = Path(config_from(arguments).paths.model)
    if bool(arguments.files) == (arguments.last is not None):
        raise UserError(
            "average what?", hint="name weights files or model folders, or give --last N for those of a run"
        )
    if arguments.last is None:
        if not arguments.output:
            raise UserError("where to?", hint="name a new folder with --output")
        sources = [WeightsFile.of(Path(name)) for name in arguments.files]
    else:
        if arguments.last < 1:
            raise UserError(f"{arguments.last} is out of range: it must be 1 or more", where="--last")
        sources = newest(model, arguments.last)
    output = Path(arguments.output) if arguments.output else model.with_name(f"{model.name}-average")
    average_models(sources, output, force=arguments.force)
    if not arguments.quiet:
        names = ", ".join(str(source.weights) for source in sources)
        print(f"{output} is the mean of {names}; nmt-translate --model {output} reads it", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
