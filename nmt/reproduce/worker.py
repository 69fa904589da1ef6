"""One run of a comparison in a process of its own: train, translate, score.

    python -m nmt.reproduce.worker TASK.json

A process of its own gives each run its own memory, whose peak is measured, and lets several run side by side. It
leaves, with everything saved, when the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bpe.command import run as run_command
from nmt.configfile import build_config, read_yaml
from nmt.reproduce.experiment import Experiment, Run
from nmt.reproduce.scoring import is_scored, score_run, scored_text
from nmt.tasks.translation.task import TranslationTask
from nmt.training.interruption import Interrupted
from nmt.training.session import Request, train
from nmt.tying import Tying

PARENT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class WorkerTask:
    """What a worker is asked to do."""

    folder: str
    "The comparison's folder."
    recipe: str
    "YAML file of the resolved recipe."
    corpus: str
    scale: str
    tying: str
    seed: int
    parent: int
    "Process to leave with."

    def as_json(self) -> str:
        """For the command line of the worker."""
        return json.dumps(asdict(self))


def perform(task: WorkerTask) -> None:
    """Train and score; both find out for themselves what is done already."""
    experiment = Experiment(
        folder=Path(task.folder), config=build_config(read_yaml(task.recipe)), scale=task.scale, seeds=(task.seed,)
    )
    run = Run(Tying(task.tying), task.seed)
    train(Request(values=experiment.values(run)), TranslationTask)
    text = scored_text(experiment, Path(task.corpus))
    if not is_scored(experiment, run, text):
        score_run(experiment, run, text)


def leave_with_parent(parent: int) -> None:
    """Ask this process to save and leave once its parent is another than it was."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: list[str]) -> None:
    """The command."""
    task = WorkerTask(**json.loads(argv[0]))
    leave_with_parent(task.parent)
    try:
        perform(task)
    except Interrupted as stopped:
        print(f"stopped by {stopped}; everything is saved", file=sys.stderr)
        sys.exit(128 + stopped.number)


if __name__ == "__main__":
    sys.exit(run_command("nmt-train", main))
