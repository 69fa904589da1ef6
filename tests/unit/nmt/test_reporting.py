"""metrics.jsonl for programs, lines for people, TensorBoard where it is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.training.reporting import METRICS, Reporter, read_metrics


def reporter(folder: Path, *, resumed_at: int = 0, tensorboard: bool = False, quiet: bool = True) -> Reporter:
    return Reporter(folder, resumed_at=resumed_at, tensorboard=tensorboard, quiet=quiet)


def test_a_record_is_on_disk_at_once_and_read_back_equal(tmp_path: Path) -> None:
    report = reporter(tmp_path)
    report.record("train", 5, {"loss": 1 / 3, "epoch": 1})
    assert read_metrics(tmp_path / METRICS) == [{"kind": "train", "update": 5, "loss": 1 / 3, "epoch": 1}]
    report.record("validation", 5, {"bleu": None})
    lines = (tmp_path / METRICS).read_text().split("\n")
    assert [json.loads(line)["kind"] for line in lines[:-1]] == ["train", "validation"]
    assert lines[-1] == ""


def test_records_of_updates_that_are_made_again_are_dropped(tmp_path: Path) -> None:
    first = reporter(tmp_path)
    for update in (5, 10, 15):
        first.record("train", update, {"loss": update / 7})
    again = reporter(tmp_path, resumed_at=10)
    assert [record["update"] for record in read_metrics(tmp_path / METRICS)] == [5, 10]
    again.record("train", 15, {"loss": 0.0})
    assert [record["loss"] for record in read_metrics(tmp_path / METRICS)] == [5 / 7, 10 / 7, 0.0]


def test_a_record_half_written_by_a_killed_run_is_dropped(tmp_path: Path) -> None:
    reporter(tmp_path).record("train", 5, {"loss": 1.0})
    with open(tmp_path / METRICS, "a") as stream:
        stream.write('{"kind": "train", "upd')
    report = reporter(tmp_path, resumed_at=5)
    report.record("train", 10, {"loss": 2.0})
    assert [record["update"] for record in read_metrics(tmp_path / METRICS)] == [5, 10]


def test_what_is_not_finite_is_null_for_every_reader(tmp_path: Path) -> None:
    """JSON knows no NaN: strict readers refuse the file. Files that have it are read, and mended when a run goes on."""
    report = reporter(tmp_path)
    report.record("train", 1, {"loss": float("nan"), "norm": float("inf"), "rate": 0.5, "epoch": 1})
    assert strictly(tmp_path)[0]["loss"] is None
    with open(tmp_path / METRICS, "a") as stream:
        stream.write('{"kind": "validation", "update": 2, "bleu": NaN, "cost": -Infinity}\n')
    wanted = [
        {"kind": "train", "update": 1, "loss": None, "norm": None, "rate": 0.5, "epoch": 1},
        {"kind": "validation", "update": 2, "bleu": None, "cost": None},
    ]
    assert read_metrics(tmp_path / METRICS) == wanted
    reporter(tmp_path, resumed_at=2)
    assert strictly(tmp_path) == wanted


def strictly(folder: Path) -> list[dict[str, object]]:
    """The records as a reader sees them that knows JSON alone."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    lines = (folder / METRICS).read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_quiet_says_nothing_and_records_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = reporter(tmp_path)
    report.say("hello")
    report.record("train", 1, {})
    assert capsys.readouterr() == ("", "")
    assert len(read_metrics(tmp_path / METRICS)) == 1
    reporter(tmp_path, quiet=False).say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_a_failed_write_is_a_user_error_that_names_the_file(tmp_path: Path) -> None:
    report = reporter(tmp_path / "gone")
    with pytest.raises(UserError, match=r"gone/metrics\.jsonl: cannot be written"):
        report.record("train", 1, {})


def test_tensorboard_that_is_not_installed_is_said_and_missed_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    report = reporter(tmp_path, tensorboard=True, quiet=False)
    report.record("train", 1, {"loss": 1.0})
    report.close()
    assert "TensorBoard is not installed (pip install tensorboard)" in capsys.readouterr().err
    assert read_metrics(tmp_path / METRICS)[0]["loss"] == 1.0


def test_tensorboard_gets_the_finite_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report = reporter(tmp_path, tensorboard=True)
    report.record("train", 5, {"loss": 0.5, "norm": float("inf"), "bleu": None})
    report.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["train/loss"]
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(5, 0.5)]
