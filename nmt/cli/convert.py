"""nmt-convert: models of other toolkits into model folders, and back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import config_from, make_parser, run
from nmt.cli.retie import retie
from nmt.config import Config, ModelConfig, choice
from nmt.conversion.folders import Files, TextChoice, export_dl4mt, import_dl4mt, import_marian
from nmt.conversion.marian_model import MarianChoices

PROG = "nmt-convert"
DESCRIPTION = """Convert models of other toolkits into model folders (--from), and back (--to). dl4mt: an attention
model of DL4MT or Nematus (gru_cond, .npz) and its two dictionaries (JSON). marian: the folder of a MarianMT model of
Hugging Face, such as OPUS-MT's. Which matrices are tied follows from what is read.
With --tying MODE: a model folder in another tying mode (nmt-convert --tying MODE --help)."""
FORMATS = ("dl4mt", "marian")
WRITTEN = ("dl4mt",)
OF_DL4MT = {"source_vocabulary": "--source-vocabulary", "target_vocabulary": "--target-vocabulary", "codes": "--codes"}
KEYS = ("paths.model", "prep.source", "prep.target", "prep.tokenizer", "search.prefix_source")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, convert, say what came of it."""
    if any(word.partition("=")[0] == "--tying" for word in argv):
        return retie(PROG, argv)
    parser = make_parser(PROG, DESCRIPTION, KEYS)
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--from", dest="origin", metavar="FORMAT", help=f"read this format: {' or '.join(FORMATS)}")
    direction.add_argument("--to", dest="goal", metavar="FORMAT", help=f"write this format: {' or '.join(WRITTEN)}")
    parser.add_argument("file", metavar="FILE", help="the other toolkit's model (.npz), or its folder (marian)")
    parser.add_argument("--source-vocabulary", metavar="FILE", help="dl4mt: source dictionary (JSON)")
    parser.add_argument("--target-vocabulary", metavar="FILE", help="dl4mt: target dictionary (JSON)")
    parser.add_argument("--codes", metavar="FILE", help="dl4mt: the BPE merges; without them, lines are segmented")
    arguments = parser.parse_args(argv)
    if arguments.goal == "marian":
        raise UserError("MarianMT's format is read only", where="--to marian", hint="nmt-export writes other formats")
    if arguments.goal:
        choice("--to", arguments.goal, WRITTEN)
    else:
        choice("--from", arguments.origin, FORMATS)
    config = config_from(arguments)
    convert = from_marian if arguments.origin == "marian" else dl4mt
    print(convert(arguments, config), file=sys.stderr)


def from_marian(arguments: argparse.Namespace, config: Config) -> str:
    """Convert; returns what came of it."""
    given = [flag for name, flag in OF_DL4MT.items() if getattr(arguments, name)]
    given += ["--tokenizer"] if getattr(arguments, "prep.tokenizer") else []
    if given:
        raise UserError("the folder of a MarianMT model has its own text pipeline", where=given[0], hint="leave it out")
    theirs, folder = Path(arguments.file), Path(config.paths.model)
    prep, search = config.prep, config.search
    wanted = MarianChoices(
        source=prep.source,
        target=prep.target,
        normalize=prep.source_normalize,
        prefix_source=search.prefix_source,
    )
    made, notes = import_marian(theirs, folder, wanted)
    if not arguments.quiet:
        for note in notes:
            print(f"{PROG}: {note}", file=sys.stderr)
    model = made.model
    layers = f"{model.layers} and {model.decoder_layers} layers, E={model.embedding_size}"
    return f"{theirs} is in {folder}: {model.tying} tying, {layers}, {made.prep.source} to {made.prep.target}"


def dl4mt(arguments: argparse.Namespace, config: Config) -> str:
    """Convert one way or the other; returns what came of it."""
    for name in ("source_vocabulary", "target_vocabulary"):
        if not getattr(arguments, name):
            raise UserError(f"{OF_DL4MT[name]} is needed", hint="name the dictionary (JSON), piece to id")
    if config.search.prefix_source:
        raise UserError("is of marian's models", where="--prefix-source", hint="leave it out")
    folder = Path(config.paths.model)
    files = Files(Path(arguments.file), Path(arguments.source_vocabulary), Path(arguments.target_vocabulary))
    if arguments.goal:
        export_dl4mt(folder, files)
        return f"{folder} is in {files.model}, {files.source_vocabulary} and {files.target_vocabulary}"
    model = import_dl4mt(files, _text_choice(arguments, config), folder).model
    return f"{files.model} is in {folder}: {_described(model)}"


def _described(model: ModelConfig) -> str:
    return f"{model.tying} tying, E={model.embedding_size}, H={model.hidden_size}"


def _text_choice(arguments: argparse.Namespace, config: Config) -> TextChoice:
    tokenizer = getattr(arguments, "prep.tokenizer") or ("moses" if arguments.codes else "none")
    if tokenizer != "none" and not arguments.codes:
        raise UserError("lines that are tokenised here need --codes to be segmented", where=f"--tokenizer {tokenizer}")
    return TextChoice(
        config.prep.source or "source",
        config.prep.target or "target",
        tokenizer,
        Path(arguments.codes) if arguments.codes else None,
    )


if __name__ == "__main__":
    sys.exit(main())
