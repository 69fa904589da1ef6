"""A model folder as a function from lines to lines.

from nmt.translator import Translator
Translator.load("model").translate(["Hello world."])
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.bundle import Bundle, load_bundle
from nmt.config import SearchConfig
from nmt.device import pick_device
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis, normalized
from nmt.text import TextPipeline

MAX_SOURCE_PIECES = 256
"""Sources with more pieces are cut, translated part by part, and joined by spaces.

Parts end after a full stop or the like where there is one in their second half, else after a comma or the like, else
after any word; a single word longer than this is cut anywhere.
"""
SENTENCE_ENDS, CLAUSE_ENDS = frozenset(".?!…。？！؟।"), frozenset(",;:、，；：،–—")

Progress = Callable[[int], object]
"Called with a number of lines that were just finished."


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
    "Natural log-probability, </s> included; of a line in several parts their sum."
    score: float
    "log_prob / length**length_penalty."
    finished: bool
    "False where the length limit cut it."
    attention: Tensor | None
    "[pieces, source_pieces + 1], the last column </s>; None unless asked for, and for a line in several parts."


class Translator:
    """Translates lines with a loaded model. Keeps no state between calls."""

    def __init__(self, bundle: Bundle, search: SearchConfig | None = None) -> None:
        """search: None takes the model folder's own search settings."""
        self.bundle = bundle
        self.search = search or bundle.config.search

    @classmethod
    def load(cls, folder: Path | str, *, device: str = "auto", search: SearchConfig | None = None) -> Translator:
        """Load a model folder on a device (auto, cpu, cuda or mps). Raises UserError where either is not there."""
        return cls(load_bundle(Path(folder), pick_device(device)), search)

    def translate(self, lines: Sequence[str], *, progress: Progress | None = None) -> list[str]:
        """The best translation of each line, in order, each on one line. A blank line gives an empty one."""
        return [found[0].text for found in self.translate_detailed(lines, progress=progress)]

    def translate_detailed(
        self, lines: Sequence[str], *, num_best: int = 1, attention: bool = False, progress: Progress | None = None
    ) -> list[list[Translation]]:
        """Up to `num_best` translations of each line, best first, with their pieces and probabilities.

        A line of more than MAX_SOURCE_PIECES pieces has one only. Raises UserError where num_best exceeds the beam.
        """
        parts = [split_source(self.bundle.text, line) for line in lines]
        sources: dict[tuple[str, ...], int] = {}  # each distinct part is searched once
        for part in (part for line in parts for part in line):
            sources.setdefault(part, len(sources))
        with enough_memory():
            found = beam_search(
                self.bundle.model,
                [self._source_ids(pieces) for pieces in sources],
                self.search,
                num_best=num_best,
                keep_attention=attention,
                progress=_scaled(progress, len(sources), len(lines)),
            )
        return [
            [self._joined(line, [found[sources[part]][0] for part in line])]
            if len(line) > 1
            else [self._joined(line, [hypothesis]) for hypothesis in found[sources[line[0]]]]
            for line in parts
        ]

    def _source_ids(self, pieces: Sequence[str]) -> np.ndarray:
        return self.bundle.source_view.from_union(np.array(self.bundle.vocabulary.encode(pieces), dtype=np.int64))

    def _joined(self, parts: Sequence[tuple[str, ...]], hypotheses: Sequence[Hypothesis]) -> Translation:
        """The translation of a line from those of its parts."""
        view, vocabulary, text = self.bundle.target_view, self.bundle.vocabulary, self.bundle.text
        pieces = [vocabulary.decode(view.to_union(np.array(h.pieces, dtype=np.int64)).tolist()) for h in hypotheses]
        log_prob = sum(hypothesis.log_prob for hypothesis in hypotheses)
        length = sum(len(hypothesis.pieces) + hypothesis.finished for hypothesis in hypotheses)
        single = hypotheses[0] if len(hypotheses) == 1 else None
        return Translation(
            text=one_line(" ".join(filter(None, (text.text(part, "target") if part else "" for part in pieces)))),
            source_pieces=tuple(piece for part in parts for piece in part),
            pieces=tuple(piece for part in pieces for piece in part),
            log_prob=log_prob,
            score=single.score if single else normalized(log_prob, length, self.search.length_penalty),
            finished=all(hypothesis.finished for hypothesis in hypotheses),
            attention=single.attention if single else None,
        )


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Turn the device's or the machine's refusal of memory into a UserError that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        refused = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not refused:
            raise
        raise UserError("not enough memory to search", hint="lower --batch-tokens or --beam") from None


def one_line(text: str) -> str:
    """The text with CR and LF, which would break the output's lines, as spaces."""
    return text.replace("\r", " ").replace("\n", " ")


def split_source(text: TextPipeline, line: str, limit: int = MAX_SOURCE_PIECES) -> list[tuple[str, ...]]:
    """A line's pieces in parts of at most `limit`: one part for nearly every line, an empty one for a blank line."""
    pieces = text.pieces(line, "source")
    if len(pieces) <= limit:
        return [tuple(pieces)]
    words = [tuple(text.pieces_of_words([word], "source")) for word in text.words(line, "source")]
    cut = [word[start : start + limit] for word in words for start in range(0, len(word), limit)]
    parts = []
    while cut:
        taken = _part_size(cut, limit)
        parts.append(tuple(piece for word in cut[:taken] for piece in word))
        cut = cut[taken:]
    return parts


def _part_size(words: Sequence[tuple[str, ...]], limit: int) -> int:
    """How many of the words the next part takes: at least one, at most `limit` pieces."""
    sizes = np.cumsum([len(word) for word in words[: limit + 1]])
    fitting = int(np.searchsorted(sizes, limit, side="right"))
    if fitting == len(words):
        return fitting
    for ends in (SENTENCE_ENDS, CLAUSE_ENDS):
        for count in range(fitting, 0, -1):
            if sizes[count - 1] * 2 < limit:
                break
            if words[count - 1][-1][-1:] in ends:
                return count
    return fitting


def _scaled(progress: Progress | None, num_sources: int, num_lines: int) -> Progress | None:
    """A callback that counts sources and reports the like share of lines, all of them in the end."""
    if progress is None:
        return None
    report, done = progress, 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        report(done * num_lines // num_sources - before * num_lines // num_sources)

    return advance
