"""nmt-translate: lines in, as many lines out, with the model folder and nothing else."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bpe.errors import UserError
from bpe.progress import Progress
from bpe.textfiles import check_output
from nmt.cli.common import run
from nmt.cli.cut import CutLines
from nmt.cli.forms import Form, Note, Prefixes, Write, Writer
from nmt.cli.mended import MendedPlaceholders
from nmt.cli.pipes import answer, blocks_of_descriptor, blocks_of_path, is_regular, open_output, write_all
from nmt.cli.searching import load_translator, search_parser
from nmt.cli.unseen import UnseenCharacters
from nmt.explain.collected import Collected

PROG = "nmt-translate"
DESCRIPTION = """Translate raw text, one sentence a line, with a model folder of nmt-train: N lines in, N lines out.
Lines from a pipe or a terminal are answered as they come; lines of more than 256 pieces are translated in parts.
Search settings default to the model's own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse and call."""
    parser = search_parser(PROG, DESCRIPTION)
    parser.add_argument("--input", metavar="FILE", help="text, plain or compressed (default: standard input)")
    parser.add_argument("--n-best", type=int, metavar="N", help="N translations a line: number ||| text ||| score")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with pieces and probabilities")
    parser.add_argument("--attention", action="store_true", help="with --json: the attention's weights")
    parser.add_argument("--output", metavar="FILE", help="written when all is translated (default: standard output)")
    parser.add_argument("--prefixes", metavar="FILE", help="how the translation of each line begins; blank: anyhow")
    parser.add_argument("--glossary", metavar="FILE", help="terms and their translations: source, tab, target")
    parser.add_argument("--alignments", metavar="FILE", help="source-target pairs of words for each line: 0-0 1-2")
    parser.add_argument("--explain", metavar="FILE", help="an HTML page: attention, probabilities, runners-up")
    arguments = parser.parse_args(argv)
    if arguments.explain:
        check_output(arguments.explain, [arguments.input] if arguments.input else [])
    form = Form(num_best=arguments.n_best, as_json=arguments.json, attention=arguments.attention)
    with contextlib.ExitStack() as files:
        if arguments.output in (None, "-"):
            descriptor = _descriptor(sys.stdout, "standard output")
            write: Write = lambda data: write_all(descriptor, data)  # noqa: E731
        else:
            write = files.enter_context(open_output(arguments.output))
        alignments = files.enter_context(open_output(arguments.alignments)) if arguments.alignments else None
        writer = Writer(load_translator(arguments), form)
        writer.prefixes = Prefixes(arguments.prefixes) if arguments.prefixes else None
        writer.alignments = alignments
        _translate(arguments, writer, write)


def _translate(arguments: argparse.Namespace, writer: Writer, write: Write) -> None:
    blocks, name, whole = _input(arguments.input)
    quiet = arguments.quiet or not (whole and sys.stderr.isatty())
    if not arguments.quiet:
        writer.notes = _notes(writer, whole)
    page = Collected(writer.translator, Path(arguments.explain)) if arguments.explain else None
    if page:
        writer.watch = page.add
    with Progress("translating", unit="lines", quiet=quiet) as progress:
        answer(blocks, name, lambda lines: writer.lines(lines, progress.advance), write)
    for note in writer.notes:
        note.end()
    if page:
        page.write()


def _notes(writer: Writer, whole: bool) -> list[Note]:
    """What standard error is told of. whole: all lines are there already."""

    def say(message: str) -> None:
        print(f"{PROG}: {message}", file=sys.stderr)

    notes: list[Note] = [] if writer.form.as_json else [CutLines(say, at_once=not whole)]  # JSON says "finished"
    unseen = UnseenCharacters(writer.translator.bundle, say, at_once=not whole)
    return [*notes, MendedPlaceholders(say, at_once=not whole), unseen]


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
