"""Locks: one holder at a time, whoever removes the file meanwhile; none after the holder's death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

import bpe.locks as module
from bpe.locks import FOREIGN_SECONDS, HERE, exclusive, hold, remove_abandoned

ROOT = Path(__file__).resolve().parents[3]
ENTER_AND_LEAVE = """
import os, sys, time
from pathlib import Path
from bpe.locks import exclusive
inside = Path(sys.argv[1]).with_name("inside")
done, end = 0, time.monotonic() + 60
while done < 50 and time.monotonic() < end:
    with exclusive(Path(sys.argv[1])) as mine:
        if mine:
            os.mkdir(inside)  # fails where another is inside
            os.rmdir(inside)
            done += 1
sys.exit(done != 50)
"""


def process(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def held(path: Path) -> FileIO:
    stream = hold(path)
    assert stream is not None
    return stream


def test_one_holds_it_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path):
        assert hold(path) is None
        with exclusive(path) as mine:
            assert not mine
    held(path).close()
    with exclusive(path) as mine:
        assert mine
        assert path.exists()
    assert not path.exists()


def test_it_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    program = (
        "import sys, time; from bpe.locks import hold; kept = hold(sys.argv[1]); print(1, flush=True); time.sleep(60)"
    )
    other = process(program, tmp_path / "lock")
    assert other.stdout is not None
    assert other.stdout.readline() == "1\n"
    assert hold(tmp_path / "lock") is None
    other.send_signal(signal.SIGKILL)
    other.communicate()
    held(tmp_path / "lock").close()


def test_forked_workers_do_not_hold_it(tmp_path: Path) -> None:
    """A worker of a killed run may live on for a while."""
    program = (
        "import os, sys, time; from bpe.locks import hold; kept = hold(sys.argv[1]); child = os.fork();"
        "time.sleep(0.2); print(child, flush=True) if child else None; time.sleep(60)"
    )
    parent = process(program, tmp_path / "lock")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    try:
        held(tmp_path / "lock").close()
    finally:
        os.kill(child, signal.SIGKILL)
    parent.communicate()


def before_the_first_lock(action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something between the first opening of a file and its locking."""
    plain, calls = module._lock, []

    def locking(stream: FileIO, *, wait: bool = False) -> bool | None:
        calls.append(stream)
        if len(calls) == 1:
            action()
        return plain(stream, wait=wait)

    monkeypatch.setattr(module, "_lock", locking)


def test_a_file_that_was_removed_before_it_was_locked_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    before_the_first_lock(path.unlink, monkeypatch)
    with held(path) as stream:
        assert os.path.samestat(os.fstat(stream.fileno()), path.stat())


def test_nor_does_it_where_a_third_has_locked_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, others = tmp_path / "lock", []

    def replaced() -> None:
        path.unlink()
        others.append(held(path))

    before_the_first_lock(replaced, monkeypatch)
    assert hold(path) is None
    others[0].close()


def test_processes_that_enter_and_leave_are_never_inside_together(tmp_path: Path) -> None:
    running = [process(ENTER_AND_LEAVE, tmp_path / "lock") for _ in range(3)]
    assert [other.wait() for other in running] == [0, 0, 0]
    for other in running:
        other.communicate()


@pytest.mark.parametrize(
    ("machine", "age", "gone"),
    [(HERE, 0, True), ("another", 0, False), ("another", FOREIGN_SECONDS + 60, True)],
)
def test_what_no_one_holds_is_abandoned_here_at_once_and_elsewhere_after_a_day(
    machine: str, age: float, gone: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    with held(path):
        remove_abandoned(path, machine, path.unlink)
        assert path.exists()
    remove_abandoned(path, machine, path.unlink)
    assert path.exists() != gone
    remove_abandoned(tmp_path / "nothing", machine, path.unlink)


@pytest.mark.parametrize("what", ["no locks", "no such function"])
def test_where_nothing_can_be_locked_nothing_is_abandoned(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if what == "no locks":
        monkeypatch.setattr(module.fcntl, "flock", unsupported)
    else:
        monkeypatch.setattr(module, "fcntl", None)
    path = tmp_path / "lock"
    with held(path), held(path):
        remove_abandoned(path, HERE, path.unlink)
    assert path.exists()
