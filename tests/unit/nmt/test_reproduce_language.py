"""Tables 5 and 6: recipes, sizes, and the reading of what runs left, without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bpe.errors import UserError
from nmt.cli import reproduce_language
from nmt.cli.reproduce import command
from nmt.reproduce.intervals import summarize
from nmt.reproduce.language.experiment import LanguageExperiment
from nmt.reproduce.language.paper import LANGUAGE_TABLES, TABLE_5, TABLE_6, TABLE_7
from nmt.reproduce.language.recipes import config_of
from nmt.reproduce.language.report import language_summary, write_language_report
from nmt.reproduce.language.results import (
    ClaimResult,
    LanguageResults,
    LanguageRowResult,
    LanguageRunResult,
    finding_of,
)

SIZES = {
    "table5": [66_022_000, 51_022_000, 66_022_000, 51_022_000, 32_082_040, 23_417_480],
    "table6": [4_651_600, 2_651_600, 4_691_800, 2_691_800],
}


def test_claims_of_table_7_are_those_that_its_figures_bear_out() -> None:
    lower = {key: [claim.lower + "<" + claim.higher for claim in text.table().claims] for key, text in TABLE_7.items()}
    both = ["small-wt-pr<small-wt", "small-wt-pr<small-pr", "small-wt-pr<small"]
    assert lower == {
        "text8": ["small-wt<small", *both],
        "imdb": both,
        "bbc": ["small-wt<small", "small-pr<small", *both],
    }
    assert TABLE_7["text8"].table().splits == ("train", "test")
    assert TABLE_7["imdb"].table().splits == ("train", "valid", "test")


@pytest.mark.parametrize("table", SIZES)
def test_sizes_are_printed_with_separators_and_are_the_papers(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    command([table, "--sizes"])
    printed = capsys.readouterr().out
    assert [line.split()[-2] for line in printed.splitlines()[2:]] == [f"{size:,}" for size in SIZES[table]]
    command([table, "--sizes", "--json"])
    assert [row["parameters"] for row in json.loads(capsys.readouterr().out)] == SIZES[table]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("small", {"embedding_size": 200, "unroll": 20, "initialization": 0.1, "dropout": 0.0, "tying": "untied"}),
        ("small-wt-pr", {"tying": "tied", "projection": True, "projection_penalty": pytest.approx(1 / 6.5)}),
        ("large", {"embedding_size": 1500, "unroll": 35, "dropout": 0.65, "initialization": 0.04}),
        ("large-bd-wd", {"dropout": 0.0, "word_dropout": 0.3, "input_dropout": 0.5, "weight_decay": 1e-7}),
        ("large-bd-wt", {"hidden_dropout": 0.3, "output_dropout": 0.5, "weight_decay": 0.0, "word_masks": "token"}),
        ("rhn-bd", {"depth": 8, "embedding_size": 890, "weight_penalty": 1e-7, "transform_bias": -2.0}),
        ("rhn-bd-wt", {"depth": 9, "embedding_size": 860, "input_dropout": 0.75, "hidden_dropout": 0.25}),
    ],
)
def test_recipes_are_the_papers(key: str, expected: dict[str, Any]) -> None:
    table = next(table for table in (TABLE_5, TABLE_6) if key in [row.key for row in table.rows])
    lm = config_of(table.row(key), "paper", {}).lm
    assert {name: getattr(lm, name) for name in expected} == expected
    assert lm.streams == 20


@pytest.mark.parametrize(
    ("key", "rate", "decay", "first", "clip", "epochs"),
    [
        ("small", 1.0, 2.0, 6, 5.0, 13),
        ("large", 1.0, 1.15, 16, 10.0, 55),
        ("large-bd-wt", 1.0, 1.15, 12, 10.0, 55),
        ("rhn-bd", 0.2, 1.02, 22, 10.0, 500),
    ],
)
def test_training_is_the_papers(key: str, rate: float, decay: float, first: int, clip: float, epochs: int) -> None:
    table = next(table for table in (TABLE_5, TABLE_6) if key in [row.key for row in table.rows])
    training = config_of(table.row(key), "paper", {}).training
    assert (training.optimizer, training.schedule, training.ema, training.patience) == ("sgd", "epochs", 0, 0)
    assert (training.learning_rate, training.decay, training.decay_from) == (rate, decay, first)
    assert (training.clip_norm, training.max_epochs, training.label_smoothing) == (clip, epochs, 0)


def test_the_small_scale_is_narrow_and_what_the_user_sets_wins() -> None:
    for table in LANGUAGE_TABLES.values():
        for row in table.rows:
            assert config_of(row, "small", {}).lm.embedding_size == 100
            assert config_of(row, "small", {"lm.embedding_size": 7}).lm.embedding_size == 7


def run(seed: int, test: float) -> LanguageRunResult:
    return LanguageRunResult(
        seed=seed,
        epochs=2,
        updates=20,
        seconds=60.0,
        words_per_second=1000.0,
        peak_memory=10**9,
        perplexity={"train": 40.0, "valid": test + 5, "test": test},
        curve=[300.0, test + 5],
    )


def results(lower: list[float], higher: list[float]) -> LanguageResults:
    rows = []
    for row, numbers in zip(TABLE_6.rows[:2], (higher, lower), strict=True):
        runs = [run(seed, test) for seed, test in enumerate(numbers, 1)]
        summaries = {name: summarize([each.perplexity[name] for each in runs]) for name in ("train", "valid", "test")}
        printed = {"size": row.size, "train": 1.0, "valid": 2.0, "test": 3.0}
        rows.append(
            LanguageRowResult(
                key=row.key, name=row.name, parameters=4_651_600, printed=printed, runs=runs, perplexity=summaries
            )
        )
    difference = summarize([one - other for one, other in zip(lower, higher, strict=True)])
    claim = ClaimResult(
        text="tying improves the small model",
        lower="Small + WT",
        higher="Small",
        printed=-2.1,
        difference=difference,
        finding=finding_of(difference),
    )
    return LanguageResults(
        title=TABLE_6.title,
        name="a text",
        scale="small",
        command="nmt-reproduce table6",
        date="2026-01-01",
        machine="a machine",
        versions={"torch": "2"},
        text={"words": {"train": 100, "valid": 10, "test": 10}, "vocabulary": 50, "fingerprint": "x"},
        split="test",
        protocols={"test": "1 stream"},
        rows=rows,
        claims=[claim],
        missing=[],
        paper_train=TABLE_6.train,
        recipes={"Small": {"lm.embedding_size": 100}},
    )


@pytest.mark.parametrize(
    ("lower", "higher", "finding"),
    [
        ([100.0, 101.0, 99.0], [110.0, 112.0, 109.0], "shown"),
        ([110.0, 112.0, 109.0], [100.0, 101.0, 99.0], "the other way round"),
        ([100.0, 111.0, 99.0], [101.0, 100.0, 110.0], "not shown"),
        ([100.0], [110.0], "open at one seed"),
    ],
)
def test_the_reading_follows_the_interval_over_seeds(lower: list[float], higher: list[float], finding: str) -> None:
    printed = language_summary(results(lower, higher))
    assert f"tying improves the small model: {finding}" in printed
    assert "(the paper: -2.1)" in printed or "; the paper: -2.1)" in printed


def test_the_report_is_written_in_three_forms(tmp_path: Path) -> None:
    write_language_report(results([100.0, 101.0], [110.0, 112.0]), tmp_path)
    markdown, page = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    for text in ("Small + WT", "4,651,600", "Learning curves", "nmt-reproduce table6", "lm.embedding_size"):
        assert text in markdown
        assert text in page
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["claims"][0]["finding"] == "shown"


def test_a_folder_holds_one_comparison(tmp_path: Path) -> None:
    def experiment(scale: str) -> LanguageExperiment:
        return LanguageExperiment(
            folder=tmp_path, table_name="table6", scale=scale, seeds=(1,), prepared=tmp_path / "prepared", more={}
        )

    experiment("small").claim("text")
    experiment("small").claim("text")
    with pytest.raises(UserError, match=r"holds another comparison \(another scale\)"):
        experiment("paper").claim("text")
    with pytest.raises(UserError, match=r"holds another comparison \(another text\)"):
        experiment("small").claim("other text")
    assert [each.name for each in experiment("small").runs] == ["small-1", "small-wt-1", "small-pr-1", "small-wt-pr-1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--set lm.tying=tied", "lm.tying: is what the table's models differ in; leave it out"),
        ("--set model.dropout=0.5", "model.dropout: is nothing of language models; leave it out"),
        ("--seeds 0", "--seeds: 0 is out of range: it must be 1 to 1,000"),
        ("--vocabulary 2", "--vocabulary: 2 is out of range: it must be 3 or more"),
        ("--set lm.dropout=2", "lm.dropout: 2.0 is out of range: it must be at least 0 and below 1"),
    ],
)
def test_wrong_uses_are_one_line_before_any_work(words: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        reproduce_language.command("table6", [*words.split(), "--out", str(tmp_path)])
    assert str(raised.value) == message
    assert not list(tmp_path.iterdir())
