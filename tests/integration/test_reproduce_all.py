"""nmt-reproduce all: the page for the whole paper from the reports of some tables, what is missing, and wrong use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nmt.cli.reproduce import main
from nmt.report.restore import restored
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.whole.claims import abstract_claims, together
from nmt.reproduce.whole.page import WholePaper
from nmt.reproduce.whole.sources import KINDS, FoundReport
from tests.chromium import Chromium, find_chromium
from tests.tiny_language import FLAGS, finished, write_benchmarks

RESULTS = Path(__file__).resolve().parents[2] / "docs/results"
TABLE_2, TABLE_8 = RESULTS / "table2", RESULTS / "table8/multi30k.en-de"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables 3, 4 and half of 6 of tiny models where their commands put them, and a page of all there is."""
    folder = tmp_path_factory.mktemp("all")
    experiment = finished(folder / "reproduction-table6", "table6", (1, 2), ("small", "small-wt"))
    write_benchmarks(folder / "sets")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        six = ["--prepared", str(experiment.prepared), "--seeds", "2", *FLAGS]
        assert main(["table6", *six, "--report-only", "--quiet", "--name", "tiny"]) == 0
        assert main(["table3", "--from", "reproduction-table6", "--benchmarks", "sets", "--quiet"]) == 0
        assert main(["table4", "--small", "reproduction-table6", "--quiet"]) == 0
        assert main(["all", "--table2", str(TABLE_2), "--table8", str(TABLE_8), "--out", "page", "--quiet"]) == 0
    return folder


def lines(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_eight_tables_stand_on_one_page(place: Path) -> None:
    text, page = ((place / f"page/paper.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["The claims of the abstract", "What is missing", *(kind.title for kind in KINDS.values())]
    rows = lines(text)
    assert ["Large", "-", "66M", "37.8", "82.2", "78.4"] in rows  # Table 5 is not there: the paper's figures alone
    assert ["text8, test", "-", "195.3", "-", "187.1", "-", "199.0", "-", "183.2"] in rows
    assert ["paper, EN-FR (89,500)", "2,000", "7,000", "85,000"] in rows
    assert ["Multi30k EN-DE (8,000)", "2,186", "3,575", "2,197"] in rows  # of Table 8's text
    small = next(row for row in rows if row[0] == "Small")
    assert small[-4:] == ["4.65M", "114.5", "120.7", "38.0"]
    translation = next(row for row in rows if row[0] == "three-way")
    assert translation[1:3] == ["1,668,506", "62.1%"]
    assert translation[-3:] == ["79M", "17.15", "21.02"]
    assert page.count("<svg") == 5  # Tables 2, 3, 4, 6 and 8


def test_what_is_missing_is_said(place: Path) -> None:
    found = json.loads((place / "page/paper.json").read_text(encoding="utf-8"))
    assert found["missing"] == [
        "Table 1: not there yet; nmt-reproduce table1 --out table1",
        "Table 5: not there yet; nmt-reproduce table5 --scale paper, which takes a GPU and days",
        "Table 6: not finished: small-pr-1, small-wt-pr-1, small-pr-2, small-wt-pr-2",
        "Table 7: not there yet; nmt-reproduce table7 --scale paper --seeds 3",
        "Section 3: not there yet; nmt-reproduce gradients --scale paper --seeds 3",
    ]
    text = (place / "page/paper.md").read_text(encoding="utf-8")
    assert all(f"- {line}\n" in text for line in found["missing"])


def test_each_claim_of_the_abstract_is_told(place: Path) -> None:
    claims = json.loads((place / "page/paper.json").read_text(encoding="utf-8"))["claims"]
    text = (place / "page/paper.md").read_text(encoding="utf-8")
    assert [claim["claim"][:3] for claim in claims] == ["(a)", "(b)", "(c)", "(d)"]
    for claim in claims:
        assert f"### {claim['claim']}: {claim['found']}" in text
        assert all(f"- {line}\n" in text for line in claim["evidence"])
    evidence = [line for claim in claims for line in claim["evidence"]]
    assert "Table 5: tying improves the recurrent highway network: open; not there yet" in evidence
    assert any(line.startswith("Table 6 (scale small): tying improves the small model: ") for line in evidence)
    assert any(line.startswith("Table 4, LSTM, small: the tied embedding is more like the output") for line in evidence)
    where = "Table 8 on Multi30k EN-DE (scale small)"
    assert claims[3]["evidence"] == [
        "size at the paper's vocabularies, counted from built models: EN-FR 47.3%, EN-DE 48.1% of untied's parameters: "
        "shown",
        f"{where}: less than half of the size: not shown; three-way has 62.1% of untied's",
        f"{where}, test: no harm to BLEU: none shown; -0.62 (95% interval -2.32 to +1.09, 3 seeds)",
    ]
    assert claims[3]["found"] == "in part (2 of 3 parts shown)"


@pytest.mark.parametrize(
    ("difference", "told", "finding"),
    [
        (
            {"mean": -1.0, "deviation": 0.1, "margin": 0.2, "n": 3},
            "harm shown; -1.00",
            "the other way round",
        ),
        ({"mean": 1.0, "deviation": 0.1, "margin": 0.2, "n": 3}, "better; +1.00", "shown"),
        ({"mean": -1.0, "deviation": None, "margin": None, "n": 1}, "open at one seed; -1.00", "open"),
    ],
)
def test_harm_to_translation_is_read_from_the_interval(difference: dict[str, Any], told: str, finding: str) -> None:
    body = json.loads((TABLE_8 / "report.json").read_text(encoding="utf-8"))
    for each in body["comparisons"]:
        each["difference"] = difference
    paper = WholePaper(Provenance.now("all"), {"table8": [FoundReport("x", body)]})
    claim = abstract_claims(paper)[3]
    assert f"no harm to BLEU: {told}" in claim.evidence[2].line
    assert claim.evidence[2].findings == (finding,)


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], "open"),
        (["open"], "open"),
        (["shown", "shown"], "shown"),
        (["shown", "open", "open"], "shown as far as it was measured (2 of 3 parts open)"),
        (["shown", "not shown", "open"], "in part (1 of 3 parts shown)"),
        (["not shown", "the other way round"], "not shown"),
        (["the other way round", "open"], "the other way round"),
    ],
)
def test_parts_say_together(findings: list[str], expected: str) -> None:
    assert together(findings) == expected


def test_render_writes_the_page_again(place: Path) -> None:
    before = (place / "page/paper.md").read_bytes()
    assert main(["render", str(place / "page/paper.json")]) == 0
    assert (place / "page/paper.md").read_bytes() == before
    body = json.loads((place / "page/paper.json").read_text(encoding="utf-8"))
    assert restored(WholePaper, body).absent == ["table1", "table5", "table7", "gradients"]


@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium; $CHROMIUM may name it")
def test_no_column_is_hidden_where_there_is_room_and_the_page_fits_a_phone(place: Path) -> None:
    path = find_chromium()
    assert path is not None
    hidden = "[...document.querySelectorAll('.scroll')].map(each => each.scrollWidth - each.clientWidth)"
    chromium = Chromium(path)
    try:
        for width in (1200, 390):
            chromium.open((place / "page/paper.html").as_uri(), width=width)
            assert chromium.run("document.documentElement.scrollWidth") == width
            assert width == 390 or not any(chromium.run(hidden))
        assert not chromium.complaints()
    finally:
        chromium.close()


def test_subfolders_of_out_come_first_and_nothing_at_all_is_a_page_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["all", "--out", "out"]) == 0
    printed, told = capsys.readouterr()
    assert "Table 8: not there yet; nmt-reproduce table8 --seeds 3" in printed
    assert "Table 8: none" in told
    shutil.copytree(TABLE_8, tmp_path / "reproduction")
    shutil.copytree(RESULTS / "table8/homeassistant.en-fr", tmp_path / "out/table8")
    assert main(["all", "--out", "out", "--json"]) == 0
    printed, told = capsys.readouterr()
    assert "Table 8: out/table8" in told
    assert json.loads(printed)["reports"]["table8"][0]["body"]["target"] == "fr"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table6", "none"], "none: holds no report.json, the report of Table 6; make it: nmt-reproduce table6"),
        (["--table6", str(TABLE_8)], "report.json: no report of Table 6 ("),
        (["--table5", "reproduction-table6"], "report.json: no report of Table 5 (it is Table 6"),
        (["--table3", "bad"], "bad/table3.json: damaged: not JSON"),
        (["--table9", "x"], "unrecognized arguments: --table9 x"),
    ],
)
def test_wrong_use_is_said_in_a_line(
    place: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    (place / "bad").mkdir(exist_ok=True)
    (place / "bad/table3.json").write_text("{")
    assert main(["all", "--out", "never", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (place / "never").exists()
