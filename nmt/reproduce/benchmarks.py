"""Where the word similarity sets are: in a folder that was named, or fetched into one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nmt.corpora.catalogue import find
from nmt.corpora.fetch import fetch
from nmt.corpora.obtain import DownloadSettings
from nmt.reproduce.wordsimilarity import Benchmark, read_benchmarks


@dataclass(frozen=True, kw_only=True)
class BenchmarkSource:
    """What the user said of them."""

    folder: Path | None = None
    "None: they are fetched."
    source: DownloadSettings | None = None
    "Where to fetch them from."

    def read(self, out: Path) -> list[Benchmark]:
        """The paper's five. out: they are fetched into its folder benchmarks/, where they are not there yet."""
        return read_benchmarks(self.folder or self._fetched(out / "benchmarks"))

    def _fetched(self, folder: Path) -> Path:
        corpus = find("word-similarity")
        assert self.source is not None
        fetch(corpus, corpus.resolve(None, None), folder, self.source)
        return folder
