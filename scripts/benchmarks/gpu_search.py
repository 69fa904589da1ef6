"""Search speed of our recurrent model with fresh weights: many sentences at once, and one after the other."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nmt.config import ModelConfig, SearchConfig
from nmt.data.corpus import PreparedCorpus
from nmt.models.build import VocabularySizes, build_model
from nmt.models.inference import for_search
from nmt.search.request import Wanted
from nmt.text.vocabulary import SourceView, TargetView, Vocabulary
from nmt.translate.searcher import Searcher
from scripts.benchmarks.report import Column, Row, Table
from scripts.benchmarks.train_parts import Stopwatch
from scripts.benchmarks.train_text import TrainingText

BEAM = 5
BATCH_TOKENS = (4096, 16_384)
PRECISIONS = ("float32", "bf16")
COLUMNS = (
    Column("products", "precision"),
    Column("source pieces at once", "batch_tokens", ",.0f"),
    Column("sentences/s", "sentences_per_second", ",.1f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column("one: median ms", "alone_milliseconds", ",.1f"),
)


@dataclass(frozen=True, kw_only=True)
class SearchWork:
    """What is translated, to pieces of a length that is forced."""

    text: TrainingText
    model: ModelConfig
    device: torch.device
    length: int
    sentences: int
    alone: int


def search_table(work: SearchWork) -> Table:
    """The table of all precisions and batches."""
    rows = work.text.rows
    model = build_model(work.model, VocabularySizes(rows, rows, rows)).to(work.device).eval()
    pairs = PreparedCorpus(work.text.folder, {"splits": {"train": {}}}, Vocabulary((), (), ())).split("train")
    sources = [np.asarray(pairs.source(line), dtype=np.int64) for line in range(min(work.sentences, len(pairs)))]
    found: list[Row] = []
    for precision in PRECISIONS:
        searched = for_search(model, precision)
        for batch_tokens in BATCH_TOKENS:
            config = SearchConfig(
                beam=BEAM,
                min_length=work.length,
                max_length=work.length,
                precision=precision,
                batch_tokens=batch_tokens,
            )
            views = SourceView(rows), TargetView(first=rows, gap=0, size=rows)
            found.append(_measured(Searcher(searched, *views, config, None), work, sources))
    size = f"beam {BEAM}, {len(sources):,} sentences -> {work.length} pieces, {rows:,} rows"
    return Table(title=f"Search, {size}", columns=COLUMNS, rows=found)


def _measured(searcher: Searcher, work: SearchWork, sources: Sequence[np.ndarray]) -> Row:
    def milliseconds(searched: Sequence[np.ndarray]) -> float:
        watch = Stopwatch(work.device)
        watch.mark("")
        searcher.search(searched, Wanted())
        watch.mark("search")
        return watch.milliseconds()["search"]

    milliseconds(sources)
    seconds = milliseconds(sources) / 1000
    return {
        "precision": searcher.config.precision,
        "batch_tokens": searcher.config.batch_tokens,
        "sentences_per_second": len(sources) / seconds,
        "pieces_per_second": len(sources) * (work.length + 1) / seconds,
        "alone_milliseconds": statistics.median(milliseconds([source]) for source in sources[: work.alone]),
    }
