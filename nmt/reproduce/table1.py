"""Table 1 of Press & Wolf (2017) for any corpus and any number of merges: what two languages share of a joint BPE.

The counts are of the whole training text, from the words of each side and how often they occur: merges learned for N
are the first ones of those learned for more, so one learning serves all of them. nmt-prep --joint-bpe N prints the same
row as long as it drops no pair: it counts the pairs that it keeps, which are fewer where a side is empty, too long or
out of proportion. Per-side thresholds (prep.source_threshold, prep.target_threshold) and the further pieces of
prep.bpe_dropout are left out here, as are bytes (prep.min_character_count): rare characters count as pieces.
"""

from __future__ import annotations

import math
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

from bpe.codes import END_OF_WORD, MergeTable
from bpe.encode import apply_merges
from bpe.errors import UserError
from bpe.learn import learn_merges
from bpe.overlap import Overlap
from bpe.progress import Progress
from bpe.segmenter import SEPARATOR
from nmt.config import Config
from nmt.folder.ledger import Size, sizes_of_modes
from nmt.models.build import VocabularySizes
from nmt.prepare.executors import local_workers
from nmt.prepare.files import CorpusFiles
from nmt.prepare.pairs import chunks
from nmt.prepare.sanity import check_sides
from nmt.prepare.shards import Shard, cut, index_pairs, read_shard
from nmt.prepare.subword_learning import MAX_WORD
from nmt.prepare.tokenizing import CHUNK_PAIRS, PairTokenizer, WordCounts, counted_numbers, with_numbers
from nmt.text.pipeline import SIDES, TextOptions
from nmt.text.protection import is_protected
from nmt.text.vocabulary import NUM_SPECIALS
from nmt.tying import Tying

LADDER = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 89_500)
"Numbers of merges that are tried where none are named; the last is the paper's."
RARE = 10
"Pieces seen fewer times than this are counted as rare."
COVERED = 0.95
"The share of pieces that a `common_to` speaks of."


@dataclass(frozen=True, kw_only=True)
class Row:
    """The joint BPE after some number of merges."""

    merges: int
    overlap: Overlap
    source_pieces_per_word: float
    target_pieces_per_word: float
    rare: int
    "Pieces that occur fewer than RARE times, both sides together."
    common_to: int
    "At least COVERED of the pieces that merges made occur this often, both sides together."
    vocabulary: VocabularySizes
    "Rows of the vocabulary that nmt-prep would write, specials included."
    sizes: Mapping[Tying, Size]
    "Parameters of the model in each mode."
    more_work: float
    """How much more arithmetic a piece costs with three-way than with decoder tying, relative to the latter. Counted:
    a multiplication for every parameter outside the vocabulary matrices, and for every number of the output matrix."""

    def saving(self, than: Tying) -> int:
        """Parameters that three-way tying saves in comparison with another mode."""
        return self.sizes[than].total - self.sizes[Tying.THREE_WAY].total

    @property
    def source_shared(self) -> float:
        """Share of the source's pieces that the target has too."""
        return self.overlap.both / (self.overlap.both + self.overlap.source_only)

    @property
    def target_shared(self) -> float:
        """Share of the target's pieces that the source has too."""
        return self.overlap.both / (self.overlap.both + self.overlap.target_only)

    @property
    def more_output(self) -> float:
        """How many more rows a three-way output has, relative to decoder tying: those of the source's own pieces."""
        return self.vocabulary.union / self.vocabulary.target - 1


@dataclass(frozen=True, kw_only=True)
class Table1:
    """A corpus and its rows, by rising merges."""

    files: CorpusFiles
    config: Config
    num_pairs: int
    source_words: int
    target_words: int
    word_types: int
    "Distinct words, both sides together."
    characters: int
    "Distinct characters, both sides together."
    source_scripts: Mapping[str, float]
    "Share of each script among the source's letters, the largest first."
    target_scripts: Mapping[str, float]
    exhausted: bool
    "Fewer merges were there than asked for: the last row has all of them."
    rows: tuple[Row, ...]


def measure(files: CorpusFiles, config: Config, merges: Sequence[int], num_workers: int, quiet: bool) -> Table1:
    """Read the training text once, learn the merges once, and count pieces at every number of merges.

    Fewer than one merge, or text without words, is a UserError.
    """
    wanted = sorted(set(merges))
    if not wanted or wanted[0] < 1:
        raise UserError(f"{min(wanted, default=0):,} merges are out of range: it must be 1 or more", where="--merges")
    prep = config.prep
    if prep.check_sides:
        check_sides({"train": files.splits["train"]})
    options = TextOptions(
        source=files.source,
        target=files.target,
        tokenizer=prep.tokenizer,
        source_normalize=prep.source_normalize,
        target_normalize=prep.target_normalize,
        protect=prep.protect,
    )
    options = with_numbers(options)
    words, num_pairs = count_words(files, options, num_workers, quiet)
    counted_numbers(options, words)
    whole = frozenset(filter(is_protected, words.source | words.target)) if prep.protect else frozenset()
    teachers = {word: n for word, n in words.joint().items() if len(word) <= MAX_WORD and word not in whole}
    with Progress("Learning merges", wanted[-1], unit="merges", quiet=quiet) as progress:
        learned = learn_merges(teachers, wanted[-1], min_frequency=prep.min_frequency, progress=progress)
    steps = [number for number in wanted if number < len(learned)]
    steps += [len(learned)] if len(steps) < len(wanted) else []
    with Progress("Counting pieces", len(words.source | words.target), unit="words", quiet=quiet) as progress:
        pieces = count_pieces(words, learned, steps, whole, progress)
    return Table1(
        files=files,
        config=config,
        num_pairs=num_pairs,
        source_words=words.source.total(),
        target_words=words.target.total(),
        word_types=len(words.source | words.target),
        characters=len(set().union(*teachers)),
        source_scripts=scripts(words.source),
        target_scripts=scripts(words.target),
        exhausted=len(learned) < wanted[-1],
        rows=tuple(_row(number, words, found, config) for number, found in zip(steps, pieces, strict=True)),
    )


@dataclass(frozen=True)
class CountTask:
    """A part of the text whose words are counted."""

    part: Shard
    options: TextOptions

    @property
    def num_pairs(self) -> int:
        """Pairs to work on."""
        return self.part.num_pairs


def count_words(files: CorpusFiles, options: TextOptions, num_workers: int, quiet: bool) -> tuple[WordCounts, int]:
    """How often each token occurs on each side of the training text, and the number of pairs."""
    _tokenizer(options)  # made here too, so that a missing package is reported at once
    pairs, counts = files.splits["train"], WordCounts()
    with tempfile.TemporaryDirectory() as unpacked, local_workers(num_workers) as executor:
        with Progress("Finding lines", quiet=quiet) as progress:
            indexed = index_pairs(pairs, Path(unpacked) / "train", progress)
        tasks = [CountTask(part, options) for part in cut("train", indexed, num_workers)]
        num_pairs = sum(task.num_pairs for task in tasks)
        with Progress("Counting words", num_pairs, unit="pairs", quiet=quiet) as progress:
            for task, words in zip(tasks, executor.map(count_part, tasks), strict=True):
                counts.update(words)
                progress.advance(task.num_pairs)
    if not counts.source or not counts.target:
        empty = [str(pair.target if counts.source else pair.source) for pair in pairs]
        raise UserError("no words", where=", ".join(empty), hint="check that the file is the right one")
    return counts, num_pairs


def count_part(task: CountTask) -> WordCounts:
    """The words of a part."""
    tokenizer, counts = _tokenizer(task.options), WordCounts()
    for lines in chunks(read_shard(task.part), CHUNK_PAIRS):
        for side, own in zip(SIDES, tokenizer.words(*lines), strict=True):
            counts.of(side).update(chain.from_iterable(own.words))
    return counts


@lru_cache(maxsize=1)
def _tokenizer(options: TextOptions) -> PairTokenizer:
    """Made once in each process that counts."""
    return PairTokenizer(options)


def count_pieces(
    words: WordCounts, learned: MergeTable, steps: Sequence[int], whole: Collection[str], progress: Progress
) -> list[WordCounts]:
    """How often each piece occurs on each side with the first `steps[0]`, `steps[1]` ... merges, in rising order.

    A word's pieces at one step are where those of the next begin: earlier merges always come first, so that none of
    them is possible any more when a later one is made. whole: words that are never cut.
    """
    ranks = [{pair: rank for rank, pair in reversed(list(enumerate(learned.merges[:step])))} for step in steps]
    found = [WordCounts() for _ in steps]
    for word in words.source | words.target:
        source, target = words.source.get(word, 0), words.target.get(word, 0)
        symbols = [word] if word in whole else [*word[:-1], word[-1] + END_OF_WORD]
        for rank, counts in zip(ranks, found, strict=True):
            symbols = apply_merges(symbols, rank)
            for piece in _spelled(symbols):
                if source:
                    counts.source[piece] += source
                if target:
                    counts.target[piece] += target
        progress.advance()
    return found


def _spelled(symbols: Sequence[str]) -> list[str]:
    """Symbols as pieces of text."""
    return [*(symbol + SEPARATOR for symbol in symbols[:-1]), symbols[-1].removesuffix(END_OF_WORD)]


def _row(merges: int, words: WordCounts, pieces: WordCounts, config: Config) -> Row:
    overlap = Overlap.of(pieces.source, pieces.target)
    vocabulary = VocabularySizes(
        source=NUM_SPECIALS + overlap.both + overlap.source_only,
        target=NUM_SPECIALS + overlap.both + overlap.target_only,
        union=NUM_SPECIALS + overlap.union,
    )
    joint, sizes = pieces.joint(), sizes_of_modes(config.model, vocabulary)
    work = sizes[Tying.DECODER].other + vocabulary.target * config.model.embedding_size
    return Row(
        merges=merges,
        overlap=overlap,
        source_pieces_per_word=overlap.source_running / words.source.total(),
        target_pieces_per_word=overlap.target_running / words.target.total(),
        rare=sum(count < RARE for count in joint.values()),
        common_to=common_to(joint),
        vocabulary=vocabulary,
        sizes=sizes,
        more_work=(vocabulary.union - vocabulary.target) * config.model.embedding_size / work,
    )


def common_to(pieces: Mapping[str, int]) -> int:
    """The largest n such that at least COVERED of the pieces of two characters and more occur n times; 0 without any.

    Single characters are there whatever the number of merges, so rare ones say nothing about it.
    """
    counts = sorted((n for piece, n in pieces.items() if len(piece.removesuffix(SEPARATOR)) > 1), reverse=True)
    return counts[math.ceil(COVERED * len(counts)) - 1] if counts else 0


def scripts(words: Mapping[str, int]) -> dict[str, float]:
    """Share of each script among the running letters, by the first word of their Unicode names: 'Latin', 'Cyrillic'."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    letters: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha():
            letters[unicodedata.name(character, "unnamed").split()[0].capitalize()] += count
    return {script: count / letters.total() for script, count in letters.most_common()}
