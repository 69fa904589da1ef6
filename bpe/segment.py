"""Cuts words into the pieces of a merge table, as subword-nmt's apply_bpe does, and joins them again."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NoReturn

from bpe.chunks import STANDARD_INPUT, ChunkReader
from bpe.codes import MergeTable
from bpe.command import Parser, num_cores, run
from bpe.errors import UserError
from bpe.progress import Progress
from bpe.rewriting import DropoutPieceWriter, PieceJoiner, PieceWriter, Rewriter
from bpe.segmenter import SEPARATOR, Segmenter, desegment, read_vocabulary
from bpe.textfiles import atomic_write, check_output
from bpe.workers import rewrite_all

__all__ = ["SEPARATOR", "Segmenter", "desegment", "read_vocabulary"]

GZIP_LEVEL = 6
PATIENCE = 3.0
"Seconds after which progress is worth a line."


def main(argv: Sequence[str]) -> None:
    """The command: lines of words to lines of pieces, or back."""
    options = _parser().parse_args(argv)
    rewrite = _rewriter(options)
    chunks = ChunkReader(options.input)
    if options.output is not None:
        check_output(options.output, options.input)
    signal.signal(signal.SIGTERM, _leave)
    num_workers = options.workers if sys.platform.startswith("linux") else 1  # elsewhere a fork is not safe
    # Progress would come between the lines of somebody who types or reads here.
    typed = STANDARD_INPUT in options.input and sys.stdin.isatty()
    shown = options.output is None and sys.stdout is not None and sys.stdout.isatty()
    with (
        _output(options.output) as target,
        Progress("Segmenting", quiet=options.quiet or typed or shown, patience=PATIENCE) as progress,
        contextlib.closing(rewrite_all(rewrite, chunks, num_workers)) as results,
    ):
        for chunk, result in results:
            target.write(result)
            target.flush()
            progress.advance(chunk.text.count(b"\n"), chunks.share())


def _parser() -> Parser:
    parser = Parser(prog="python -m bpe.segment", description=__doc__, allow_abbrev=False)
    parser.add_argument("--codes", metavar="FILE", help="merges, as python -m bpe.learn writes them")
    parser.add_argument("--num-merges", type=int, metavar="N", help="use the first N merges only (default: all)")
    parser.add_argument(
        "--input",
        nargs="+",
        default=[STANDARD_INPUT],
        metavar="FILE",
        help="text, plain or compressed, one after the other; - for standard input (default)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="where the result goes, compressed if it ends in .gz (default: standard output)",
    )
    parser.add_argument("--vocabulary", metavar="FILE", help="pieces and counts; other pieces are cut smaller")
    parser.add_argument(
        "--vocabulary-threshold", type=int, metavar="N", help="leave pieces rarer than this out of the vocabulary"
    )
    parser.add_argument(
        "--glossaries", nargs="+", default=[], metavar="REGEX", help="what is never cut; quote each expression"
    )
    parser.add_argument(
        "--separator", default=SEPARATOR, metavar="TEXT", help=f"ends pieces within words (default: {SEPARATOR})"
    )
    parser.add_argument(
        "--dropout",
        type=float,
        metavar="P",
        help="BPE-dropout, for training data: pass over every merge with this probability",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="what dropout's random numbers follow from (default: 1)")
    parser.add_argument("--reverse", action="store_true", help="join pieces to words; needs no --codes")
    parser.add_argument("--workers", type=int, default=num_cores(), metavar="N", help="processes (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser


def _rewriter(options: argparse.Namespace) -> Rewriter:
    """What the options ask for, from bytes to the bytes that go to the output. Options that do not fit are refused."""
    if options.workers < 1:
        raise UserError(f"{options.workers} workers are out of range: it must be 1 or more")
    if options.vocabulary_threshold is not None and options.vocabulary is None:
        raise UserError("--vocabulary-threshold needs --vocabulary FILE")
    if options.seed is not None and options.dropout is None:
        raise UserError("--seed needs --dropout P")
    rewrite = _joiner(options) if options.reverse else _piece_writer(options)
    if options.output is None or not options.output.endswith(".gz"):
        return rewrite
    # Compressed files one after the other are one compressed file, so that each worker can compress its own chunks.
    return lambda chunk: gzip.compress(rewrite(chunk), GZIP_LEVEL, mtime=0)


def _joiner(options: argparse.Namespace) -> Rewriter:
    for name in ("num_merges", "vocabulary", "dropout"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} does not go with --reverse")
    if options.glossaries:
        raise UserError("--glossaries does not go with --reverse")
    return PieceJoiner(options.separator)


def _piece_writer(options: argparse.Namespace) -> Rewriter:
    if options.codes is None:
        raise UserError("--codes FILE is missing", hint="learn the merges with python -m bpe.learn")
    merges = MergeTable.load(options.codes)
    if options.num_merges is not None:
        merges = merges.first(options.num_merges)
    vocabulary = read_vocabulary(options.vocabulary, options.vocabulary_threshold or 0) if options.vocabulary else None
    segmenter = Segmenter(merges, vocabulary, options.glossaries, options.separator)
    if not options.dropout:
        return PieceWriter(segmenter)
    return DropoutPieceWriter(segmenter, options.dropout, 1 if options.seed is None else options.seed)


@contextlib.contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    if path is not None:
        with atomic_write(path) as stream:
            yield stream
            if path.endswith(".gz") and not stream.tell():
                stream.write(gzip.compress(b"", GZIP_LEVEL, mtime=0))
    elif sys.stdout is None:
        raise UserError("is closed", where="standard output", hint="give --output FILE")
    else:
        yield sys.stdout.buffer


def _leave(number: int, _: object) -> NoReturn:
    """End in the orderly way, so that no worker and no half-written file stays."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(run("python -m bpe.segment", main))
