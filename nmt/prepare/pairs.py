"""Reading parallel text, a chunk of pairs at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.prepare.bitext import Pair, read_bitext
from nmt.prepare.files import PairOfFiles

__all__ = ["Pair", "chunks", "read_pairs", "unequal"]


def read_pairs(files: PairOfFiles) -> Iterator[Pair]:
    """Pairs of raw lines; unequal numbers of lines are a UserError with both."""
    if files.form is not None:
        yield from read_bitext(files.source, files.form)
        return
    source, target = read_lines(files.source), read_lines(files.target)
    number = 0
    for number, line in enumerate(source, 1):
        other = next(target, None)
        if other is None:
            raise unequal(files, number + sum(1 for _ in source), number - 1)
        yield line, other
    left = sum(1 for _ in target)
    if left:
        raise unequal(files, number, number + left)


def chunks(pairs: Iterator[Pair], size: int) -> Iterator[tuple[list[str], list[str]]]:
    """Source and target lines of up to `size` pairs at a time."""
    while chunk := list(islice(pairs, size)):
        yield [source for source, _ in chunk], [target for _, target in chunk]


def unequal(files: PairOfFiles, source: int, target: int) -> UserError:
    """The error of two files with different numbers of lines."""
    problem = f"{files.source} has {source:,} lines but {files.target} has {target:,}"
    return UserError(
        problem, hint="line n of one must translate line n of the other; find the first line that does not"
    )
