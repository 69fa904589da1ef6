"""nmt-convert --tying: a model folder in another tying mode."""

from __future__ import annotations

import sys
from pathlib import Path

from nmt.cli.common import config_from, make_parser
from nmt.config import choice
from nmt.conversion.tying import change_tying
from nmt.folder.retying import KEPT, MEAN
from nmt.tying import Tying

DESCRIPTION = """Write a model folder with the model of another in a tying mode. Matrices that become one are not the
same: --keep says which stays, and the model has to be trained further (nmt-train --from). One that becomes several is
copied, and the model translates as before."""


def retie(prog: str, argv: list[str]) -> None:
    """Parse, convert, say what came of it."""
    parser = make_parser(prog, DESCRIPTION, ("paths.model",))
    parser.add_argument("folder", metavar="MODEL", help="the model folder to convert, or a weights file in one")
    modes = tuple(mode.value for mode in Tying)
    parser.add_argument("--tying", required=True, metavar="MODE", help=" or ".join(modes))
    kept = f"of matrices that become one: {' or '.join(KEPT)} (default: {MEAN})"
    parser.add_argument("--keep", metavar="MATRIX", help=kept)
    arguments = parser.parse_args(argv)
    choice("--tying", arguments.tying, modes)
    folder = Path(config_from(arguments).paths.model)
    said = change_tying(Path(arguments.folder), Tying(arguments.tying), folder, arguments.keep)
    if not arguments.quiet:
        further = f"; train it further with nmt-train --from {folder}" if "kept" in said else ""
        print(f"{arguments.folder} is in {folder}: {said}{further}", file=sys.stderr)
