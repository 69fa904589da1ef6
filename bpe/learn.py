"""Learns merges from word counts: the merges of subword-nmt 0.3.8, ties included, many times faster.

Sennrich et al. (2016), "Neural Machine Translation of Rare Words with Subword Units". A joint BPE is learned on the sum
of both sides' counts.
"""

from __future__ import annotations

import argparse
import re
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
from bpe.segmenter import Segmenter
from bpe.textfiles import check_output, decode_line, read_lines, write_lines
from bpe.word_index import WordIndex

MAX_MERGES = 1_000_000
"Symbols are numbered by Unicode characters while merges are learned, which is a little more than this many."


def count_words(lines: Iterable[str]) -> Counter[str]:
    """How often each word occurs. As subword-nmt: spaces and line ends are stripped, words stand between spaces."""
    words = Counter(chain.from_iterable(line.strip("\r\n ").split(" ") for line in lines))
    del words[""]
    return words


def read_word_counts(lines: Iterable[str], where: str) -> Counter[str]:
    """Word counts from lines 'word count'; those of equal words add up. where: for errors, what the lines are of."""
    words: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        parts = line.strip("\r\n ").split(" ")
        if len(parts) != 2 or not re.fullmatch("[0-9]+", parts[1]):
            hint = "a line has a word, one space and a number"
            raise UserError(f"not a word and its count: {line[:60]!r}", where=f"{where}:{number}", hint=hint)
        words[parts[0]] += int(parts[1])
    return words


def count_pieces(words: Mapping[str, int], segmenter: Segmenter) -> Counter[str]:
    """How often each piece occurs in a text of which these are the words; in order of first occurrence, as theirs."""
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        for piece in segmenter.cut(word):
            pieces[piece] += count
    return pieces


def num_character_symbols(counts: Mapping[str, int]) -> int:
    """Symbols before the first merge: the characters within words, and those at the end of one."""
    within: set[str] = set().union(*(word[:-1] for word in counts))
    return len(within) + len({word[-1] for word in counts if word})


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


def _check_outputs(outputs: Sequence[str], inputs: Sequence[str]) -> None:
    """Find out before the work, not after it, that a result cannot be put where it should go."""
    for number, output in enumerate(outputs):
        check_output(output, [name for name in inputs if name != "-"])
        if Path(output).resolve() in [Path(other).resolve() for other in outputs[:number]]:
            raise UserError("two outputs would go there", where=output, hint="give each output a name of its own")


def _parser() -> Parser:
    parser = Parser(prog="python -m bpe.learn", description=__doc__, allow_abbrev=False)
    parser.add_argument("--merges", type=int, required=True, metavar="N", help="merges to learn")
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="FILE", help="text, plain or compressed; - for standard input"
    )
    parser.add_argument("--output", required=True, metavar="CODES", help="codes file to write")
    parser.add_argument(
        "--write-vocabulary",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files for the pieces and counts of each input",
    )
    parser.add_argument("--dict-input", action="store_true", help="the input is lines of a word and its count")
    parser.add_argument(
        "--min-frequency", type=int, default=2, metavar="N", help="merge pairs that occur this often (default: 2)"
    )
    parser.add_argument(
        "--total-symbols", action="store_true", help="learn so many merges less as there are symbols without merges"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on standard error")
    return parser


def _num_merges(counts: Mapping[str, int], options: argparse.Namespace) -> int:
    """The merges to learn; with --total-symbols what the characters leave of them."""
    merges: int = options.merges
    if not options.total_symbols:
        return merges
    characters = num_character_symbols(counts)
    if merges < characters:
        problem = f"{merges:,} symbols in all are too few: there are {characters:,} before the first merge"
        raise UserError(problem, where="--total-symbols", hint="give --merges a larger number")
    if not options.quiet:
        print(f"{characters:,} symbols before the first merge leave {merges - characters:,} merges", file=sys.stderr)
    return merges - characters


def _read_inputs(options: argparse.Namespace) -> Iterator[Counter[str]]:
    """The word counts of each input."""
    with Progress("Counting words", quiet=options.quiet) as progress:
        for path in options.input:
            lines = _counted(_lines_of(path), progress)
            where = "standard input" if path == "-" else path
            yield read_word_counts(lines, where) if options.dict_input else count_words(lines)


def _write_vocabulary(path: str, pieces: Mapping[str, int]) -> None:
    """Lines 'piece count', the most frequent first, as subword-nmt writes them."""
    write_lines(path, (f"{piece} {count}" for piece, count in sorted(pieces.items(), key=lambda item: -item[1])))


def main(argv: Sequence[str]) -> None:
    """The command: files to codes."""
    options = _parser().parse_args(argv)
    vocabularies: list[str] = options.write_vocabulary
    if vocabularies and len(vocabularies) != len(options.input):
        problem = f"{len(vocabularies)} vocabularies for {len(options.input)} inputs"
        raise UserError(problem, where="--write-vocabulary", hint="give one file for each input, in the same order")
    _check_outputs([options.output, *vocabularies], options.input)
    counts: Counter[str] = Counter()
    inputs = []
    for words in _read_inputs(options):
        counts.update(words)
        inputs += [words] if vocabularies else []
    if not counts:
        raise UserError("no words to learn from", where=", ".join(options.input))
    num_merges = _num_merges(counts, options)
    with Progress("Learning merges", num_merges, unit="merges", quiet=options.quiet) as progress:
        table = learn_merges(counts, num_merges, min_frequency=options.min_frequency, progress=progress)
    table.save(options.output)
    segmenter = Segmenter(table)
    for path, words in zip(vocabularies, inputs, strict=True):
        _write_vocabulary(path, count_pieces(words, segmenter))
    if len(table) < num_merges and not options.quiet:
        print(
            f"learned {len(table):,} of {num_merges:,} merges: "
            f"no other pair occurs {options.min_frequency:,} times or more",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(run("python -m bpe.learn", main))
