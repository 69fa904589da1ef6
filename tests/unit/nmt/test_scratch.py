"""Scratch folders: gone when the work ends, removed by the next run when it was killed, left alone while it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpe.errors import UserError
from bpe.locks import FOREIGN_SECONDS
from nmt.scratch import put_in_place, remove_scratch, scratch_folder

ROOT = Path(__file__).resolve().parents[3]
WORK = """
import sys, time
from pathlib import Path
from nmt.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("done")
    print(folder, flush=True)
    time.sleep(60)
"""


def at_work(beside: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that works in a scratch folder, and the folder."""
    command = [sys.executable, "-c", WORK, str(beside)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().rstrip("\n"))


def test_the_folder_is_there_for_the_work_and_gone_after_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new" / "result") as folder:
        (folder / "result").mkdir()
        put_in_place(folder / "result", tmp_path / "new" / "result")
    assert os.listdir(tmp_path / "new") == ["result"]
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path / "other"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["new"]


def test_a_killed_runs_folder_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    process, folder = at_work(tmp_path / "result")
    with scratch_folder(tmp_path / "result") as other:
        assert folder != other
        remove_scratch(tmp_path / "result")
        assert (folder / "half").read_text() == "done"
        assert other.exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.listdir(tmp_path) == [folder.name]
    remove_scratch(tmp_path / "another")
    assert folder.exists()
    remove_scratch(tmp_path / "result")
    assert os.listdir(tmp_path) == []


def test_what_may_be_another_machines_is_left_alone_for_a_day(tmp_path: Path) -> None:
    """Also what runs of older versions left, which had no lock."""
    fresh, old = tmp_path / ".result.part-host-12", tmp_path / ".result.part-0badc0de-12ab"
    for folder in (fresh, old):
        folder.mkdir()
    (old / ".lock").touch()
    remove_scratch(tmp_path / "result")
    assert len(os.listdir(tmp_path)) == 2
    before = time.time() - FOREIGN_SECONDS - 60
    for path in (old / ".lock", fresh):
        os.utime(path, (before, before))
    remove_scratch(tmp_path / "result")
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), scratch_folder(tmp_path / "file" / "result"):
        pass
