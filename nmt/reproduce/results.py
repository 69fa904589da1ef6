"""What a comparison found, collected from its folders: one record that the reports are written from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sacrebleu

from nmt.configfile import Values, flatten
from nmt.device import machine
from nmt.folder.bundle import read_config, read_manifest, versions
from nmt.folder.ledger import Size, sizes_of_modes
from nmt.models.build import VocabularySizes
from nmt.reproduce import fairness, paper
from nmt.reproduce.experiment import Experiment, Run
from nmt.reproduce.intervals import Summary, summarize
from nmt.reproduce.scoring import VALID, ScoredText, compare, open_prepared, read_scores
from nmt.text.languages import code_of
from nmt.training.reporting import METRICS, read_metrics
from nmt.tying import Tying

CURVE = ("update", "target_tokens", "seconds", "bleu", "cross_entropy")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One trained model. Times in seconds, memory in bytes."""

    tying: str
    seed: int
    best_update: int
    updates: int
    target_tokens: int
    seconds: float
    cpu_seconds: float
    peak_memory: int
    tokens_per_second: float
    "Median over the run's progress lines."
    cross_entropy: float
    "Of the validation text, nats per piece, at the best update."
    scores: dict[str, dict[str, float]]
    "Set -> bleu, chrf2 and ter; the validation set is 'valid'."
    curve: list[dict[str, Any]]
    "A point a validation."


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A mode against untied, on one set."""

    tying: str
    test_set: str
    difference: Summary
    "Of BLEU, the mode's minus untied's, seed by seed."
    p_values: list[float]
    "Of a paired bootstrap for each seed."


@dataclass(frozen=True, kw_only=True)
class ModeResult:
    """One row of the table."""

    tying: str
    embedding: int
    other: int
    runs: list[RunResult]
    bleu: dict[str, Summary]
    "Set -> over the seeds."
    paper: paper.Table8Row | None

    @property
    def total(self) -> int:
        """All parameters, each storage once."""
        return self.embedding + self.other

    def summary(self, number: Callable[[RunResult], float]) -> Summary:
        """Mean and interval over the seeds of any number of a run."""
        return summarize([number(run) for run in self.runs])


@dataclass(frozen=True)
class Caption:
    """What the user says of a comparison: the text's name, and the command line."""

    name: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything the report says."""

    name: str
    scale: str
    source: str
    target: str
    command: str
    date: str
    machine: str
    versions: dict[str, str]
    recipe: Values
    corpus: dict[str, Any]
    "Pairs of each split, Table 1's row, vocabulary sizes."
    sets: list[str]
    "Scored sets, validation first."
    signatures: dict[str, str]
    modes: list[ModeResult]
    comparisons: list[Comparison]
    missing: list[str]
    "Runs that are not there yet."
    fairness: fairness.Fairness
    notes: list[str]

    @property
    def pair(self) -> str:
        """'en-de'."""
        return f"{self.source}-{self.target}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def collect(experiment: Experiment, text: ScoredText, caption: Caption) -> Results:
    """Read what the runs left. Runs that are not finished are listed as missing."""
    corpus, config = open_prepared(experiment), experiment.config
    there = [run for run in experiment.runs if read_scores(experiment, run) is not None]
    pair = f"{code_of(str(config.prep.source))}-{code_of(str(config.prep.target))}"  # as the paper calls it
    sizes = sizes_of_modes(config.model, VocabularySizes.of(corpus.vocabulary))
    results = {run: _result(experiment, run) for run in there}
    modes = [_mode(mode, sizes[mode], results, text, pair) for mode in Tying if any(r.tying is mode for r in there)]
    compared = (_against_untied(experiment, mode, name, there, text) for name in text.names for mode in Tying)
    manifest = corpus.manifest
    return Results(
        scale=experiment.scale,
        source=str(config.prep.source),
        target=str(config.prep.target),
        name=caption.name,
        command=caption.command,
        date=datetime.now(UTC).date().isoformat(),
        machine=machine(),
        versions=_versions(experiment, there),
        recipe=experiment.recipe() | flatten({"search": dataclasses.asdict(config.search)}, ""),
        corpus={
            "fingerprint": corpus.fingerprint,
            "splits": {name: split["pairs"] for name, split in manifest["splits"].items()},
            "pieces": [manifest["splits"]["train"][f"{side}_pieces"] for side in ("source", "target")],
            "overlap": manifest["overlap"],
            "vocabulary": dataclasses.asdict(VocabularySizes.of(corpus.vocabulary)),
            "merges": manifest["subwords"]["learned"],
        },
        sets=text.names,
        signatures=_signatures(experiment, there),
        modes=modes,
        comparisons=[each for each in compared if each],
        missing=[run.name for run in experiment.runs if run not in there],
        fairness=fairness.check(experiment, corpus, experiment.seeds[0]),
        notes=_notes(text, modes, experiment, there),
    )


def _result(experiment: Experiment, run: Run) -> RunResult:
    scores = read_scores(experiment, run)
    assert scores is not None
    records = read_metrics(experiment.model(run) / METRICS)
    checks = [record for record in records if record["kind"] == "validation"]
    speeds = sorted(record["tokens_per_second"] for record in records if record["kind"] == "train") or [0.0]
    best = next(record for record in checks if str(record["update"]) == scores["weights"]["update"])
    last = checks[-1]
    return RunResult(
        tying=run.tying.value,
        seed=run.seed,
        best_update=best["update"],
        updates=last["update"],
        target_tokens=last["target_tokens"],
        seconds=last["seconds"],
        cpu_seconds=last["cpu_seconds"],
        peak_memory=last["peak_memory"],
        tokens_per_second=speeds[len(speeds) // 2],
        cross_entropy=best["cross_entropy"],
        scores={name: {key: found[key] for key in ("bleu", "chrf2", "ter")} for name, found in scores["sets"].items()},
        curve=[{key: record[key] for key in CURVE} for record in checks],
    )


def _mode(mode: Tying, size: Size, results: dict[Run, RunResult], text: ScoredText, pair: str) -> ModeResult:
    runs = [result for run, result in results.items() if run.tying is mode]
    return ModeResult(
        tying=mode.value,
        embedding=size.embedding,
        other=size.other,
        runs=runs,
        bleu={name: summarize([run.scores[name]["bleu"] for run in runs]) for name in text.names},
        paper=paper.TABLE_8.get(pair, {}).get(mode),
    )


def _against_untied(
    experiment: Experiment, mode: Tying, name: str, there: list[Run], text: ScoredText
) -> Comparison | None:
    """A mode's scores against untied's of the same seeds; None for untied itself and where no seed has both."""
    seeds = [run.seed for run in there if run.tying is mode and Run(Tying.UNTIED, run.seed) in there]
    if mode is Tying.UNTIED or not seeds:
        return None
    test_set = next(each for each in text.sets if each.name == name)
    found = [compare(experiment, Run(Tying.UNTIED, seed), Run(mode, seed), test_set) for seed in seeds]
    return Comparison(
        tying=mode.value,
        test_set=name,
        difference=summarize([each.system - each.baseline for each in found]),
        p_values=[each.p_value for each in found],
    )


def _signatures(experiment: Experiment, there: list[Run]) -> dict[str, str]:
    scores = read_scores(experiment, there[0]) if there else None
    return dict(scores["sets"][VALID]["signatures"]) if scores else {}


def _versions(experiment: Experiment, there: list[Run]) -> dict[str, str]:
    """Of the programs that trained the models, and of sacreBLEU."""
    trained = read_manifest(experiment.model(there[0]))["versions"] if there else versions()
    return {**trained, "sacrebleu": sacrebleu.__version__}


def _notes(text: ScoredText, modes: list[ModeResult], experiment: Experiment, there: list[Run]) -> list[str]:
    """What a reader must know before the numbers."""
    notes = []
    prep = experiment.config.prep
    if text.names == [VALID]:
        notes.append(
            "The corpus has no test set: only validation BLEU is reported, on the text that also chose the "
            f"checkpoints. Put test.{prep.source} and test.{prep.target} beside it and call again"
        )
    if len(experiment.seeds) == 1:
        notes.append("One seed: nothing is known about the deviation between runs; --seeds 3 would tell")
    precisions = {read_config(experiment.model(run)).training.precision for run in there}
    if precisions:
        notes.append(f"Matrix products in {' and '.join(sorted(precisions))}")
    if modes and modes[0].paper and experiment.scale != "paper":
        notes.append(
            "The paper's row is of another model, trained on other data: it is there for the pattern, not the numbers"
        )
    return notes
