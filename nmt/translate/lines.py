"""Lines <-> what a model reads and writes: a line's parts as ids of pieces, and what a search found as text again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from nmt.config import SearchConfig
from nmt.search.counting import NOTHING_AMISS, Amiss
from nmt.search.hypothesis import Hypothesis
from nmt.search.scoring import Scoring
from nmt.text.pipeline import TextPipeline
from nmt.text.placeholders import Strings
from nmt.text.vocabulary import SourceView, TargetView, Vocabulary
from nmt.translate.alignment import pharaoh, replace_unknown
from nmt.translate.glossary import Glossary
from nmt.translate.segments import Segment, segments_of, source_prefix

MAX_PARTS = 1 << 20
"Of a line, in the numbers that sampling's draws follow from."


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One translation of one line."""

    text: str
    "Raw text on one line: it holds no CR or LF."
    source_pieces: tuple[str, ...]
    "What the model read; pieces it does not know were read as unknown."
    pieces: tuple[str, ...]
    "What the model wrote, </s> left out."
    log_prob: float
    "The model's natural log-probability, </s> included; of a line in several parts their sum."
    score: float
    """What it is ranked by: (log_prob + penalty) / length**length_penalty, or as the search settings say.

    With a language model, language_model_weight times language_log_prob joins the sum.
    """
    penalty: float
    "What the repetition penalty added to log_prob where score was made of it; 0 without one."
    finished: bool
    "False where the length limit cut it."
    language_log_prob: float | None = None
    "That of a language model that joins in, of the same pieces; None: none does."
    log_probs: tuple[float, ...] | None
    "Natural log-probability of each piece and, where it was written, of each part's </s>; None unless asked for."
    attention: Tensor | None
    "[pieces, source_pieces + 1], the last column </s>, float32 on the CPU; None unless asked for."
    subwords: str
    "How pieces make words: bpe, sentencepiece or none."
    strings: Strings = ()
    "What the numbered placeholders of the source stand for."
    amiss: Amiss = NOTHING_AMISS
    "What was amiss with numbered placeholders before it was mended; of a line's best translation."
    parts: tuple[Translation, ...] = ()
    "Of a line that was translated in parts, theirs."

    def alignment(self, *, of_pieces: bool = False) -> str:
        """Source-target pairs of words (or pieces) in Pharaoh's format, from 0: "0-0 1-2". Needs the attention."""
        assert self.attention is not None, "ask for attention"
        return pharaoh(self.source_pieces, self.pieces, self.attention, self.subwords, of_pieces=of_pieces)


@dataclass(frozen=True)
class SearchJob:
    """What is searched at once: a part of a line, what its translation must begin with, and its number.

    Parts that differ in what is not compared are searched once.
    """

    pieces: tuple[str, ...]
    prefix: tuple[str, ...]
    number: int
    after: str = field(compare=False)
    strings: Strings = field(compare=False)
    given: str = field(compare=False)
    "The prefix as it was given."


@dataclass(frozen=True)
class VocabularyRows:
    """Which rows of a model are which pieces."""

    vocabulary: Vocabulary
    source: SourceView
    target: TargetView


class LineReader:
    """Reads lines for a model and writes what it found. Keeps no state between calls."""

    def __init__(
        self, text: TextPipeline, rows: VocabularyRows, search: SearchConfig, glossary: Glossary | None = None
    ) -> None:
        """Raises UserError where the pieces of `search.prefix_source` are not the model's, or it takes no glossary."""
        if glossary is not None:
            glossary.check(text)
        self.text, self.rows, self.search, self.glossary = text, rows, search, glossary
        self._placeholders = frozenset(text.placeholders)
        self._source_prefix = source_prefix(rows.vocabulary, search)
        self._fused = search.language_model is not None and search.language_model_weight != 0

    def _jobs(self, line: str, number: int, prefix: str) -> list[SearchJob]:
        """What is searched for a line. Where nothing is drawn, equal texts are equal jobs."""
        parts = segments_of(
            self.text,
            line,
            sentences=self.search.split_sentences,
            glossary=self.glossary,
            prefix=self._source_prefix,
        )
        first = number * MAX_PARTS if self.search.sampling else 0
        numbers = range(first, first + len(parts)) if self.search.sampling else [0] * len(parts)
        prefixes = [prefix, *[""] * len(parts)]
        return [self._job(*each) for each in zip(parts, prefixes, numbers, strict=False)]

    def _job(self, part: Segment, prefix: str, number: int) -> SearchJob:
        pieces = tuple(self.text.pieces_of_target(prefix, part.strings)) if prefix else ()
        return SearchJob(part.pieces, pieces, number, part.after, part.strings, prefix if pieces else "")

    def quota(self, pieces: Sequence[str]) -> Counter[int]:
        """How often each numbered placeholder, a target id, is in a source."""
        placeholders = self._placeholders
        return (
            Counter(self._target_ids([piece for piece in pieces if piece in placeholders]))
            if placeholders
            else Counter()
        )

    def jobs(self, line: str) -> list[SearchJob]:
        """What is searched for a line, for who searches it himself; without random draws."""
        return self._jobs(line, 0, "")

    def read(self, jobs: Sequence[SearchJob], found: Sequence[Hypothesis], *, attention: bool = False) -> Translation:
        """The translation of a line from its jobs and a hypothesis of each. attention: as in `translate_detailed`."""
        pairs = zip(jobs, found, strict=True)
        parts = [self._one(job, hypothesis, NOTHING_AMISS, attention) for job, hypothesis in pairs]
        return parts[0] if len(parts) == 1 else self._joined(parts, jobs)

    def source_ids(self, pieces: Sequence[str]) -> np.ndarray:
        """Pieces as the model's source ids, [S] int64."""
        return self.rows.source.from_union(np.array(self.rows.vocabulary.encode(pieces), dtype=np.int64))

    def _target_ids(self, pieces: Sequence[str]) -> list[int]:
        ids = np.array(self.rows.vocabulary.encode(pieces), dtype=np.int64)
        return list(map(int, self.rows.target.from_union(ids)))

    def _one(self, job: SearchJob, hypothesis: Hypothesis, amiss: Amiss, attention: bool) -> Translation:
        """A translation of a part. Of a blank line it is empty, whatever was given."""
        subwords = self.text.options.subwords
        ids = self.rows.target.to_union(np.array(hypothesis.pieces, dtype=np.int64)).tolist()
        given = job.prefix if job.pieces else ()
        pieces = written = (*given, *self.rows.vocabulary.decode(ids)[len(given) :])
        if self.search.replace_unknown and hypothesis.attention is not None:
            written = replace_unknown(pieces, job.pieces, hypothesis.attention, subwords)
        weights = hypothesis.attention if attention else None
        if attention and weights is None:  # of an empty source
            weights = torch.zeros(0, len(job.pieces) + 1)
        return Translation(
            text=one_line(self._text(written, job)) if written else "",
            source_pieces=job.pieces,
            pieces=pieces,
            log_prob=hypothesis.log_prob,
            score=hypothesis.score,
            penalty=hypothesis.penalty,
            language_log_prob=hypothesis.language_log_prob if self._fused else None,
            finished=hypothesis.finished,
            log_probs=(hypothesis.log_probs or ()) if attention else None,
            attention=weights,
            subwords=subwords,
            strings=job.strings,
            amiss=amiss,
        )

    def _text(self, pieces: Sequence[str], job: SearchJob) -> str:
        """Raw text of pieces; what was given of it stands as it was given."""
        text = self.text.text(pieces, "target", job.strings)
        if not job.prefix:
            return text
        return with_beginning(text, self.text.text(job.prefix, "target", job.strings), job.given)

    def _joined(self, parts: Sequence[Translation], jobs: Sequence[SearchJob]) -> Translation:
        """The translation of a line from those of its parts, which need not be sentences."""
        texts = [one.text + job.after for one, job in zip(parts, jobs, strict=True) if one.text]
        log_prob, penalty = sum(one.log_prob for one in parts), sum(one.penalty for one in parts)
        language = sum(one.language_log_prob or 0.0 for one in parts) if self._fused else None
        added = penalty + self.search.language_model_weight * (language or 0.0)
        finished = [one.finished for one in parts]
        length = sum(len(one.pieces) for one in parts) + sum(finished)
        weights = [one.attention for one in parts if one.attention is not None]
        return Translation(
            text=one_line("".join(texts).rstrip() if jobs[0].given else "".join(texts).strip()),
            source_pieces=tuple(chain.from_iterable(one.source_pieces for one in parts)),
            pieces=tuple(chain.from_iterable(one.pieces for one in parts)),
            log_prob=log_prob,
            score=Scoring(self.search).score(log_prob + added, length),
            penalty=penalty,
            language_log_prob=language,
            finished=all(finished),
            log_probs=tuple(chain.from_iterable(one.log_probs or () for one in parts)) if weights else None,
            attention=_block_diagonal(weights) if weights else None,
            subwords=parts[0].subwords,
            strings=tuple(chain.from_iterable(one.strings for one in parts)),
            amiss=Amiss(sum(one.amiss.missing for one in parts), sum(one.amiss.invented for one in parts)),
            parts=tuple(parts),
        )


def _block_diagonal(parts: Sequence[Tensor]) -> Tensor:
    """[T, S + 1] of each part -> that of the whole: a part looks at its own source and at </s>, the last column."""
    sources = torch.block_diag(*(part[:, :-1] for part in parts))
    return torch.cat([sources, torch.cat([part[:, -1:] for part in parts])], 1)


def with_beginning(text: str, begins: str, given: str) -> str:
    """The text with its beginning as it was given.

    begins: what `text` would be if nothing followed. Tokenizers that guess set spaces by what follows, and change
    nothing else, so that the beginning is as many characters of the text that are no spaces.
    """
    places = [place for place, character in enumerate(text, 1) if character != " "]
    end = places[len(begins.replace(" ", "")) - 1] if begins.strip(" ") else 0
    rest = text[end:]
    return given + (rest.lstrip(" ") if given.endswith(" ") else rest)


def one_line(text: str) -> str:
    """The text with CR and LF, which would break the output's lines, as spaces."""
    return text.replace("\r", " ").replace("\n", " ")
