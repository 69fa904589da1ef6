"""scripts/bench word2vec on a text that takes seconds. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpe.command import run
from scripts.benchmarks.__main__ import main


def test_both_tools_are_timed_on_the_same_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gensim")
    words = ["word2vec", "--words", "3000", "--types", "200", "--rounds", "1", "--threads", "1"]
    assert run("scripts/bench", main, [*words, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert len(found["tables"]) == 2
    for table in found["tables"]:
        assert table["title"] in printed
        assert [row["tool"] for row in table["rows"]] == ["gensim", "ours"]
        assert all(row["words_per_second"] > 0 for row in table["rows"])
        assert table["rows"][0]["of_gensim"] == 1
