"""How threads wait is chosen by what runs; a user's own setting counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nmt import waiting


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in waiting.OWN_SETTINGS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0)


def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "loadavg").write_text(text)
    monkeypatch.setattr(waiting, "LOADAVG", tmp_path / "loadavg")


@pytest.mark.parametrize(
    ("running", "name", "value"), [(1, "GOMP_SPINCOUNT", waiting.BRIEFLY), (2, "OMP_WAIT_POLICY", "PASSIVE")]
)
def test_threads_sleep_beside_others_alone(
    running: int, name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(tmp_path, monkeypatch, f"0.58 0.57 0.40 {running}/412 9288\n")
    waiting.choose_waiting()
    found = {key: waiting.os.environ[key] for key in waiting.OWN_SETTINGS if key in waiting.os.environ}
    assert found == {name: value}


@pytest.mark.parametrize("name", waiting.OWN_SETTINGS)
def test_a_users_own_setting_counts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(tmp_path, monkeypatch, "0.58 0.57 0.40 9/412 9288\n")
    monkeypatch.setenv(name, "7")
    waiting.choose_waiting()
    assert [key for key in waiting.OWN_SETTINGS if key in waiting.os.environ] == [name]


@pytest.mark.parametrize("text", ["", "nothing of the kind\n"])
def test_a_system_that_does_not_say_is_left_alone(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(tmp_path, monkeypatch, text)
    assert waiting.others_running() is None
    waiting.choose_waiting()
    assert not any(key in waiting.os.environ for key in waiting.OWN_SETTINGS)


def test_it_is_chosen_before_torch_is_loaded() -> None:
    code = "import sys, nmt.cli; assert 'torch' not in sys.modules; import os; print(sorted(os.environ))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert any(name in done.stdout for name in waiting.OWN_SETTINGS) or not waiting.LOADAVG.exists()
