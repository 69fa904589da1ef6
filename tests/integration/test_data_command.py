"""nmt-data from the command line, offline: a small catalogue entry, a mirror folder, one-line errors."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from nmt.cli import data
from nmt.corpora import catalogue, homeassistant
from nmt.corpora.records import Pair, RemoteFile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny wheel; the catalogue's homeassistant is that wheel."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    wheel = folder / homeassistant.WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for number in range(200):
            texts = {"en": f"Device {chr(97 + number % 26) * 9} number {number}", "de": f"{number}. Gerät {number % 7}"}
            for code, text in texts.items():
                name = f"homeassistant/components/part{number}/translations/{code}.json"
                archive.writestr(name, json.dumps({"title": text}))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()

    def files(pair: Pair) -> tuple[RemoteFile, ...]:
        return (RemoteFile(name=wheel.name, url="PyPI", pip="homeassistant==0", sha256=sha256),)

    tiny = replace(homeassistant.CORPUS, files=files, outputs={})
    monkeypatch.setitem(catalogue.CORPORA, "homeassistant", tiny)
    monkeypatch.setenv("NMT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return folder


def test_fetch_twice(mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fetch", "homeassistant", "--src", "en", "--tgt", "de", "--from", str(mirror)]
    assert data.main(arguments) == 0
    first = capsys.readouterr()
    assert "homeassistant en-de is in corpus/" in first.out
    assert "licence: Apache-2.0" in first.err
    assert data.main(arguments) == 0
    assert "is there already, verified" in capsys.readouterr().out
    counts = {name: len(Path("corpus", name).read_bytes().splitlines()) for name in ("train.en", "train.de")}
    assert counts["train.en"] == counts["train.de"] > 100
    assert sorted(path.name for path in Path("corpus").iterdir()) == [
        "corpus.json",
        *sorted(f"{split}.{code}" for split in ("train", "valid", "test") for code in ("de", "en")),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "homeasistant"], "did you mean homeassistant"),
        (["fetch", "homeassistant"], "several language pairs: en-de, en-fr"),
        (["fetch", "homeassistant", "--tgt", "de", "--from", "nowhere"], "nowhere: no such folder"),
        (["fetch", "newstest2014", "--tgt", "de", "--from", "mirror"], "has no test-full.tgz"),
        (["fetch", "newstest2014", "--tgt", "de", "--from", "http://127.0.0.1:9/"], "download failed"),
        (["show", "nothing"], "choose one of homeassistant"),
        (["fetch"], "the following arguments are required: NAME"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_errors_are_one_line_and_exit_2(
    mirror: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert data.main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("nmt-data: error: ")
    assert message in error


def test_wrong_checksum(mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = mirror / homeassistant.WHEEL
    wheel.write_bytes(wheel.read_bytes() + b"x")
    assert data.main(["fetch", "homeassistant", "--tgt", "de", "--from", "mirror", "--quiet"]) == 2
    assert "wrong SHA-256: expected" in capsys.readouterr().err
    assert not Path("corpus").exists()


def test_real_entry_refuses_a_mirror_with_another_wheel(tmp_path: Path) -> None:
    (tmp_path / homeassistant.WHEEL).write_bytes(b"not the wheel")
    arguments = [sys.executable, "-m", "nmt.cli.data", "fetch", "homeassistant", "--tgt", "de", "--from", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "wrong size: expected 67,607,712 bytes" in result.stderr
    assert "Traceback" not in result.stderr


def test_test_set_alone_says_what_it_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert data.main(["show", "newstest2014"]) == 0
    shown = capsys.readouterr().out
    assert "3,003 lines" in shown
    assert "2,737 lines" in shown
    assert "published by sacreBLEU" in shown


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert data.main(["list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in catalogue.CORPORA)
    assert data.main(["list", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["multi30k"]["pairs"][0]["written"]["train.en"]["lines"] == 29_000
    assert data.main(["show", "multi30k", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == entries["multi30k"]
