"""nmt-reproduce table8: the whole way at a tiny size, stopped anywhere, continued; and what it says of mistakes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from nmt.cli import evaluate, reproduce
from nmt.evaluate.testsets import every_test_set
from tests.at_once import work_here
from tests.forked import Forked
from tests.tiny_corpus import make_corpus

pytest.importorskip("sacremoses")

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
prep: {joint_bpe: 60}
model: {embedding_size: 8, hidden_size: 10, dropout: 0.1}
training:
  {precision: float32, batch_tokens: 150, max_updates: 40, validate_every: 20, save_every: 10, log_every: 10, ema: 0.9,
   tensorboard: false, validation_beam: 1, warmup_updates: 5, learning_rate: 0.01}
search: {beam: 2}
"""
RUNS = ["untied-seed1", "decoder-seed1", "three-way-seed1"]
FULL_DISK = """
import errno, os, sys
if any('"decoder"' in word for word in sys.orig_argv):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")
    os.fsync = full
"""
"A sitecustomize.py: the process that trains the decoder-tied model finds the disk full."


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpus/ and recipe.yaml."""
    folder = tmp_path_factory.mktemp("table8")
    make_corpus(folder / "corpus", pairs=200)
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def words(work: Path, out: Path, *more: str) -> list[str]:
    recipe, corpus = str(work / "recipe.yaml"), str(work / "corpus")
    return ["table8", "--config", recipe, "--corpus", corpus, "--out", str(out), "--threads", "1", *more]


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """The workers of comparisons of this process are no processes."""
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        yield


@pytest.fixture(scope="module")
def whole(work: Path, here: None) -> Path:
    """A comparison that nothing interrupted."""
    out = work / "whole"
    assert reproduce.main(words(work, out, "--quiet", "--name", "Toy &")) == 0
    return out


def start(work: Path, out: Path, *more: str, **environment: str) -> Forked:
    path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(ROOT))))
    return Forked(reproduce.main, words(work, out, *more), environment | {"PYTHONPATH": path})


def take_over(whole: Path, out: Path, *names: str) -> None:
    """Put the finished runs of one comparison into the folder of another."""
    for name in names:
        shutil.copytree(whole / "models" / name, out / "models" / name)
        for kind in ("scores", "logs"):
            for path in (whole / kind).glob(f"{name}.*"):
                (out / kind).mkdir(exist_ok=True)
                shutil.copy2(path, out / kind)


def wait_for(path: Path, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.02)


def workers(out: Path) -> list[int]:
    """Processes that work for a comparison."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"nmt.reproduce.worker" in command and str(out).encode() in command:
            found.append(int(folder.name))
    return found


def weights(out: Path) -> dict[tuple[str, str], bytes]:
    """Every number of the best weights (a file's own bytes differ in the order of its metadata)."""
    files = {name: load_file(out / "models" / name / "best.safetensors") for name in RUNS}
    return {(name, key): value.numpy().tobytes() for name, file in files.items() for key, value in file.items()}


def test_one_command_from_corpus_to_report(whole: Path) -> None:
    report = json.loads((whole / "report.json").read_text())
    assert [mode["tying"] for mode in report["modes"]] == ["untied", "decoder", "three-way"]
    assert report["sets"] == ["valid", "test"]
    for mode in report["modes"]:
        (run,) = mode["runs"]
        assert run["updates"] == 40
        assert [point["update"] for point in run["curve"]] == [20, 40]
        assert run["cpu_seconds"] > 0
        assert 50e6 < run["peak_memory"] < 10e9
        assert run["target_tokens"] == report["modes"][0]["runs"][0]["target_tokens"]
        assert mode["bleu"]["test"]["mean"] == run["scores"]["test"]["bleu"]
        assert mode["paper"]["millions"] in (165, 119, 79)
    assert {(each["tying"], each["test_set"]) for each in report["comparisons"]} == {
        (tying, name) for tying in ("decoder", "three-way") for name in ("valid", "test")
    }
    assert all(0 <= p <= 1 for each in report["comparisons"] for p in each["p_values"])
    assert len(report["fairness"]["differences"]) == 7
    assert report["missing"] == []


def test_scores_are_nmt_evaluates(whole: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads((whole / "report.json").read_text())
    model = str(whole / "models/three-way-seed1")
    code = evaluate.main(["--model", model, "--corpus", str(work / "corpus"), "--beam", "2", "--json", "--quiet"])
    assert code == 0
    scores = json.loads(capsys.readouterr().out)
    assert report["modes"][2]["runs"][0]["scores"]["test"] == {key: scores[key] for key in ("bleu", "chrf2", "ter")}
    assert report["signatures"] == scores["signatures"]


def test_the_page_needs_nothing_else_and_says_what_the_markdown_says(whole: Path) -> None:
    page, markdown = (whole / "report.html").read_text(), (whole / "report.md").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!#)[^"']+""", page)
    assert page.count("<svg") == 3
    assert "<h1>Table 8 on Toy &amp; EN-DE, recipe recipe</h1>" in page
    for heading in (
        "Reading",
        "Learning curves",
        "Size against BLEU",
        "What training cost",
        "What is the same in all modes, and what is not",
        "What tying does to the embeddings",
        "The recipe",
    ):
        assert f"<h2>{heading}</h2>" in page
        assert f"\n## {heading}\n" in markdown
    for name in ("curves-bleu", "curves-cross-entropy", "sizes"):
        assert f"({name}.svg)" in markdown
        assert (whole / f"{name}.svg").read_text().startswith("<svg")
    assert "165M" in markdown


def test_a_report_is_written_again_from_its_json(whole: Path, tmp_path: Path) -> None:
    shutil.copy2(whole / "report.json", tmp_path / "report.json")
    assert reproduce.main(["render", str(tmp_path / "report.json")]) == 0
    names = [path.name for path in whole.iterdir() if path.suffix in (".json", ".md", ".html", ".svg")]
    assert "report.html" in names
    for name in names:
        if name != "experiment.json":
            assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_is_no_report_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, problem in (
        ("{", "not JSON"),
        ("[]", "not a report"),
        ('{"name": 3}', "not a report"),
        (None, "No such"),
    ):
        path = tmp_path / f"{problem.split()[0]}.json"
        if text is not None:
            path.write_text(text)
        assert reproduce.main(["render", str(path)]) == 2
        assert problem in capsys.readouterr().err


def test_called_again_it_does_nothing_but_report(whole: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for name in RUNS for path in (whole / "models" / name).rglob("*")}
    assert reproduce.main(words(work, whole)) == 0
    assert before == {path: path.stat().st_mtime_ns for name in RUNS for path in (whole / "models" / name).rglob("*")}
    found = capsys.readouterr()
    assert "at work" not in found.err
    assert "three-way" in found.out


def test_killed_and_started_again_it_ends_with_the_same_weights(work: Path, whole: Path) -> None:
    out = work / "killed"
    run = start(work, out)
    wait_for(out / "models/untied-seed1/last")
    for number in workers(out):
        os.kill(number, signal.SIGKILL)
    run.kill()
    run.communicate(timeout=60)
    take_over(whole, out, "three-way-seed1")
    again = start(work, out, "--jobs", "2")
    told = again.communicate(timeout=400)[1]
    assert again.returncode == 0, told
    assert "continuing" in (out / "logs/untied-seed1.log").read_text()
    assert weights(out) == weights(whole)
    keys = ("scores", "cross_entropy", "target_tokens", "best_update")
    one, other = (json.loads((folder / "report.json").read_text())["modes"] for folder in (whole, out))
    assert [{k: m["runs"][0][k] for k in keys} for m in one] == [{k: m["runs"][0][k] for k in keys} for m in other]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_without_the_command_its_trainings_save_and_leave(work: Path, number: signal.Signals) -> None:
    out = work / number.name
    run = start(work, out, "--max-updates", "100000")
    wait_for(out / "models/untied-seed1/last")
    run.send_signal(number)
    told = run.communicate(timeout=240)[1]
    until = time.monotonic() + 120
    while workers(out):
        assert time.monotonic() < until, "a training outlived the command"
        time.sleep(0.1)
    assert "stopped by SIGTERM; everything is saved" in (out / "logs/untied-seed1.log").read_text()
    if number == signal.SIGTERM:
        assert run.returncode == 128 + number
        assert "stopping untied-seed1; what they have is saved" in told


@pytest.mark.usefixtures("here")
def test_a_full_disk_is_one_line_and_what_was_finished_stays(work: Path, whole: Path, tmp_path: Path) -> None:
    out = work / "full"
    take_over(whole, out, "untied-seed1")
    (tmp_path / "sitecustomize.py").write_text(FULL_DISK)
    run = start(work, out, PYTHONPATH=str(tmp_path))
    told = run.communicate(timeout=400)[1]
    assert run.returncode == 2
    last = told.strip().split("\n")[-1]
    assert last.startswith(f"nmt-reproduce: error: {out}/logs/decoder-seed1.log: decoder-seed1 failed: ")
    assert "no space left" in last
    assert "the same command continues" in last
    assert (out / "scores/untied-seed1.json").exists()
    assert reproduce.main(words(work, out, "--quiet")) == 0
    assert json.loads((out / "report.json").read_text())["missing"] == []


def test_without_a_test_set_it_says_so(work: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = work / "no-test", work / "validated"
    shutil.copytree(work / "corpus", corpus, ignore=shutil.ignore_patterns("test.*"))
    arguments = ["table8", "--config", str(work / "recipe.yaml"), "--corpus", str(corpus), "--out", str(out)]
    assert reproduce.main([*arguments, "--dry-run"]) == 0
    assert "no test set: validation BLEU only" in capsys.readouterr().out
    assert reproduce.main([*arguments, "--set", "training.max_updates=20", "--threads", "1", "--quiet"]) == 0
    assert "The corpus has no test set: only validation BLEU is reported" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["sets"] == ["valid"]


def test_seeds_are_added_and_missing_runs_are_named(
    work: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main(words(work, whole, "--seeds", "2", "--report-only", "--quiet")) == 0
    assert "not there yet: untied-seed2, decoder-seed2, three-way-seed2" in capsys.readouterr().out
    assert reproduce.main(words(work, whole, "--seeds", "2", "--dry-run")) == 0
    plan = capsys.readouterr().out
    assert "6 runs: 3 modes, seeds 1, 2; 3 finished, 3 to do" in plan
    assert "untied-seed2: would begin" in plan
    assert "untied-seed1" not in plan


def test_dry_run_writes_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = work / "never"
    assert reproduce.main(words(work, out, "--seeds", "3", "--dry-run")) == 0
    plan = capsys.readouterr().out
    assert not out.exists()
    for expected in ("9 runs", "0 finished, 9 to do", "would prepare it with 60 merges", "ms an update", "disk: about"):
        assert expected in plan


def test_sizes_need_no_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(["table8", "--sizes"]) == 0
    assert " 167.9 " in capsys.readouterr().out
    assert reproduce.main(["table8", "--sizes", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], f"no table named; choose one of {', '.join(reproduce.TABLES)}"),
        (["table9"], f"unknown table 'table9'; choose one of {', '.join(reproduce.TABLES)}"),
        (["table8", "--scale", "huge"], "--scale: no recipe of scale 'huge'; choose one of paper, small, tiny"),
        (["table8", "--seeds", "0"], "--seeds: 0 is out of range: it must be 1 to 1,000"),
        (["table8", "--corpus", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_get_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"nmt-reproduce: error: {expected}")
    assert told.count("\n") == 1


def test_another_recipe_is_refused(work: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce.main(words(work, whole, "--set", "model.dropout=0.3")) == 2
    told = capsys.readouterr().err
    assert "holds another comparison: model.dropout is 0.1 there, 0.3 now; name another folder with --out" in told


def test_every_pair_of_files_that_is_not_trained_on_is_a_test_set(tmp_path: Path) -> None:
    for name in ("train", "valid", "test", "newstest2014", "train-2", "notes"):
        for language in ("en", "de"):
            (tmp_path / f"{name}.{language}").write_text("a\nb\n")
    (tmp_path / "notes.de").unlink()
    assert [each.name for each in every_test_set(tmp_path, "en", "de")] == ["newstest2014", "test"]
