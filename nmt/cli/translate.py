"""nmt-translate: lines in, as many lines out, with the model folder and nothing else."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bpe.errors import UserError
from bpe.progress import Progress
from nmt.bundle import load_bundle
from nmt.cli.common import make_parser, overrides, run
from nmt.config import require
from nmt.configfile import build_config, flatten, parse_assignments
from nmt.device import pick_device, set_threads
from nmt.streams import answer, blocks_of_descriptor, blocks_of_path, is_regular, open_output, write_all
from nmt.translator import Translation, Translator

PROG = "nmt-translate"
SEARCH_KEYS = (
    "paths.model",
    "search.beam",
    "search.length_penalty",
    "search.max_length_ratio",
    "search.batch_tokens",
    "runtime.device",
    "runtime.threads",
)
DESCRIPTION = """Translate raw text, one sentence a line, with a model folder of nmt-train: N lines in, N lines out.
Lines from a pipe or a terminal are answered as they come; lines of more than 256 pieces are translated in parts.
Search settings default to the model's own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse and call."""
    parser = make_parser(PROG, DESCRIPTION, SEARCH_KEYS)
    parser.add_argument("--input", metavar="FILE", help="text to translate, plain or .gz (default: standard input)")
    parser.add_argument("--n-best", type=int, metavar="N", help="N translations a line: number ||| text ||| score")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with pieces and probabilities")
    parser.add_argument("--output", metavar="FILE", help="written when all is translated (default: standard output)")
    arguments = parser.parse_args(argv)
    if arguments.output in (None, "-"):
        descriptor = _descriptor(sys.stdout, "standard output")
        _translate(arguments, lambda data: write_all(descriptor, data))
    else:
        with open_output(arguments.output) as write:
            _translate(arguments, write)


def load_translator(arguments: argparse.Namespace) -> Translator:
    """The model folder, device, threads and search settings that the command line asks for."""
    for key in parse_assignments(arguments.set):
        if key.split(".")[0] in ("model", "training"):
            raise UserError(f"{key} is fixed once a model is trained", where="--set", hint="search.* can be set here")
    values = overrides(arguments)
    asked = build_config(values)
    set_threads(asked.runtime.threads)
    bundle = load_bundle(Path(asked.paths.model), pick_device(asked.runtime.device))
    own = flatten({"search": dataclasses.asdict(bundle.config.search)}, asked.paths.model)
    return Translator(bundle, build_config(own, values).search)


def _translate(arguments: argparse.Namespace, write: Callable[[bytes], object]) -> None:
    translator = load_translator(arguments)
    blocks, name, whole = _input(arguments.input)
    quiet = arguments.quiet or not (whole and sys.stderr.isatty())
    form = Form(arguments.n_best, arguments.json)
    with Progress("translating", unit="lines", quiet=quiet) as progress:
        answer(blocks, name, lambda lines: form.lines(translator, lines, progress.advance), write)


class Form:
    """How translations are written: plain text, N-best lists, or JSON."""

    def __init__(self, num_best: int | None, as_json: bool) -> None:
        if num_best is not None:
            require(num_best >= 1, "--n-best", num_best, "1 or more")
        self.num_best, self.as_json = num_best, as_json
        self.number = 0
        "Lines answered so far."

    def lines(self, translator: Translator, lines: list[str], progress: Callable[[int], object]) -> list[str]:
        """What is written for each of the lines, without its last line feed."""
        if self.num_best is None and not self.as_json:
            return translator.translate(lines, progress=progress)
        found = translator.translate_detailed(lines, num_best=self.num_best or 1, progress=progress)
        written = [
            self._one(line, number, list_) for number, (line, list_) in enumerate(zip(lines, found, strict=True))
        ]
        self.number += len(lines)
        return written

    def _one(self, line: str, number: int, translations: list[Translation]) -> str:
        if not self.as_json:
            return "\n".join(f"{self.number + number} ||| {found.text} ||| {found.score:.6f}" for found in translations)
        fields = ("text", "pieces", "log_prob", "score", "finished")
        listed = [{name: getattr(found, name) for name in fields} for found in translations]
        return json.dumps({"source": line, "translations": listed}, ensure_ascii=False)


def _input(path: str | None) -> tuple[Iterator[list[bytes]], str, bool]:
    """Blocks of lines, the name for messages, and whether all lines are there already."""
    if path in (None, "-"):
        descriptor = _descriptor(sys.stdin, "standard input")
        return blocks_of_descriptor(descriptor, "standard input"), "standard input", is_regular(descriptor)
    assert path is not None
    return blocks_of_path(Path(path)), path, is_regular(Path(path))


def _descriptor(stream: object, name: str) -> int:
    """The file descriptor of a standard stream, which may have been closed by whoever started us."""
    if stream is None:
        raise UserError("is closed", where=name, hint="redirect it to a file or a pipe")
    return int(stream.fileno())  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
