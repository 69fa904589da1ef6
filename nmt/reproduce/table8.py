"""Table 8 for any language pair: from a corpus folder to the record that the report is written from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.command import num_cores
from nmt.config import Config
from nmt.prepare.files import CorpusFiles, find_corpus
from nmt.prepare.preparation import Preparation, prepare
from nmt.report.document import Heading, Part
from nmt.reproduce.experiment import Experiment, Run
from nmt.reproduce.plan import describe
from nmt.reproduce.results import Caption, Results, collect
from nmt.reproduce.schedule import Schedule
from nmt.reproduce.scoring import is_scored, scored_text
from nmt.reproduce.similarity import StudyOptions, study, study_parts
from nmt.tying import Tying

EMBEDDINGS = "What tying does to the embeddings"
"The heading of that part."


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the user asked for."""

    config: Config
    scale: str
    "Name of the recipe, for the report."
    seeds: int
    out: Path
    jobs: int = 1
    "Runs at a time."
    command: str = "nmt-reproduce table8"
    "For the report."
    name: str = ""
    "What the text is called in the report."
    report_only: bool = False
    quiet: bool = False


def experiment_of(order: Order, files: CorpusFiles) -> Experiment:
    """The comparison that is asked for, its languages found; threads are shared out where several runs go at once."""
    config, runtime = order.config, order.config.runtime
    threads = runtime.threads or max(1, num_cores() // order.jobs)
    config = dataclasses.replace(
        config,
        prep=dataclasses.replace(config.prep, source=files.source, target=files.target),
        runtime=dataclasses.replace(runtime, threads=threads),
    )
    return Experiment(folder=order.out, config=config, scale=order.scale, seeds=tuple(range(1, order.seeds + 1)))


def plan(order: Order) -> str:
    """What would be done, in words. Nothing is written."""
    files = corpus_files(order)
    return "\n".join(describe(experiment_of(order, files), Path(order.config.paths.corpus), order.jobs))


def reproduce(order: Order) -> tuple[Results, Experiment]:
    """Prepare, train what is not trained, score what is not scored, collect.

    Killed at any point and called again, it goes on where it was; what is finished is not done again.
    """
    files = corpus_files(order)
    experiment = experiment_of(order, files)
    corpus = Path(order.config.paths.corpus).resolve()
    experiment.claim()
    prepare(
        Preparation(
            files=files,
            prep=experiment.config.prep,
            folder=experiment.prepared.resolve(),
            num_workers=order.config.runtime.threads or num_cores(),
            quiet=order.quiet,
        )
    )
    text = scored_text(experiment, corpus)
    if not order.report_only:
        waiting = [run for run in experiment.runs if not is_scored(experiment, run, text)]
        Schedule(experiment, corpus, jobs=order.jobs, quiet=order.quiet).work(waiting)
    return collect(experiment, text, Caption(order.name, order.command)), experiment


def corpus_files(order: Order) -> CorpusFiles:
    """The corpus's files for the languages that were asked for."""
    prep = order.config.prep
    return find_corpus(order.config.paths.corpus, prep.source, prep.target)


def embedding_parts(experiment: Experiment, results: Results) -> tuple[list[Part], Any]:
    """What tying does to the embeddings of the first seed's models: parts of the report, and their numbers."""
    run_names = [Run(mode, experiment.seeds[0]) for mode in Tying]
    folders = [experiment.model(run) for run in run_names if run.name not in results.missing]
    if not folders:
        return [], None
    found = study(folders, StudyOptions())
    return [Heading(EMBEDDINGS), *study_parts(found, level=3)], found.as_dict()
