"""A tiny text, word similarity sets of its words, and comparisons of language models trained on it in this process."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nmt.prepare.running_text import TextPreparation, find_text, prepare_text
from nmt.reproduce.language.experiment import LanguageExperiment, LanguageRun
from nmt.reproduce.language.schedule import LanguageSchedule
from nmt.reproduce.language.worker import LanguageWork, perform
from nmt.reproduce.wordsimilarity import FILES

WORDS = [f"w{number}" for number in range(12)]
TINY = {
    "lm.embedding_size": 6,
    "lm.streams": 4,
    "lm.unroll": 5,
    "training.max_epochs": 2,
    "training.tensorboard": False,
    "runtime.threads": 1,
    "runtime.device": "cpu",
}
FLAGS = [
    "--threads", "1", "--device", "cpu", "--max-epochs", "2", "--set", "lm.embedding_size=6", "--set", "lm.streams=4",
    "--set", "lm.unroll=5", "--set", "training.tensorboard=false",
]  # fmt: skip
"The same for a command."


def write_text_folder(folder: Path, splits: Sequence[str] = ("train", "valid", "test")) -> Path:
    """A corpus in which every word is followed by one of two others."""
    folder.mkdir(parents=True)
    for number, split in enumerate(splits):
        draw, word, lines = random.Random(number), 0, []
        for _ in range(120 if split == "train" else 20):
            line = []
            for _ in range(draw.randint(1, 8)):
                word = (5 * word + draw.randint(1, 2)) % len(WORDS)
                line.append(WORDS[word])
            lines.append(" ".join(line))
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_benchmarks(folder: Path) -> Path:
    """Nine pairs of the words in each set, and one of which nothing is known."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(1)
    for file in FILES.values():
        pairs = [draw.choice(WORDS, size=2) for _ in range(9)]
        (folder / file).write_text("".join(f"{a} {b} {n % 4}\n" for n, (a, b) in enumerate(pairs)) + "x y 1\n")
    return folder


def finished(folder: Path, table: str, seeds: Sequence[int], keys: Sequence[str] = ()) -> LanguageExperiment:
    """A comparison whose runs, or those of some rows, are trained and scored."""
    corpus = folder.parent / f"{folder.name}-corpus"
    if not corpus.exists():
        write_text_folder(corpus)
    experiment = LanguageExperiment(
        folder=folder, table_name=table, scale="small", seeds=tuple(seeds), prepared=folder / "prepared", more=TINY
    )
    files = find_text(corpus, {"train": None, "valid": None, "test": None})
    manifest = prepare_text(TextPreparation(files=files, folder=experiment.prepared, quiet=True))
    experiment.claim(manifest["fingerprint"])
    work_in_process(experiment, [run for run in experiment.runs if not keys or run.row.key in keys])
    return experiment


def work_in_process(experiment: LanguageExperiment, runs: Sequence[LanguageRun]) -> None:
    """What a schedule has workers do."""
    for run in runs:
        perform(
            LanguageWork(
                folder=str(experiment.folder),
                table=experiment.table_name,
                scale=experiment.scale,
                prepared=str(experiment.prepared),
                more=experiment.more,
                row=run.row.key,
                seed=run.seed,
                parent=0,
            )
        )


def no_workers(schedule: LanguageSchedule, runs: Sequence[LanguageRun]) -> None:
    """In place of LanguageSchedule.work."""
    work_in_process(schedule.experiment, runs)
