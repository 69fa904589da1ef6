"""nmt-convert: models of other toolkits into model folders, and back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import config_from, make_parser, run
from nmt.cli.retie import retie
from nmt.config import choice
from nmt.conversion.folders import Files, TextChoice, export_dl4mt, import_dl4mt

PROG = "nmt-convert"
DESCRIPTION = """Convert an attention model of DL4MT or Nematus (gru_cond, .npz) and its two dictionaries (JSON) into a
model folder (--from dl4mt), or a model folder into these (--to dl4mt). The arrays tell which matrices are tied. With
--tying MODE: a model folder in another tying mode (nmt-convert --tying MODE --help)."""
FORMATS = ("dl4mt",)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, convert, say what came of it."""
    if any(word.partition("=")[0] == "--tying" for word in argv):
        return retie(PROG, argv)
    parser = make_parser(PROG, DESCRIPTION, ("paths.model", "prep.source", "prep.target", "prep.tokenizer"))
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--from", dest="origin", metavar="FORMAT", help="read this format: dl4mt")
    direction.add_argument("--to", dest="goal", metavar="FORMAT", help="write this format: dl4mt")
    parser.add_argument("file", metavar="FILE", help="the other toolkit's model (.npz)")
    parser.add_argument("--source-vocabulary", required=True, metavar="FILE", help="source dictionary (JSON)")
    parser.add_argument("--target-vocabulary", required=True, metavar="FILE", help="target dictionary (JSON)")
    parser.add_argument("--codes", metavar="FILE", help="the BPE merges; without them, lines are segmented already")
    arguments = parser.parse_args(argv)
    choice("--from" if arguments.origin else "--to", arguments.origin or arguments.goal, FORMATS)
    config = config_from(arguments)
    folder = Path(config.paths.model)
    files = Files(Path(arguments.file), Path(arguments.source_vocabulary), Path(arguments.target_vocabulary))
    if arguments.goal:
        export_dl4mt(folder, files)
        print(f"{folder} is in {files.model}, {files.source_vocabulary} and {files.target_vocabulary}", file=sys.stderr)
        return
    tokenizer = getattr(arguments, "prep.tokenizer") or ("moses" if arguments.codes else "none")
    if tokenizer != "none" and not arguments.codes:
        raise UserError("lines that are tokenised here need --codes to be segmented", where=f"--tokenizer {tokenizer}")
    text = TextChoice(
        config.prep.source or "source",
        config.prep.target or "target",
        tokenizer,
        Path(arguments.codes) if arguments.codes else None,
    )
    made = import_dl4mt(files, text, folder)
    print(
        f"{files.model} is in {folder}: {made.model.tying} tying, E={made.model.embedding_size}, "
        f"H={made.model.hidden_size}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
