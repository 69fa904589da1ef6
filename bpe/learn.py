"""Learns merges from word counts: the merges of subword-nmt 0.3.8, ties included, many times faster.

Sennrich et al. (2016), "Neural Machine Translation of Rare Words with Subword Units". A joint BPE is learned on the sum
of both sides' counts.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from bpe.codes import MergeTable
from bpe.command import Parser, run
from bpe.errors import UserError
from bpe.pair_counts import PRUNE_EVERY, PairCounts
from bpe.progress import Progress
from bpe.textfiles import decode_line, read_lines
from bpe.word_index import WordIndex

MAX_MERGES = 1_000_000
"Symbols are numbered by Unicode characters while merges are learned, which is a little more than this many."


def count_words(lines: Iterable[str]) -> Counter[str]:
    """How often each word occurs. As subword-nmt: spaces and line ends are stripped, words stand between spaces."""
    words = Counter(chain.from_iterable(line.strip("\r\n ").split(" ") for line in lines))
    del words[""]
    return words


def learn_merges(
    counts: Mapping[str, int], num_merges: int, *, min_frequency: int = 2, progress: Progress | None = None
) -> MergeTable:
    """Learn at most `num_merges` merges: fewer when no pair of symbols occurs `min_frequency` times any more.

    counts: how often each word occurs. progress: advanced once a merge (in steps). A number out of range is a
    UserError.
    """
    if not 0 <= num_merges <= MAX_MERGES:
        raise UserError(f"{num_merges:,} merges are out of range: it must be 0 to {MAX_MERGES:,}")
    if min_frequency < 1:
        raise UserError(f"a minimum frequency of {min_frequency} is out of range: it must be 1 or more")
    words = WordIndex({word: count for word, count in counts.items() if word and count > 0})
    return MergeTable(tuple(_merges(words, num_merges, min_frequency, progress)))


def _merges(
    words: WordIndex, num_merges: int, min_frequency: int, progress: Progress | None
) -> Iterator[tuple[str, str]]:
    pairs = PairCounts(words.pair_counts(), words.symbols.order)
    for step in range(num_merges):
        pair, count = pairs.best(step)
        if count < min_frequency:
            break
        first, second = words.symbols.spell(pair)
        yield first, second
        pairs.update(pair, words.merge(pair))
        if step % PRUNE_EVERY == 0:
            pairs.prune()
        if progress and step % PRUNE_EVERY == PRUNE_EVERY - 1:
            progress.advance(PRUNE_EVERY)


def _lines_of(path: str) -> Iterator[str]:
    """Lines of a file, or of standard input for '-'."""
    if path != "-":
        return read_lines(path)
    return (decode_line(raw, "standard input", number) for number, raw in enumerate(sys.stdin.buffer, 1))


def _counted(lines: Iterable[str], progress: Progress, every: int = 1000) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if number % every == 0:
            progress.advance(every)
        yield line


def _check_output(output: str, inputs: Sequence[str]) -> None:
    """Find out before the work, not after it, that the result cannot be put there."""
    path = Path(output)
    if path.is_dir():
        raise UserError("is a folder", where=output, hint="give --output the name of a file")
    if path.exists() and any(name != "-" and Path(name).exists() and path.samefile(name) for name in inputs):
        raise UserError("is also an input file", where=output, hint="give --output another name")


def main(argv: Sequence[str]) -> None:
    """The command: files to codes."""
    parser = Parser(prog="python -m bpe.learn", description=__doc__, allow_abbrev=False)
    parser.add_argument("--merges", type=int, required=True, metavar="N", help="merges to learn")
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="FILE", help="text, plain or .gz; - for standard input"
    )
    parser.add_argument("--output", required=True, metavar="CODES", help="codes file to write")
    parser.add_argument(
        "--min-frequency", type=int, default=2, metavar="N", help="merge pairs that occur this often (default: 2)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on standard error")
    options = parser.parse_args(argv)
    _check_output(options.output, options.input)
    counts: Counter[str] = Counter()
    with Progress("Counting words", quiet=options.quiet) as progress:
        for path in options.input:
            counts.update(count_words(_counted(_lines_of(path), progress)))
    if not counts:
        raise UserError("no words to learn from", where=", ".join(options.input))
    with Progress("Learning merges", options.merges, unit="merges", quiet=options.quiet) as progress:
        table = learn_merges(counts, options.merges, min_frequency=options.min_frequency, progress=progress)
    table.save(options.output)
    if len(table) < options.merges and not options.quiet:
        print(
            f"learned {len(table):,} of {options.merges:,} merges: "
            f"no other pair occurs {options.min_frequency:,} times or more",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(run("python -m bpe.learn", main))
