"""scripts/bench text: what it counts is what does not come back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bpe.errors import UserError
from scripts.benchmarks import round_trip

ENGLISH = ["A dog.", "a  dog ", "It's “here” – 12\u00a0500", "plain words"]


def test_the_counts_are_those_of_the_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test.en").write_text("".join(line + "\n" for line in ENGLISH), encoding="utf-8")
    with gzip.open(tmp_path / "test.en-fr.fr.gz", "wt", encoding="utf-8") as stream:
        stream.write("Un chien\u202f!\n")
    (tmp_path / "README").write_text("not text\n", encoding="utf-8")
    found = tmp_path / "found.json"
    round_trip.main(["--corpus", str(tmp_path), "--json", str(found), "--examples", "1"])
    english, french = json.loads(found.read_text(encoding="utf-8"))["rows"]
    assert (english["language"], english["lines"], french["lines"]) == ("en", 4, 1)
    assert [english[f"{way} changed"] for way in round_trip.WAYS] == [0, 1, 1]
    assert [french[f"{way} changed"] for way in round_trip.WAYS] == [0, 1, 1]
    assert english["reversible words"] == 16
    printed = capsys.readouterr().out
    assert "1 (25.0%)" in printed
    assert repr("Un chien\u202f!") in printed


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text files named by a language"):
        round_trip.main(["--corpus", str(tmp_path)])
    with pytest.raises(UserError, match="--ways: unknown: perl; give some of reversible, moses"):
        round_trip.main(["--corpus", str(tmp_path), "--ways", "perl"])
