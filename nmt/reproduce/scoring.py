"""Translates validation and test sets with a finished model and scores them; what is scored already is left alone."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from bpe.progress import Progress
from bpe.textfiles import read_lines, sha256_of, write_lines, write_text
from nmt.data.corpus import PreparedCorpus, raw_file
from nmt.evaluate import scoring
from nmt.evaluate.metrics import Options
from nmt.evaluate.testsets import TestSet, TextFile, every_test_set
from nmt.folder.bundle import BEST
from nmt.reproduce.experiment import Experiment, Run
from nmt.translate.translator import Translator

VALID = "valid"


@dataclass(frozen=True)
class ScoredText:
    """The sets every run is scored on, validation first."""

    sets: tuple[TestSet, ...]

    @property
    def names(self) -> list[str]:
        """Their names, validation first."""
        return [each.name for each in self.sets]


def scored_text(experiment: Experiment, corpus: Path) -> ScoredText:
    """The validation text of the prepared data, and every test set of the corpus folder."""
    prep = experiment.config.prep
    files = (TextFile.read(experiment.prepared / raw_file(VALID, side)) for side in ("source", "target"))  # type: ignore[arg-type]
    valid = TestSet(VALID, next(files), (next(files),))
    return ScoredText((valid, *every_test_set(corpus, str(prep.source), str(prep.target))))


def read_scores(experiment: Experiment, run: Run) -> dict[str, Any] | None:
    """A run's scores; None where there are none that can be read."""
    try:
        scores = json.loads(experiment.scores(run).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return scores if isinstance(scores, dict) else None


def is_scored(experiment: Experiment, run: Run, text: ScoredText) -> bool:
    """Whether the scores there are of these weights, this search and these sets, and the translations are there."""
    scores, weights = read_scores(experiment, run), experiment.model(run) / BEST
    if scores is None or not weights.is_file():
        return False
    return (
        scores.get("weights_sha256") == sha256_of(weights)
        and scores.get("search") == dataclasses.asdict(experiment.config.search)
        and {name: scores["sets"].get(name, {}).get("text") for name in text.names} == fingerprints(text)
        and all(experiment.translation(run, name).is_file() for name in text.names)
    )


def fingerprints(text: ScoredText) -> dict[str, list[str | None]]:
    """Of each set the hashes of its source and reference."""
    return {each.name: [each.source.sha256 if each.source else None, each.reference.sha256] for each in text.sets}


def score_run(experiment: Experiment, run: Run, text: ScoredText) -> None:
    """Translate and score every set; the scores are written last."""
    config = experiment.config
    translator = Translator.load(experiment.model(run), device=config.runtime.device, search=config.search)
    scores: dict[str, Any] = {
        "run": run.name,
        "weights_sha256": sha256_of(experiment.model(run) / BEST),
        "weights": translator.bundle.metadata,
        "search": dataclasses.asdict(config.search),
        "sets": {},
    }
    for each in text.sets:
        assert each.source is not None
        started = time.monotonic()
        with Progress(f"translating {each.name}", len(each.source.lines)) as progress:
            lines = translator.translate(each.source.lines, progress=progress.advance)
        seconds = time.monotonic() - started
        path = experiment.translation(run, each.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, lines)
        found = scoring.score(lines, each.reference.lines, options(experiment))
        scores["sets"][each.name] = {
            **dataclasses.asdict(found),
            "text": fingerprints(ScoredText((each,)))[each.name],
            "sentences_per_second": len(lines) / max(seconds, 1e-9),
        }
    path = experiment.scores(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(scores, indent=1) + "\n")


def compare(experiment: Experiment, baseline: Run, run: Run, test_set: TestSet) -> scoring.PairedBootstrap:
    """Paired bootstrap of two runs' translations of a set."""
    lines = [_translations(experiment, each, test_set.name) for each in (baseline, run)]
    return scoring.paired_bootstrap(lines[0], lines[1], test_set.reference.lines, options(experiment))


def options(experiment: Experiment) -> Options:
    """How BLEU is computed: as the target language asks."""
    return Options(target_language=str(experiment.config.prep.target))


def open_prepared(experiment: Experiment) -> PreparedCorpus:
    """The prepared data."""
    return PreparedCorpus.open(experiment.prepared)


def _translations(experiment: Experiment, run: Run, name: str) -> Sequence[str]:
    path = experiment.translation(run, name)
    if not path.is_file():
        raise UserError("no such file", where=path, hint="run nmt-reproduce table8 without --report-only")
    return list(read_lines(path))
