"""From the training text to a text pipeline: learn the joint merges, or a sentencepiece model."""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bpe.errors import UserError
from bpe.fallback import FALLBACK_PIECES
from bpe.learn import learn_merges
from bpe.progress import Progress
from bpe.segmenter import SEPARATOR
from nmt.config import PrepConfig
from nmt.packages import import_package
from nmt.prepare.manifest import LearnedSubwords
from nmt.prepare.tokenizing import WordCounts
from nmt.text.pipeline import SENTENCEPIECE_BYTES, SIDES, Side, TextOptions, TextPipeline
from nmt.text.placeholders import NUMBERED
from nmt.text.protection import is_protected

MAX_WORD = 1_000
"Longer words (data that is not text) teach no merges."
TRAINING_THREADS = 2
"The unigram model depends on their number, so it is not the machine's."
MANY_CHARACTERS_COVERAGE = 0.9995
"Share of the running characters that get a piece, where single characters would fill over a quarter of the pieces."
SENTENCES = 2_000_000
"Lines, drawn at random with a fixed seed, that sentencepiece holds in memory."


def learn_bpe(
    counts: WordCounts, prep: PrepConfig, options: TextOptions, quiet: bool
) -> tuple[TextPipeline, LearnedSubwords]:
    """The joint merges of both sides, and the pieces each side may use where there are thresholds.

    Protected words teach nothing: they are removed from the counts.
    """
    whole = {side: set(filter(is_protected, counts.of(side))) if options.protect else set() for side in SIDES}
    if options.protect:
        counts.remove(is_protected)
    joint = counts.joint()
    characters = count_characters(joint)
    if prep.min_character_count:
        options = replace(options, byte_fallback=True, rare_characters=rare_characters(characters, prep))
    too_long = [word for word in joint if len(word) > MAX_WORD]
    for word in too_long:
        del joint[word]
    with Progress("Learning merges", prep.joint_bpe, unit="merges", quiet=quiet) as progress:
        merges = learn_merges(joint, prep.joint_bpe, min_frequency=prep.min_frequency, progress=progress)
    learned = LearnedSubwords(
        requested=prep.joint_bpe,
        learned=len(merges.merges),
        unit="merges",
        characters=len(characters),
        rare_characters=len(options.rare_characters),
        words=len(joint),
        words_too_long=len(too_long),
    )
    pipeline = TextPipeline(options, merges)
    thresholds: dict[Side, int] = {"source": prep.source_threshold, "target": prep.target_threshold}
    allowed = {
        f"{side}_pieces": _frequent(pipeline, counts.of(side), whole[side], side, threshold) if threshold else None
        for side, threshold in thresholds.items()
    }
    if any(pieces is not None for pieces in allowed.values()):
        pipeline = TextPipeline(replace(options, **allowed), merges)  # type: ignore[arg-type]
    return pipeline, learned


def count_characters(words: Mapping[str, int]) -> Counter[str]:
    """How often each character occurs."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    return characters


def rare_characters(characters: Mapping[str, int], prep: PrepConfig) -> str:
    """Those that are spelt in bytes, in order."""
    return "".join(sorted(one for one, count in characters.items() if count < prep.min_character_count))


def _frequent(
    pipeline: TextPipeline, words: Counter[str], whole: set[str], side: Side, threshold: int
) -> tuple[str, ...]:
    """Pieces that occur at least `threshold` times on a side, sorted. whole: words that are never cut."""
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        for piece in pipeline.pieces_of_words([word], side):
            pieces[piece] += count
    kept = tuple(sorted(piece for piece, count in pieces.items() if count >= threshold))
    if not kept:
        most = max(pieces.values(), default=0)
        hint = f"lower it: the most frequent piece of this side occurs {most:,} times"
        raise UserError(f"no piece occurs {threshold:,} times", where=f"prep.{side}_threshold", hint=hint)
    if not pipeline.options.byte_fallback:
        return kept
    # Only rare characters are to become bytes, not those of words that are cut smaller.
    characters = {letter + SEPARATOR for word in words for letter in word[:-1]}.union(word[-1:] for word in words)
    return tuple(sorted(characters.union(kept, whole, FALLBACK_PIECES)))


def learn_sentencepiece(
    tokenized: Sequence[Path], prep: PrepConfig, options: TextOptions
) -> tuple[TextPipeline, LearnedSubwords]:
    """A sentencepiece model of both sides' text together. tokenized: files of their cleaned lines."""
    assert prep.sentencepiece is not None
    sentencepiece = import_package("sentencepiece", "--sentencepiece")
    if prep.source_threshold or prep.target_threshold:
        problem = "thresholds cut BPE pieces smaller; they do nothing for sentencepiece"
        raise UserError(problem, where="prep.source_threshold, prep.target_threshold", hint="set them to 0")
    numbering = options.make_numbering()
    characters: Counter[str] = Counter()
    for line in _lines(tokenized):
        characters.update(NUMBERED.sub("", line))
    rare = rare_characters(characters, prep)
    num_bytes = len(SENTENCEPIECE_BYTES) if prep.min_character_count else 0
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(1)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(tokenized) if numbering is None else map(numbering.known, _lines(tokenized)),
            model_writer=model,
            vocab_size=prep.sentencepiece + num_bytes,
            model_type=prep.sentencepiece_model,
            input_sentence_size=SENTENCES,
            shuffle_input_sentence=True,
            character_coverage=_coverage(characters, rare, prep.sentencepiece),
            byte_fallback=num_bytes > 0,
            num_threads=TRAINING_THREADS,
            normalization_rule_name="identity",
            user_defined_symbols=list(numbering.words) if numbering is not None else [],
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _sentencepiece_error(str(error), prep.sentencepiece, num_bytes) from None
    noted = replace(options, byte_fallback=num_bytes > 0, rare_characters=rare if num_bytes else "")
    pipeline = TextPipeline(noted, model.getvalue())
    learned = LearnedSubwords(
        requested=prep.sentencepiece,
        learned=prep.sentencepiece,
        unit="pieces",
        characters=len(characters),
        rare_characters=len(rare),
        words=0,
        words_too_long=0,
    )
    return pipeline, learned


def _coverage(characters: Counter[str], rare: str, size: int) -> float:
    """Share of the running characters that get a piece: all but the rare ones, and fewer where they are too many.

    sentencepiece takes characters, the most frequent first, until they are so many.
    """
    total = characters.total() - characters[" "]
    covered = 1 - (sum(characters[one] for one in rare) + 0.5 * bool(rare)) / max(1, total)
    return covered if len(characters) - len(rare) <= size // 4 else min(covered, MANY_CHARACTERS_COVERAGE)


def _lines(paths: Sequence[Path]) -> Iterator[str]:
    """All lines that are not empty."""
    for path in paths:
        with open(path, encoding="utf-8", newline="\n") as stream:
            for line in stream:
                text = line.removesuffix("\n")
                if text:
                    yield text


def _sentencepiece_error(message: str, size: int, num_bytes: int) -> UserError:
    """sentencepiece's own message in our form; it names the limits, of which bytes are a part."""
    highest = re.search(r"set it to a value <= (\d+)", message)
    if highest:
        problem, hint = f"{size:,} pieces are too many for this text", f"the most is {int(highest[1]) - num_bytes:,}"
    else:
        lowest = re.search(r"\d+ vs (\d+)", message)
        if lowest:
            problem = f"{size:,} pieces are too few for the characters of this text"
            hint = f"it takes more than {int(lowest[1]) - num_bytes:,}"
        else:
            problem, hint = f"sentencepiece failed: {message}", "check the training text"
    return UserError(problem, where="--sentencepiece", hint=hint)


def report_learned(learned: LearnedSubwords, min_frequency: int, quiet: bool) -> None:
    """Say so on standard error where fewer merges were learned than asked for."""
    if learned.learned < learned.requested and not quiet:
        why = f"no pair occurs {'twice' if min_frequency == 2 else f'{min_frequency:,} times'} any more"
        print(f"learned {learned.learned:,} of {learned.requested:,} merges: {why}", file=sys.stderr)
