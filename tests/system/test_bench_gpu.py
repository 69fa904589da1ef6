"""scripts/bench gpu at sizes that take seconds, on a CPU: every stage runs, or says that it needs CUDA. No time is
asserted."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bpe.errors import UserError
from nmt.layers.triton.available import kernels_told
from scripts.benchmarks import gpu, gpu_quick, train_parts, train_peers
from scripts.benchmarks.gpu_work import Bench
from tests.tape import TapeRecorder, as_on_cuda

ELSEWHERE = ("sacremoses", "subword_nmt", "langcodes", "py3langid", "zstandard", "dask", "distributed", "starlette")
"Packages that the toolkit can use, and that a machine with a GPU may lack."
WORDS = ["--device", "cpu", "--tiny", "--threads", "1"]
NEEDS_CUDA = ("The same updates", "Launches of an update", "Updates that may not wait")


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """What everything is compared with is small too; the number of threads stays what it was."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_peers, "PRODUCT_SIZE", 64)
        patch.setattr(train_parts, "COPY_BYTES", 2**16)
        yield
    torch.set_num_threads(before)


def report_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_stage_runs_on_a_cpu_or_says_that_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    gpu.main([*WORDS, "--json", str(path), "--only", *gpu.STAGES])
    report, printed = report_of(path), capsys.readouterr().out
    tables = {table["title"]: table["rows"] for table in report["tables"]}
    assert list(report["seconds"]) == list(gpu.STAGES)
    assert not [title for title in tables if "failed" in title or "left out" in title]
    assert all(f"\n{title}\n" in printed for title in tables)
    for beginning in NEEDS_CUDA:
        [title] = [title for title in tables if title.startswith(beginning)]
        assert title.endswith("needs a CUDA device")
    trainings = [row for rows in tables.values() for row in rows if "peak_bytes" in row]
    assert len(trainings) == 1 + 4 + 1 + 3 + 2  # sentences, buffers, batches, settings, precisions
    assert all(row["pieces_per_second"] > 0 for row in trainings)
    assert trainings[0]["paper_minutes"] == pytest.approx(trainings[0]["milliseconds"] * 5)
    assert {row["equal"] for rows in tables.values() for row in rows if "equal" in row} == {"to the bit"}
    [learnt] = [row for rows in tables.values() for row in rows if "entropy" in row]
    assert learnt["entropy"] < learnt["last"] < learnt["first"]
    assert any(row.get("alone_milliseconds", 0) > 0 for rows in tables.values() for row in rows)


def test_graphs_are_measured_where_they_can_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With tapes in their place, and the loss in torch's words."""
    monkeypatch.setattr(Bench, "cuda", True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(train_parts, "CudaRecorder", TapeRecorder)
    monkeypatch.setattr(train_parts, "Updater", functools.partial(train_parts.Updater, deferred=True))
    as_on_cuda(monkeypatch)
    with kernels_told(""):
        gpu.main([*WORDS, "--only", "graph", "resuming", "--json", str(tmp_path / "found.json")])
    graph, resuming = (table["rows"] for table in report_of(tmp_path / "found.json")["tables"])
    assert [row["what"].split(",")[0] for row in graph] == ["call by call", "call by call", "graphs"]
    assert all(row["pieces_per_second"] > 0 for row in graph)
    assert resuming[-1] == {"what": "graphs beside calls", "equal": "to the bit"}


def test_what_fails_and_what_there_is_no_time_for_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Bench) -> Iterator[Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nand more")

    monkeypatch.setitem(gpu.STAGES, "products", (broken, 0))
    gpu.main([*WORDS, "--only", "products", "graph", "--json", str(tmp_path / "found.json")])
    told = "products: failed, RuntimeError: CUDA error: an illegal memory access was encountered"
    assert report_of(tmp_path / "found.json")["tables"][0]["title"] == told
    gpu.main([*WORDS, "--only", "graph", "search", "--minutes", "0"])
    assert capsys.readouterr().out.count("left out, there is no time left") == 2


def test_checks_that_fail_are_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"failed": True, "summary": "1 failed", "output": "E   assert 1 == 2"}
    monkeypatch.setattr(gpu, "run_checks", lambda _: found)
    with pytest.raises(UserError, match="the GPU's numbers are not the CPU's: 1 failed"):
        gpu.main([*WORDS, "--only", "checks"])
    assert "assert 1 == 2" in capsys.readouterr().err


def test_two_versions_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_quick, "ROUNDS", 1)
    path = tmp_path / "found.json"
    gpu.main([*WORDS, "--quick", "--against", str(gpu.ROOT), "--json", str(path)])
    [table] = report_of(path)["tables"]
    first, second = table["rows"]
    assert (first["version"], second["version"], second["faster"]) == ("this", str(gpu.ROOT), 1)
    assert first["faster"] == pytest.approx(second["update"] / first["update"])
    assert first["search_step"] > 0
    with pytest.raises(UserError, match="no folder and no commit"):
        gpu.main([*WORDS, "--quick", "--against", "no-such-commit"])
    with pytest.raises(UserError, match="compares nothing without --quick"):
        gpu.main([*WORDS, "--against", "HEAD"])


def test_a_machine_without_the_optional_packages_is_enough(tmp_path: Path) -> None:
    """What the CUDA tests prepare and train, and the benchmark, where those packages cannot be imported."""
    program = f"""
import sys
sys.modules.update(dict.fromkeys({ELSEWHERE!r}))
from pathlib import Path
from nmt.cli import train
from scripts.benchmarks import gpu
from tests.tiny_corpus import make_prepared
folder = Path(sys.argv[1])
words = ["--prepared", str(make_prepared(folder, pairs=60)), "--model", str(folder / "model"), "--device", "cpu"]
words += ["--set", "model.embedding_size=8", "--set", "model.hidden_size=8", "--set", "training.tensorboard=false"]
assert train.main([*words, "--max-updates", "2", "--quiet"]) == 0
gpu.main([*{WORDS!r}, "--only", "checks", "graph"])
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=gpu.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Checks against the CPU: " in done.stdout
