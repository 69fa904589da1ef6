"""What nmt-translate's options promise, through the command and its files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from nmt.cli import translate
from nmt.text.vocabulary import Vocabulary
from nmt.translate.scorer import Scorer
from nmt.translate.translator import Translator
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
LINES = ["the cat sat.", "", "dogs, dogs", "one two. three.", "a"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each tying mode with different weights, and one vocabulary."""
    root = tmp_path_factory.mktemp("models")
    modes = ("untied", "decoder", "three-way")
    return {mode: make_model_folder(root / mode, tying=mode, seed=seed) for seed, mode in enumerate(modes, 1)}


@pytest.fixture
def call(folders: dict[str, Path], tmp_path: Path) -> Any:
    """Runs the command on LINES (or others); returns what it wrote, a list of lines."""

    def run(*arguments: object, lines: list[str] = LINES, model: str = "three-way", code: int = 0) -> list[str]:
        (tmp_path / "input").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        files = ["--input", tmp_path / "input", "--output", tmp_path / "output", "--model", folders[model]]
        fixed = ["--device", "cpu", "--threads", "1", *files]
        assert translate.main([str(argument) for argument in (*fixed, *arguments)]) == code
        if code:
            return []
        return (tmp_path / "output").read_text(encoding="utf-8").split("\n")[:-1]

    return run


def test_n_best_lists_are_sorted_and_scored_as_forced_decoding_is(call: Any, folders: dict[str, Path]) -> None:
    listed = [line.split(" ||| ") for line in call("--n-best", 3, "--length-penalty", 0, "--beam", 4)]
    assert [int(number) for number, *_ in listed] == [0] * 3 + [1] + [2] * 3 + [3] * 3 + [4] * 3
    firsts = {int(number): text for number, text, _ in reversed(listed)}
    assert [firsts[number] for number in range(5)] == call("--length-penalty", 0, "--beam", 4)
    for number in (0, 2, 3, 4):
        scores = [float(score) for index, _, score in listed if int(index) == number]
        assert scores == sorted(scores, reverse=True)
    translator, scorer = (kind.load(folders["three-way"], device="cpu") for kind in (Translator, Scorer))
    for found in translator.translate_detailed(["the cat sat.", "a"], num_best=3, attention=True):
        for one in found:
            [expected] = scorer.score([" ".join(one.source_pieces)], [" ".join(one.pieces)], segmented=True)
            assert one.log_probs == pytest.approx(expected[: len(one.log_probs or ())], abs=1e-4)


def test_json_holds_everything(call: Any) -> None:
    records = [json.loads(line) for line in call("--json", "--n-best", 2, "--attention")]
    assert [record["source"] for record in records] == LINES
    for record in records:
        for one in record["translations"]:
            assert len(one["log_probs"]) == len(one["pieces"]) + one["finished"] * bool(record["source"])
            assert sum(one["log_probs"]) == pytest.approx(one["log_prob"], abs=1e-4)
            assert len(one["attention"]) == len(one["pieces"])
            for row in one["attention"]:
                assert len(row) == len(record["source_pieces"]) + 1
                assert sum(row) == pytest.approx(1, abs=1e-3)
    assert "attention" not in json.loads(call("--json")[0])["translations"][0]


def test_alignments_are_a_line_for_each_line_of_words_that_exist(call: Any, tmp_path: Path) -> None:
    out = call("--alignments", tmp_path / "links")
    lines = (tmp_path / "links").read_text().split("\n")[:-1]
    assert out == call()
    assert len(lines) == len(LINES)
    assert lines[1] == ""
    assert any(lines)
    for source, target, line in zip(LINES, out, lines, strict=True):
        for pair in line.split():
            first, second = map(int, pair.split("-"))
            assert first < len(source.split())
            assert second < len(target.split())


def test_translations_begin_with_the_given_words(call: Any, tmp_path: Path) -> None:
    (tmp_path / "begin").write_text("dog ab\n\nüx\n\nb\n", encoding="utf-8")
    out = call("--prefixes", tmp_path / "begin")
    assert [out[0][:6], out[2][:2], out[4][:1]] == ["dog ab", "üx", "b"]
    assert out[3] == call()[3]


def test_prefixes_for_fewer_lines_are_an_error(call: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "begin").write_text("a\nb\n")
    call("--prefixes", tmp_path / "begin", code=2)
    assert "begin: has 2 lines, but the input has more; one for each" in capsys.readouterr().err


def test_an_ensemble_of_a_model_with_itself_is_the_model(call: Any, folders: dict[str, Path]) -> None:
    weights = folders["three-way"] / "best.safetensors"
    assert call("--ensemble", folders["three-way"], weights) == call()


def test_an_ensemble_may_mix_tying_modes(call: Any, folders: dict[str, Path]) -> None:
    others = [folders["untied"], folders["decoder"]]
    mixed = call("--ensemble", *others)
    assert mixed != call()
    assert call("--ensemble", folders["three-way"], folders["decoder"], model="untied") == mixed


def test_models_of_other_vocabularies_cannot_translate_together(
    call: Any, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(folders["untied"], tmp_path / "other")
    body = json.loads((other / "vocabulary.json").read_text())
    parts = [tuple(body[name]) for name in ("both", "source_only", "target_only")]
    changed = Vocabulary(parts[0][::-1], parts[1], parts[2])
    changed.save(other / "vocabulary.json")
    manifest = json.loads((other / "manifest.json").read_text()) | {"vocabulary": changed.fingerprint}
    (other / "manifest.json").write_text(json.dumps(manifest))
    call("--ensemble", other, code=2)
    assert "another vocabulary than that of" in capsys.readouterr().err


def test_lengths_are_kept_to(call: Any) -> None:
    records = [json.loads(line) for line in call("--json", "--min-length", 4, "--max-length", 5)]
    assert all(4 <= len(one["pieces"]) <= 5 for record in records if record["source"] for one in record["translations"])
    assert records[1]["translations"][0]["text"] == ""


def test_no_sequence_comes_twice(call: Any) -> None:
    usual = [json.loads(line)["translations"][0]["pieces"] for line in call("--json", "--min-length", 9)]
    other = [
        json.loads(line)["translations"][0]["pieces"]
        for line in call("--json", "--min-length", 9, "--no-repeat-ngram", 2)
    ]
    pairs = [[tuple(pieces[i : i + 2]) for i in range(len(pieces) - 1)] for pieces in other]
    assert all(len(set(each)) == len(each) for each in pairs)
    assert usual != other


def test_samples_follow_from_the_seed_and_the_line(call: Any) -> None:
    lines = ["the cat"] * 30
    first = call("--sampling", "--seed", 3, lines=lines)
    assert first == call("--sampling", "--seed", 3, lines=lines)
    assert first != call("--sampling", "--seed", 4, lines=lines)
    assert len(set(first)) > 10, "equal lines drew alike"
    likeliest = call("--sampling", "--top-k", 1, lines=lines)
    assert likeliest == call("--beam", 1, lines=lines)


def test_sentences_are_translated_one_by_one(call: Any) -> None:
    pytest.importorskip("sacremoses")
    lines = ["The cat.  A dog.", "The cat.", "A dog."]
    whole, first, second = call("--split-sentences", lines=lines)
    assert whole == f"{first}  {second}"
    assert call(lines=lines)[0] != whole
    records = [json.loads(line) for line in call("--split-sentences", "--json", "--attention", lines=lines)]
    joined, *single = (record["translations"][0] for record in records)
    assert joined["pieces"] == single[0]["pieces"] + single[1]["pieces"]
    assert joined["log_prob"] == pytest.approx(single[0]["log_prob"] + single[1]["log_prob"], abs=1e-4)
    width = len(records[0]["source_pieces"]) + 1
    assert all(len(row) == width and sum(row) == pytest.approx(1, abs=1e-3) for row in joined["attention"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--attention",), "--attention is written with --json only; add --json"),
        (("--n-best", 9), "9 translations of each sentence asked of a beam of 3; raise the beam or ask for fewer"),
        (("--temperature", 0), "search.temperature: 0.0 is out of range: it must be above 0"),
        (("--top-p", 2), "search.top_p: 2.0 is out of range: it must be above 0 and at most 1"),
        (("--min-length", 5, "--max-length", 4), "search.min_length: 5 is out of range: it must be at most"),
        (("--length-normalization", "none"), "unknown value 'none'; choose one of length, gnmt"),
        (("--precision", "fp8"), "unknown value 'fp8'; choose one of float32, bf16, int8"),
        (("--max-length", 10**6), "search.max_length: 1000000 is out of range: it must be at most 10,000"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    call: Any, arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call(*arguments, code=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_page_explains_every_sentence(call: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    lines = [*LINES, "<b> & <unk>", "y" * 40]
    assert call("--explain", page, "--n-best", 2, lines=lines) == call("--n-best", 2, lines=lines)
    content = page.read_text(encoding="utf-8")
    assert content.count("<h2") == len(lines)
    assert "&lt;b&gt; &amp; &lt;unk&gt;" in content
    assert "<b> &" not in content
    assert not re.search(r"(src|href)=.?(https?:|//)", content), "the page needs something else"


def test_a_line_in_parts_is_explained_part_by_part(call: Any, tmp_path: Path) -> None:
    pytest.importorskip("sacremoses")
    call("--explain", tmp_path / "page.html", "--split-sentences", lines=["The cat. A dog.", "one"])
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<h2") == 3


def test_a_page_of_too_much_is_refused(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nmt.explain.collected.MAX_SENTENCES", 2)
    call("--explain", tmp_path / "page.html", code=2)
    assert "page.html: more than 2 sentences to explain on one page; explain a part" in capsys.readouterr().err
