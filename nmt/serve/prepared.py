"""Texts of a request, cut into what is searched; and their translations, put together from what was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from nmt.explain.words import Words, words_of
from nmt.search.hypothesis import Hypothesis
from nmt.serve.lane import Found, Kind, SearchTask
from nmt.serve.markup import Html
from nmt.serve.plaintext import Document, PlainText
from nmt.serve.worker import longest_of
from nmt.translate.lines import LineReader, SearchJob, Translation

NOTHING = Hypothesis(pieces=(), log_prob=0.0, score=0.0)
"The translation of a part without pieces."


@dataclass(frozen=True)
class LineWords:
    """A line word by word."""

    source_start: int
    "Where it begins in its text."
    target_start: int
    "Where its translation does."
    words: Words
    "Places count from there."


class Prepared:
    """The texts of one request that one model translates. Makes and reads tasks: takes a moment for long texts."""

    def __init__(
        self,
        reader: LineReader,
        number: int,
        texts: Sequence[str],
        *,
        html: bool = False,
        num_best: int = 1,
        words: bool = False,
    ) -> None:
        """number: of the model. num_best: translations wanted of each text, the best first. words: `words` is wanted,
        which texts without markup have."""
        assert not (html and words), "places in markup are not told"
        self._reader, self._num_best = reader, num_best
        pipeline = reader.text
        self._documents: list[Document] = [Html(text, pipeline) if html else PlainText(text) for text in texts]
        self._attention = words or any(document.attention for document in self._documents)
        self._jobs = [[reader.jobs(line) for line in document.lines] for document in self._documents]
        self._lanes: dict[int, list[SearchJob]] = {}
        distinct = dict.fromkeys(job for lines in self._jobs for jobs in lines for job in jobs if job.pieces)
        for job in distinct:
            self._lanes.setdefault(longest_of(len(job.pieces)), []).append(job)
        attention = self._attention or reader.search.replace_unknown
        self.tasks = [
            SearchTask(
                Kind(number, num_best, attention, longest),
                [reader.source_ids(job.pieces) for job in jobs],
                [reader.quota(job.pieces) for job in jobs] if reader.text.placeholders else None,
            )
            for longest, jobs in self._lanes.items()
        ]
        "What is to be searched: short parts and long ones, each part once."

    def texts(self, found: Sequence[Found]) -> list[list[str]]:
        """For each text its translations, all different, the best first; found: of each task."""
        hypotheses = self._hypotheses(found)
        return [
            list(
                dict.fromkeys(
                    document.text([self._translation(jobs, hypotheses, rank) for jobs in lines])
                    for rank in range(self._num_best)
                )
            )
            for document, lines in zip(self._documents, self._jobs, strict=True)
        ]

    def words(self, found: Sequence[Found]) -> list[list[LineWords]]:
        """For each text its lines word by word, the best translation of each; found: of each task."""
        hypotheses = self._hypotheses(found)
        pipeline = self._reader.text
        result = []
        for document, lines in zip(self._documents, self._jobs, strict=True):
            assert isinstance(document, PlainText)
            best = [self._translation(jobs, hypotheses, 0) for jobs in lines]
            starts = zip(document.starts(document.lines), document.starts([each.text for each in best]), strict=True)
            rows = zip(starts, document.lines, best, strict=True)
            result.append([LineWords(*places, words_of(each, line, pipeline)) for places, line, each in rows])
        return result

    def _hypotheses(self, found: Sequence[Found]) -> dict[SearchJob, list[Hypothesis]]:
        """What was found of each job."""
        return {
            job: best
            for jobs, results in zip(self._lanes.values(), found, strict=True)
            for job, best in zip(jobs, results, strict=True)
        }

    def _translation(
        self, jobs: Sequence[SearchJob], found: dict[SearchJob, list[Hypothesis]], rank: int
    ) -> Translation:
        """A line with the hypothesis of a rank in each of its parts, or the last there is."""
        listed = [found.get(job, [NOTHING]) for job in jobs]
        chosen = [best[min(rank, len(best) - 1)] for best in listed]
        if not self._attention or len(jobs) == 1:
            return self._reader.read(jobs, chosen, attention=self._attention)
        # The attention of a whole text has as many cells as its pieces squared: that of its parts is enough.
        pairs = zip(jobs, chosen, strict=True)
        parts = [self._reader.read([job], [hypothesis], attention=True) for job, hypothesis in pairs]
        return dataclasses.replace(self._reader.read(jobs, chosen), parts=tuple(parts))
