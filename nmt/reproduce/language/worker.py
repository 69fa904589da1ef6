"""One run of a comparison of language models in a process of its own: train, then score.

    python -m nmt.reproduce.language.worker TASK

Perplexity is measured without dropout: train and valid in as many streams as training has, what does not fill a step
left out, test in one stream, all of it. The weights are those of the last epoch, of an RHN those of the best.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bpe.command import run as run_command
from bpe.textfiles import write_text
from nmt.configfile import Values
from nmt.data.running_text import RunningText
from nmt.data.streams import Streams
from nmt.device import pick_device, set_threads
from nmt.folder.bundle import BEST
from nmt.folder.language import load_language_bundle
from nmt.language.perplexity import Perplexity, measure
from nmt.reproduce.language.experiment import SCORES, LanguageExperiment, LanguageRun
from nmt.reproduce.language.paper import LANGUAGE_TABLES
from nmt.reproduce.worker import leave_with_parent
from nmt.tasks.language.defaults import language_defaults
from nmt.tasks.language.task import LanguageTask
from nmt.training.interruption import Interrupted
from nmt.training.session import Request, train

TEST_STEPS = 64
"Words of the test's one stream read at a time; the state is carried, so that it changes no number."
LAST_WEIGHTS = "last/weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class LanguageWork:
    """What a worker is asked to do."""

    folder: str
    table: str
    scale: str
    prepared: str
    more: Values
    row: str
    seed: int
    parent: int
    "Process to leave with."

    def as_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def perform(work: LanguageWork) -> None:
    """Train and score; what is done already is not done again."""
    experiment = LanguageExperiment(
        folder=Path(work.folder),
        table_name=work.table,
        scale=work.scale,
        seeds=(work.seed,),
        prepared=Path(work.prepared),
        more=work.more,
    )
    run = LanguageRun(LANGUAGE_TABLES[work.table].row(work.row), work.seed)
    train(Request(values=experiment.values(run), base=language_defaults), LanguageTask)
    if experiment.scores(run) is None:
        score(experiment, run)


def weights_of(experiment: LanguageExperiment, run: LanguageRun) -> Path:
    """The file of the weights that a finished run is measured with."""
    return experiment.model(run) / (BEST if run.row.best else LAST_WEIGHTS)


def score(experiment: LanguageExperiment, run: LanguageRun) -> None:
    """Measure the finished model and write it down."""
    config, text = experiment.config(run.row), RunningText.open(experiment.prepared)
    set_threads(config.runtime.threads)
    bundle = load_language_bundle(weights_of(experiment, run), pick_device(config.runtime.device))
    found: dict[str, Perplexity] = {}
    for split in ("train", "valid", "test"):
        if text.has_split(split):
            ids = text.split(split)
            whole = split == "test"
            streams = (
                Streams(ids, 1, TEST_STEPS, whole=True) if whole else Streams(ids, config.lm.streams, config.lm.unroll)
            )
            found[split] = measure(bundle.model, streams, unit=bundle.unit)
    body = {
        split: {"perplexity": one.perplexity, "cross_entropy": one.cross_entropy, "protocol": one.protocol}
        for split, one in found.items()
    }
    write_text(experiment.model(run) / SCORES, json.dumps(body, indent=1) + "\n")


def main(argv: list[str]) -> None:
    """The command."""
    work = LanguageWork(**json.loads(argv[0]))
    leave_with_parent(work.parent)
    try:
        perform(work)
    except Interrupted as stopped:
        print(f"stopped by {stopped}; everything is saved", file=sys.stderr)
        sys.exit(128 + stopped.number)


if __name__ == "__main__":
    sys.exit(run_command("nmt-lm train", main))
