"""Table 2: word2vec untied and tied, and how well the rows of its matrices order pairs of words.

OUT/experiment.json      recipe and text; a second call with others is refused
OUT/benchmarks/          the word similarity sets, where no folder of them was named
OUT/vectors/             MODE-seedN.ROLE.txt in word2vec's text format, most frequent words first
OUT/runs/MODE-seedN.json what a run found; a run that has one is not done again
OUT/table2.{md,json,html}
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bpe.command import num_cores
from bpe.errors import UserError
from bpe.textfiles import sha256_of, write_text
from nmt.config import Word2VecConfig
from nmt.evaluate.rankcorrelation import pairwise
from nmt.reproduce import paper
from nmt.reproduce.benchmarks import BenchmarkSource
from nmt.reproduce.rowscores import KINDS, RowScores
from nmt.reproduce.wordsimilarity import Agreement, Benchmark, agreement, word_index
from nmt.word2vec.skipgram import SkipGram
from nmt.word2vec.training import train
from nmt.word2vec.vectors import read_vectors, write_vectors
from nmt.word2vec.words import WordText, read_words

FORMAT, FORMAT_VERSION = "nmt-table2-experiment", 1
MODES = {"untied": ("input", "output"), "tied": ("tied",)}
"Mode -> what the rows of its matrices are called."
CLAIMS = (("input", "output"), ("input", "tied"), ("output", "tied"))
"The rows that score higher in the paper, and those that score lower."
ALIKE_WORDS = 4000
"The most frequent words, whose pairs Table 4's correlations are over: 8 million."


@dataclass(frozen=True, kw_only=True)
class Table2Order:
    """What the user asked for."""

    options: Word2VecConfig
    scale: str
    texts: tuple[Path, ...]
    out: Path
    benchmarks: BenchmarkSource
    seeds: int = 1
    jobs: int = 1
    "Trainings at a time."
    threads: int = 0
    command: str = "nmt-reproduce table2"
    name: str = ""
    "What the text is called in the report."
    report_only: bool = False
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class VectorRun:
    """One trained model: its scores by role and benchmark."""

    mode: str
    seed: int
    seconds: float
    cpu_seconds: float
    words_per_second: float
    "Running words of all passes by the clock on the wall."
    num_parameters: int
    agreements: dict[str, dict[str, Agreement]]

    @property
    def name(self) -> str:
        """What its files are called."""
        return run_name(self.mode, self.seed)


@dataclass(frozen=True, kw_only=True)
class Table2:
    """Everything that was found."""

    order: Table2Order
    facts: dict[str, Any]
    "Of the text: files with their hashes, words read and kept, word types."
    benchmarks: tuple[str, ...]
    runs: tuple[VectorRun, ...]
    missing: tuple[str, ...]
    alike: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    "Two roles -> rho of their matrices over the pairs of the most frequent words, seed by seed (Table 4)."

    @property
    def scores(self) -> RowScores:
        """What it is read from."""
        return RowScores(benchmarks=self.benchmarks, runs=self.runs, printed=paper.TABLE_2, claims=CLAIMS)


def run_name(mode: str, seed: int) -> str:
    """untied-seed1 and the like."""
    return f"{mode}-seed{seed}"


def reproduce(order: Table2Order) -> Table2:
    """Train what is not trained, score it, collect. Killed and called again, it goes on with the runs that are left."""
    for path in order.texts:
        if not path.is_file():
            hint = "name the text with --text, or fetch one: nmt-data fetch text8"
            raise UserError("no such file", where=path, hint=hint)
    benchmarks = order.benchmarks.read(order.out)
    names = [(mode, seed) for seed in range(1, order.seeds + 1) for mode in MODES]
    facts = claim(order)
    waiting = [(mode, seed) for mode, seed in names if read_run(order, mode, seed) is None]
    if waiting and not order.report_only:
        options = order.options
        text = read_words(order.texts, min_count=options.min_count, lowercase=options.lowercase, quiet=order.quiet)
        facts |= {"words": text.num_read, "kept": len(text.ids), "types": len(text.words)}
        write_text(order.out / "text.json", json.dumps(facts, indent=1) + "\n")
        work(order, text, benchmarks, waiting)
    runs = [run for mode, seed in names if (run := read_run(order, mode, seed)) is not None]
    there = {run.name for run in runs}
    return Table2(
        order=order,
        facts=json.loads((order.out / "text.json").read_text(encoding="utf-8")) if runs else facts,
        benchmarks=tuple(each.name for each in benchmarks),
        runs=tuple(runs),
        missing=tuple(run_name(*name) for name in names if run_name(*name) not in there),
        alike=alike(order, runs),
    )


def claim(order: Table2Order) -> dict[str, Any]:
    """Write experiment.json, or find the same there: anything else is a UserError. Returns the text's facts."""
    path = order.out / "experiment.json"
    files = [{"name": text.name, "sha256": sha256_of(text)} for text in order.texts]
    recipe = asdict(order.options)
    body = {"format": FORMAT, "version": FORMAT_VERSION, "recipe": recipe, "text": files}
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        if there.get("format") != FORMAT or there.get("version") != FORMAT_VERSION:
            raise UserError("was not written by this version of nmt-reproduce", where=path, hint="name another --out")
        changed = [key for key, value in recipe.items() if there["recipe"].get(key) != value]
        changed += (
            [] if [each["sha256"] for each in there["text"]] == [each["sha256"] for each in files] else ["the text"]
        )
        if changed:
            differs = f"holds another comparison: {', '.join(changed)} differ"
            raise UserError(differs, where=order.out, hint="name another folder with --out")
    else:
        write_text(path, json.dumps(body, indent=1) + "\n")
    return {"files": files}


def work(
    order: Table2Order, text: WordText, benchmarks: Sequence[Benchmark], waiting: Sequence[tuple[str, int]]
) -> None:
    """Train and score the runs, `jobs` at a time, each in a process of its own where there are several."""
    threads = order.threads or max(1, num_cores() // order.jobs)
    if order.jobs == 1:
        for mode, seed in waiting:
            do_run(order, text, benchmarks, mode, seed, threads)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(order.jobs, mp_context=context, initializer=leave_with_parent) as pool:
        for done in [pool.submit(do_run, order, text, benchmarks, *name, threads) for name in waiting]:
            done.result()


def leave_with_parent() -> None:
    """In a worker: end when the command ends, however it does; nobody would collect what it finds."""
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def do_run(
    order: Table2Order, text: WordText, benchmarks: Sequence[Benchmark], mode: str, seed: int, threads: int
) -> None:
    """Train one model, write its vectors, score them; what was found is written last."""
    torch.set_num_threads(threads)
    started, cpu_started = time.perf_counter(), time.process_time()
    label = run_name(mode, seed)
    model = train(text, order.options, tied=mode == "tied", seed=seed, label=label, quiet=order.quiet)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    index, found = word_index(text.words), {}
    for role, matrix in matrices(model, mode):
        write_vectors(vectors_path(order.out, mode, seed, role), text.words, matrix.numpy())
        found[role] = {each.name: agreement(each, index, matrix.numpy()) for each in benchmarks}
    run = VectorRun(
        mode=mode,
        seed=seed,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        words_per_second=order.options.passes * len(text.ids) / seconds,
        num_parameters=model.num_parameters,
        agreements=found,
    )
    write_text(run_path(order.out, mode, seed), json.dumps(asdict(run), indent=1) + "\n")


def matrices(model: SkipGram, mode: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Role -> matrix."""
    return zip(MODES[mode], (model.inputs, model.outputs), strict=False)


def vectors_path(out: Path, mode: str, seed: int, role: str) -> Path:
    """Where a matrix is written."""
    return out / "vectors" / f"{run_name(mode, seed)}.{role}.txt"


def run_path(out: Path, mode: str, seed: int) -> Path:
    """Where what a run found is written."""
    return out / "runs" / f"{run_name(mode, seed)}.json"


def finished_seeds(out: Path) -> tuple[int, ...]:
    """The seeds whose runs of both modes are in a folder, in order."""
    named = (path.stem.rpartition("-seed")[2] for path in (out / "runs").glob("*-seed*.json"))
    seeds = sorted({int(name) for name in named if name.isdecimal()})
    return tuple(seed for seed in seeds if all(run_path(out, mode, seed).is_file() for mode in MODES))


def seed_rows(out: Path, seed: int, limit: int) -> dict[str, np.ndarray]:
    """Role -> the vectors of the `limit` most frequent words that the runs of a seed wrote."""
    files = {role: vectors_path(out, mode, seed, role) for mode, roles in MODES.items() for role in roles}
    return {role: read_vectors(path, limit=limit)[1] for role, path in files.items()}


def read_run(order: Table2Order, mode: str, seed: int) -> VectorRun | None:
    """What a run found; None where it is not finished."""
    path = run_path(order.out, mode, seed)
    if not path.exists():
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        body["agreements"] = {
            role: {name: Agreement(**each) for name, each in of_role.items()}
            for role, of_role in body["agreements"].items()
        }
        return VectorRun(**body)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            "was not written by nmt-reproduce", where=path, hint="remove it; the run is done again"
        ) from None


def alike(order: Table2Order, runs: Sequence[VectorRun]) -> dict[tuple[str, str], list[float]]:
    """Table2.alike, of the seeds whose runs of both modes are there."""
    found: dict[tuple[str, str], list[float]] = {pair: [] for pair in combinations(KINDS, 2)}
    there = {run.seed for run in runs}
    for seed in finished_seeds(order.out):
        if seed in there:
            for pair, rho in pairwise(seed_rows(order.out, seed, ALIKE_WORDS)).items():
                found[pair] += [] if rho is None else [rho]
    return found
