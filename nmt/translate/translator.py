"""A model folder as a function from lines to lines.

from nmt.translate.translator import Translator
Translator.load("model").translate(["Hello world."])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.device import pick_device
from nmt.folder.bundle import Bundle, load_bundle
from nmt.search.counting import Amiss
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.translate.glossary import Glossary
from nmt.translate.lines import LineReader, SearchJob, Translation, VocabularyRows
from nmt.translate.searcher import Searcher

Progress = Callable[[int], object]
"Called with a number of lines that were just finished."


@dataclass(frozen=True)
class _Found:
    """What came of a job."""

    hypotheses: list[Hypothesis]
    amiss: Amiss


class Translator(LineReader):
    """Translates lines with a loaded model, or several as one. Keeps no state between calls.

    Safe to call from several threads at once: each gets what it would get alone.
    """

    def __init__(
        self,
        bundle: Bundle,
        search: SearchConfig | None = None,
        *,
        ensemble: Sequence[Bundle] = (),
        glossary: Glossary | None = None,
    ) -> None:
        """search: None takes the model folder's own search settings. ensemble: models to average with.

        A language model that the settings name is loaded here. Raises UserError where the models do not go together, or
        cannot take a glossary.
        """
        search = search or bundle.config.search
        self.bundle, self.ensemble = bundle, tuple(ensemble)
        self.searcher = Searcher.of([bundle, *ensemble], search)
        rows = VocabularyRows(bundle.vocabulary, self.searcher.source_view, self.searcher.target_view)
        super().__init__(bundle.text, rows, search, glossary)

    @classmethod
    def load(
        cls,
        *folders: Path | str,
        device: str = "auto",
        search: SearchConfig | None = None,
        glossary: Glossary | None = None,
    ) -> Translator:
        """Load a model folder, or several as an ensemble, on a device (auto, cpu, cuda or mps).

        Raises UserError where one is not there, is damaged, or does not go with the first.
        """
        first, *others = (load_bundle(Path(folder), pick_device(device)) for folder in folders)
        return cls(first, search, ensemble=others, glossary=glossary)

    def translate(self, lines: Sequence[str], *, progress: Progress | None = None) -> list[str]:
        """The best translation of each line, in order, each on one line. A blank line gives an empty one."""
        return [found[0].text for found in self.translate_detailed(lines, progress=progress)]

    def translate_detailed(
        self,
        lines: Sequence[str],
        *,
        num_best: int = 1,
        attention: bool = False,
        prefixes: Sequence[str] | None = None,
        first_line: int = 0,
        progress: Progress | None = None,
    ) -> list[list[Translation]]:
        """Up to `num_best` translations of each line, best first, with their pieces and probabilities.

        attention: with the attention and the log-probability of each piece. prefixes: for each line, raw text that its
        translation begins with, letter by letter; may be blank. first_line: number of the first line in the whole
        input, which sampling's draws follow from. A line in several parts has one translation only. Raises UserError
        where num_best exceeds the beam, or there is not a prefix for each line.
        """
        if prefixes is not None and len(prefixes) != len(lines):
            raise UserError(f"{len(prefixes):,} prefixes for {len(lines):,} lines", hint="one for each line")
        given = prefixes or [""] * len(lines)
        lines_of_jobs = [
            self._jobs(line, number, prefix)
            for number, (line, prefix) in enumerate(zip(lines, given, strict=True), first_line)
        ]
        jobs = dict.fromkeys(job for line in lines_of_jobs for job in line)  # each distinct one is searched once
        wanted = Wanted(
            num_best=num_best,
            attention=attention or self.search.replace_unknown,
            prefixes=[self._target_ids(job.prefix) for job in jobs] if prefixes else None,
            shortlist=self.searcher.shortlist,
            source_only=self.searcher.source_only,
            counted=self.searcher.placeholders,
            quotas=[self.quota(job.pieces) for job in jobs] if self.searcher.placeholders else None,
            progress=_scaled(progress, len(jobs), len(lines)),
            numbers=[job.number for job in jobs],
        )
        results = self.searcher.search([self.source_ids(job.pieces) for job in jobs], wanted)
        found = {job: _Found(*each) for job, each in zip(jobs, zip(*results, strict=True), strict=True)}
        return [
            [self._joined([self._all(job, found[job], attention)[0] for job in line], line)]
            if len(line) > 1
            else self._all(line[0], found[line[0]], attention)
            for line in lines_of_jobs
        ]

    def _all(self, job: SearchJob, found: _Found, attention: bool) -> list[Translation]:
        """The translations of a part, best first."""
        return [self._one(job, each, found.amiss, attention) for each in found.hypotheses]


def _scaled(progress: Progress | None, num_jobs: int, num_lines: int) -> Progress | None:
    """A callback that counts jobs and reports the like share of lines, all of them in the end."""
    if progress is None:
        return None
    report, done = progress, 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        report(done * num_lines // num_jobs - before * num_lines // num_jobs)

    return advance
