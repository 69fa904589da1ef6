"""nmt-export: model folders in the formats of other programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from nmt.cli.common import config_from, make_parser, run
from nmt.config import choice
from nmt.conversion.ctranslate2_folder import QUANTIZATIONS, export_ctranslate2
from nmt.folder.bundle import load_bundle

PROG = "nmt-export"
DESCRIPTION = """Write a model folder in another program's format. ctranslate2: a folder for CTranslate2, which translates
Transformers fast on CPUs and GPUs. The model folder stays as it is."""
FORMATS = ("ctranslate2",)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, export, say what came of it."""
    parser = make_parser(PROG, DESCRIPTION, ("paths.model",))
    parser.add_argument("--to", required=True, metavar="FORMAT", help=f"write this format: {' or '.join(FORMATS)}")
    parser.add_argument("--output", required=True, metavar="PATH", help="the folder to write")
    parser.add_argument("--quantization", metavar="TYPE", help=f"how weights are stored: {', '.join(QUANTIZATIONS)}")
    arguments = parser.parse_args(argv)
    choice("--to", arguments.to, FORMATS)
    if arguments.quantization is not None:
        choice("--quantization", arguments.quantization, QUANTIZATIONS)
    folder, output = Path(config_from(arguments).paths.model), Path(arguments.output)
    bundle = load_bundle(folder, torch.device("cpu"))
    export_ctranslate2(bundle, output, arguments.quantization or "float32")
    print(f"{folder} is in {output}: {size_of(output)}", file=sys.stderr)


def size_of(path: Path) -> str:
    """The bytes of a file, or of a folder's files, in MB."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
