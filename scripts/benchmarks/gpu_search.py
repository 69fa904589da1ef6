"""Search speed of our recurrent model with fresh weights: many sentences at once, and one after the other."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from nmt.config import SearchConfig
from nmt.data.corpus import PreparedCorpus
from nmt.models.build import VocabularySizes, build_model
from nmt.models.inference import for_search
from nmt.search.request import Wanted
from nmt.text.vocabulary import SourceView, TargetView, Vocabulary
from nmt.translate.searcher import Searcher
from scripts.benchmarks.gpu_work import Bench, timed
from scripts.benchmarks.report import Column, Row, Table

BEAM = 12
BATCH_TOKENS = (4096, 16_384)
PRECISIONS = ("float32", "bf16")
COLUMNS = (
    Column("products", "precision"),
    Column("source pieces at once", "batch_tokens", ",.0f"),
    Column("sentences/s", "sentences_per_second", ",.1f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column("one: median ms", "alone_milliseconds", ",.1f"),
)


def searching(bench: Bench) -> Iterator[Table]:
    """All precisions and batches, to translations of a length that is forced."""
    rows, length, scale = bench.text.rows, bench.scale.median_length, bench.scale
    model = build_model(bench.recipe().model, VocabularySizes(rows, rows, rows)).to(bench.device).eval()
    pairs = PreparedCorpus(bench.text.folder, {"splits": {"train": {}}}, Vocabulary((), (), ())).split("train")
    sources = [np.asarray(pairs.source(i), dtype=np.int64) for i in range(min(scale.search_sentences, len(pairs)))]
    found: list[Row] = []
    for precision in PRECISIONS:
        searched = for_search(model, precision)
        for batch_tokens in BATCH_TOKENS:
            config = SearchConfig(
                beam=BEAM, min_length=length, max_length=length, precision=precision, batch_tokens=batch_tokens
            )
            views = SourceView(rows), TargetView(first=rows, gap=0, size=rows)
            found.append(_measured(Searcher(searched, *views, config, None), bench, sources))
    size = f"beam {BEAM}, {len(sources):,} sentences -> {length} pieces, {rows:,} rows"
    yield Table(title=f"Search, {size}", columns=COLUMNS, rows=found)


def _measured(searcher: Searcher, bench: Bench, sources: Sequence[np.ndarray]) -> Row:
    def milliseconds(searched: Sequence[np.ndarray]) -> float:
        return timed(bench.device, [lambda: searcher.search(searched, Wanted())])

    milliseconds(sources)
    seconds = milliseconds(sources) / 1000
    return {
        "precision": searcher.config.precision,
        "batch_tokens": searcher.config.batch_tokens,
        "sentences_per_second": len(sources) / seconds,
        "pieces_per_second": len(sources) * (bench.scale.median_length + 1) / seconds,
        "alone_milliseconds": statistics.median(
            milliseconds([source]) for source in sources[: bench.scale.search_alone]
        ),
    }
