"""nmt-export: model folders in the formats of other programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from bpe.errors import UserError
from nmt.cli.common import config_from, make_parser, run
from nmt.config import choice
from nmt.conversion.argos import PackageOptions, export_argos
from nmt.conversion.ctranslate2_folder import QUANTIZATIONS, export_ctranslate2
from nmt.conversion.onnx_folder import export_onnx
from nmt.folder.bundle import Bundle, load_bundle
from nmt.serve.languages import name_of
from nmt.text.languages import code_of

PROG = "nmt-export"
DESCRIPTION = """Write a model folder in another program's format. ctranslate2: a folder for CTranslate2, which
translates fast on CPUs and GPUs. argos: a package (NAME.argosmodel) that Argos Translate installs and LibreTranslate
serves. Both take Transformers. onnx: a folder of graphs for onnxruntime and others; every architecture."""
PACKAGE = ("package_version", "source_name", "target_name")
"Flags of argos alone."


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, export, say what came of it."""
    parser = make_parser(PROG, DESCRIPTION, ("paths.model",))
    parser.add_argument("--to", required=True, metavar="FORMAT", help=f"write this format: {', '.join(FORMATS)}")
    parser.add_argument("--output", required=True, metavar="PATH", help="the folder, or argos's file, to write")
    parser.add_argument(
        "--quantization",
        metavar="TYPE",
        help=f"ctranslate2 (default float32) and argos (int8): how weights are stored: {', '.join(QUANTIZATIONS)}",
    )
    parser.add_argument("--package-version", metavar="VERSION", help="argos: of the package (default 1.0)")
    parser.add_argument("--source-name", metavar="NAME", help="argos: of the source language, for people")
    parser.add_argument("--target-name", metavar="NAME", help="argos: of the target language")
    arguments = parser.parse_args(argv)
    choice("--to", arguments.to, tuple(FORMATS))
    _check_flags(arguments)
    folder, output = Path(config_from(arguments).paths.model), Path(arguments.output)
    FORMATS[arguments.to](load_bundle(folder, torch.device("cpu")), output, arguments)
    print(f"{folder} is in {output}: {size_of(output)}", file=sys.stderr)


def _check_flags(arguments: argparse.Namespace) -> None:
    if arguments.to == "onnx" and arguments.quantization:
        raise UserError("is of ctranslate2 and argos", where="--quantization", hint="leave it out")
    if arguments.quantization:
        choice("--quantization", arguments.quantization, QUANTIZATIONS)
    for name in PACKAGE:
        if getattr(arguments, name) and arguments.to != "argos":
            raise UserError("is of argos", where=f"--{name.replace('_', '-')}", hint="leave it out")


def _ctranslate2(bundle: Bundle, output: Path, arguments: argparse.Namespace) -> None:
    export_ctranslate2(bundle, output, arguments.quantization or "float32")


def _onnx(bundle: Bundle, output: Path, arguments: argparse.Namespace) -> None:
    export_onnx(bundle, output)


def _argos(bundle: Bundle, output: Path, arguments: argparse.Namespace) -> None:
    text = bundle.text.options
    options = PackageOptions(
        source_name=arguments.source_name or name_of(code_of(text.source)),
        target_name=arguments.target_name or name_of(code_of(text.target)),
        version=arguments.package_version or PackageOptions.version,
        quantization=arguments.quantization or PackageOptions.quantization,
    )
    for note in export_argos(bundle, output, options):
        if not arguments.quiet:
            print(f"{PROG}: otherwise than nmt-translate: {note}", file=sys.stderr)


FORMATS: Mapping[str, Callable[[Bundle, Path, argparse.Namespace], None]] = {
    "ctranslate2": _ctranslate2,
    "argos": _argos,
    "onnx": _onnx,
}


def size_of(path: Path) -> str:
    """The bytes of a file, or of a folder's files, in MB."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
