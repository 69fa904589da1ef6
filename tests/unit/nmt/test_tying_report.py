"""nmt-reproduce tying: the rules of its reading on made-up records, and the report of real ones."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.cli import reproduce, train
from nmt.configfile import build_config
from nmt.layers.roles import USES
from nmt.reproduce.experiment import Experiment, Run
from nmt.reproduce.tying.pictures import bands_of
from nmt.reproduce.tying.reading import drowning, like_untied, log_ratio, reading
from nmt.reproduce.tying.records import Point, RecordedRun, RunGroup, read_runs
from nmt.reproduce.tying.report import plus_minus, tying_parts
from nmt.tying import Tying
from tests.in_process import call
from tests.tiny_corpus import make_prepared
from tests.tiny_model import make_model_of


def point(update: int, ratio: float | None, cosine: float = 0.1) -> Point:
    """The output's gradient is `ratio` times as long as each input's."""
    found: Point = {"update": update, "gradient.source_input": 0.5, "gradient.target_input": 0.5}
    found["gradient.output"] = None if ratio is None else 0.5 * ratio
    pairs = ("source_input.target_input", "source_input.output", "target_input.output")
    return found | {f"cosine.{pair}": cosine for pair in pairs}


def run_of(seed: int, ratios: list[float | None], *, rho: tuple[float, float] | None = None) -> RecordedRun:
    """rho: with the untied input and output, at the last of two validations."""
    checks: list[Point] = []
    for update, share in ((50, 0.0), (100, 1.0)):
        if rho:
            likeness = {"source_input": rho[0], "target_input": rho[0], "output": rho[1]}
            checks.append({"update": update} | {f"rho.{role}": share * value for role, value in likeness.items()})
    points = [point(10 * (n + 1), ratio) for n, ratio in enumerate(ratios)]
    return RecordedRun(folder=Path("run"), tying=Tying.THREE_WAY, seed=seed, against="", points=points, checks=checks)


def group_of(*runs: RecordedRun, tying: Tying = Tying.THREE_WAY) -> RunGroup:
    return RunGroup(label=tying.value, tying=tying, runs=list(runs))


@pytest.mark.parametrize(
    ("early", "late", "told"),
    [
        ((8.0, 9.0), 1.0, "the output's gradient drowns the source input's early on, more so than late: it is 8.49"),
        ((1.5, 1.6), 1.5, "is larger than the source input's early on, but does not drown it, not shown to differ"),
        ((0.25, 0.3), 1.0, "is smaller than the source input's early on, less so than late"),
        ((0.5, 2.2), 1.0, "no difference is shown between the output's gradient and the source input's early on"),
        ((2.1, 9.0), 1.0, "no difference is shown"),  # an interval of two seeds is wide
    ],
)
def test_whether_the_output_drowns_an_input(early: tuple[float, float], late: float, told: str) -> None:
    """Ten records a run: the first two are early."""
    seeds = [run_of(seed, [ratio, ratio, *[late * 1.01**seed] * 8]) for seed, ratio in enumerate(early)]
    assert told in drowning(group_of(*seeds), "source_input")


def test_the_ratio_is_a_geometric_mean_over_early_records_and_seeds() -> None:
    runs = [run_of(1, [2.0, 8.0, *[1.0] * 8]), run_of(2, [4.0, 4.0, *[1.0] * 8])]
    assert "it is 4.00 (95% interval 4.00 to 4.00) times the target input's early, 1.00" in drowning(
        group_of(*runs), "target_input"
    )
    one = drowning(group_of(run_of(1, [2.0, 8.0, *[1.0] * 8])), "target_input")
    told = "the output's gradient is 4.00 times the target input's early, 1.00 times late"
    assert one == f"{told} (one seed: open whether others agree)"


def test_what_was_not_finite_is_left_out() -> None:
    assert log_ratio("source_input", point(1, None)) is None
    assert log_ratio("source_input", point(1, 0.0)) is None
    found = drowning(group_of(run_of(1, [None, 4.0, *[1.0] * 8])), "source_input")
    assert "is 4.00 times" in found
    assert (
        drowning(group_of(run_of(1, [None] * 10)), "source_input") == "nothing is known of the source input's gradients"
    )


def test_likeness_goes_by_the_last_validation() -> None:
    more = [run_of(seed, [1.0], rho=(0.2, 0.6 + seed / 100)) for seed in (1, 2)]
    assert "the table is more like the untied output than the untied source input (rho 0.615 and 0.200" in like_untied(
        group_of(*more)
    )
    alike = [run_of(1, [1.0], rho=(0.2, 0.3)), run_of(2, [1.0], rho=(0.3, 0.2))]
    assert "the table is as like the untied output as the untied target input" in like_untied(group_of(*alike))
    assert like_untied(group_of(run_of(1, [1.0]))) == ""
    one = like_untied(group_of(run_of(1, [1.0], rho=(0.2, 0.3))))
    assert one.startswith(
        "rank correlations with the untied output and the untied source input are 0.300 and 0.200 (one"
    )


def test_only_roles_of_one_matrix_are_read() -> None:
    runs = [run_of(seed, [4.0] * 10) for seed in (1, 2)]
    three, two, none = (
        reading([group_of(*runs, tying=mode)]) for mode in (Tying.THREE_WAY, Tying.DECODER, Tying.UNTIED)
    )
    assert sum("drowns" in line for line in three) == 2
    assert sum("drowns" in line for line in two) == 1
    assert "the output and the source input pull together, cosine +0.100 ± 0.000" in three[2]
    alone = reading([group_of(runs[0])])
    assert "the cosine of the output's and the source input's is +0.100 late (one seed: open" in alone[2]
    assert none == ["No matrix of these runs has two roles: there is nothing to drown."]


def test_numbers_with_intervals() -> None:
    assert plus_minus(None) == ""
    group = group_of(run_of(1, [1.0]), run_of(2, [1.0]))
    assert plus_minus(group.over_seeds(lambda run: float(run.seed)), 1) == "1.5 ± 6.4"
    assert bands_of({"rows.output.band_2": 1.5, "rows.output.both": 2, "update": 1}, "output") == {2: 1.5}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """untied and three-way, the latter with two seeds by its word."""
    folder = tmp_path_factory.mktemp("runs")
    prepared = make_prepared(folder / "data", pairs=100)
    make_model_of(prepared, folder / "plain")
    settings = {
        "model.embedding_size": 8, "model.hidden_size": 10, "training.batch_tokens": 200, "training.log_every": 2,
        "training.validate_every": 4, "training.tensorboard": "false", "training.validation_metric": "cost",
        "training.record_tying": "true",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    words += ["--prepared", str(prepared), "--threads", "1", "--device", "cpu", "--quiet", "--max-updates", "8"]
    for mode, more in (("untied", []), ("three-way", [f"training.record_tying_against={folder / 'untied-1'}"])):
        named = ["--model", str(folder / f"{mode}-1"), "--tying", mode]
        assert train.main([*words, *named, *(word for setting in more for word in ("--set", setting))]) == 0
    other = shutil.copytree(folder / "three-way-1", folder / "three-way-2")  # as if of another seed
    (other / "config.yaml").write_text((other / "config.yaml").read_text().replace("seed: 1", "seed: 2", 1))
    return folder


def test_a_report_of_runs(runs: Path, tmp_path: Path) -> None:
    folders = [runs / name for name in ("three-way-2", "untied-1", "three-way-1")]
    found = call(reproduce.main, ["tying", *folders, "--out", "report", "--json"], tmp_path)
    assert found.returncode == 0, found.stderr
    body = json.loads(found.stdout)
    assert json.loads((tmp_path / "report/tying.json").read_text()) == body
    assert [(group["label"], [run["seed"] for run in group["runs"]]) for group in body["groups"]] == [
        ("untied", [1]),
        ("three-way", [1, 2]),
    ]
    assert [point["update"] for point in body["groups"][1]["runs"][0]["points"]] == [2, 4, 6, 8]
    assert [check["update"] for check in body["groups"][1]["runs"][0]["checks"]] == [4, 8]
    assert len(body["reading"]) == 4
    assert all(line.startswith("three-way: ") for line in body["reading"])
    page, text = ((tmp_path / "report/tying").with_suffix(end).read_text() for end in (".html", ".md"))
    assert page.count("<svg") == 2 + 2 + 4 + 1  # gradients, cosines, rows of four matrices, likeness of the tied runs
    assert {path.stem for path in (tmp_path / "report").glob("*.svg")} == {
        line.split("](")[1].removesuffix(".svg)") for line in text.split("\n") if line.startswith("![")
    }
    assert math.isfinite(sum(body["groups"][0]["runs"][0]["points"][0][f"gradient.{role}"] for role in USES))


def test_a_comparison_that_records_compares_with_the_untied_run_that_is_finished(tmp_path: Path) -> None:
    config = build_config({"training.record_tying": True})
    experiment = Experiment(folder=tmp_path, config=config, scale="test", seeds=(1, 2))
    key = "training.record_tying_against"
    assert experiment.values(Run(Tying.DECODER, 1))[key] == ""
    experiment.scores(Run(Tying.UNTIED, 1)).parent.mkdir()
    experiment.scores(Run(Tying.UNTIED, 1)).write_text("{}")
    against = {run: experiment.values(run)[key] for run in experiment.runs}
    there = str(experiment.model(Run(Tying.UNTIED, 1)))
    assert {run.name for run in experiment.runs if against[run] == there} == {"decoder-seed1", "three-way-seed1"}
    assert set(against.values()) == {"", there}
    plain = Experiment(folder=tmp_path, config=build_config(), scale="test", seeds=(1,))
    assert plain.values(Run(Tying.DECODER, 1))[key] == ""
    assert plain.recipe() == experiment.recipe()


def test_runs_of_other_recipes_are_other_groups(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "wide"
    other.mkdir()
    for name in ("manifest.json", "config.yaml", "metrics.jsonl"):
        text = (runs / "three-way-1" / name).read_text()
        text = text.replace("learning_rate: 0.002", "learning_rate: 0.004")
        (other / name).write_text(text.replace("patience: 8", "patience: 9"))  # which changes no update
    groups = read_runs([runs / "three-way-1", other])
    assert [group.label for group in groups] == ["three-way", "three-way, learning_rate 0.004"]
    assert tying_parts(groups)
    with pytest.raises(UserError, match="are both three-way with seed 1"):
        read_runs([other, other])


def test_what_was_not_recorded_is_one_line(runs: Path, tmp_path: Path) -> None:
    for folder, told in ((runs / "plain", "nothing of the roles"), (tmp_path / "nothing", "no such folder")):
        found = call(reproduce.main, ["tying", folder], tmp_path)
        assert found.returncode == 2
        assert told in found.stderr.decode()
        assert found.stderr.count(b"\n") == 1
