"""What nmt-serve is measured against: the same search of the same lines in blocks, in a process of its own."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nmt.config import SearchConfig
from nmt.conversion.exported import read_export
from nmt.device import keep_freed_memory, set_threads
from nmt.serve.batch_lane import BATCH_SENTENCES
from nmt.serve.exports import ComputeChoice, ServedExport
from nmt.serve.lane import Kind
from nmt.translate.lines import LineReader
from nmt.translate.segments import MAX_SOURCE_PIECES
from nmt.translate.translator import Translator

SEARCHES = 2
"Side by side, as the server has them."


@dataclass(frozen=True)
class Alone:
    """A way to translate lines."""

    name: str
    reader: LineReader
    translate: Callable[[Sequence[str]], list[str]]


def alone(wanted: Namespace) -> Alone:
    """The model with its own settings, each sentence by itself, as the server does."""
    set_threads(wanted.threads)
    keep_freed_memory()
    if wanted.export:
        return _exported(wanted.export, wanted.threads)
    translator = Translator.load(wanted.model, device="cpu")
    translator = Translator(translator.bundle, _sentences(translator.search))
    return Alone("nmt-translate", translator, translator.translate)


def _sentences(search: SearchConfig) -> SearchConfig:
    return replace(search, split_sentences=True)


def _exported(folder: Path, threads: int) -> Alone:
    """CTranslate2: batches of like length, as large as the server's, searched side by side."""
    exported, searches = read_export(folder), min(SEARCHES, threads)
    compute = ComputeChoice(device=torch.device("cpu"), searches=searches, threads=threads // searches)
    served = ServedExport("export", folder, exported, _sentences(exported.search), compute)
    reader, kind = served.reader, Kind(0, longest=MAX_SOURCE_PIECES)
    pool = ThreadPoolExecutor(searches)

    def translate(lines: Sequence[str]) -> list[str]:
        jobs = [reader.jobs(line) for line in lines]
        parts = sorted({job for each in jobs for job in each if job.pieces}, key=lambda job: len(job.pieces))
        batches = [parts[start : start + BATCH_SENTENCES] for start in range(0, len(parts), BATCH_SENTENCES)]
        sources = [[reader.source_ids(job.pieces) for job in batch] for batch in batches]
        results = pool.map(lambda batch: served.found(batch, [None] * len(batch), kind), sources)
        pairs = zip(batches, results, strict=True)
        found = {job: best for batch, each in pairs for job, (best, *_) in zip(batch, each, strict=True)}
        return [reader.read(each, [found[job] for job in each]).text for each in jobs]

    return Alone("CTranslate2", reader, translate)
