"""Protected strings come through a model whole, each as often as in the source, whatever the model makes of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bpe.errors import UserError
from nmt.cli import evaluate, translate
from nmt.search.counting import Amiss
from nmt.text.placeholders import NUMBERED
from nmt.text.protection import Patterns
from nmt.translate.glossary import Glossary
from nmt.translate.translator import Translator
from tests.copy_model import Change, copying, forgetting, inventing, make_folder, repeating

LINES = [
    "Dear {nom_de_famille}, see https://nie.gesehen.example/a?b=c&d=%20.",
    "The path /usr/share/Łódź/x and 😀 too",
    "{a}{b} of {a}: <b>{n}</b>",
    "{one} {two} {three} {four}",
    "plain text",
    "",
    "{one} {two} {three} {four}",
    "｟placeholder:1｠ {x} ￭",
]
CHANGES = [None, forgetting, inventing, repeating]


def strings(line: str) -> Counter[str]:
    return Counter(line[span.start : span.stop] for span in Patterns(["all"]).named(line))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("copy") / "model")


def test_a_model_that_copies_gives_every_line_again(folder: Path) -> None:
    assert copying(folder).translate(LINES) == LINES


@pytest.mark.parametrize("tokenizer", ["none", "moses"])
def test_so_it_is_for_other_tokenizers(tmp_path: Path, tokenizer: str) -> None:
    if tokenizer == "moses":
        pytest.importorskip("sacremoses")
    found = copying(make_folder(tmp_path / "model", tokenizer=tokenizer)).translate(LINES)
    assert [strings(line) for line in found] == [strings(line) for line in LINES]
    assert found[2:5] == LINES[2:5]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "search",
    [
        {},
        {"beam": 1},
        {"sampling": True, "seed": 3},
        {"no_repeat_ngram": 1, "repetition_penalty": 2.0},
        {"max_length": 1},
        {"min_length": 30},
        {"split_sentences": True},
    ],
)
def test_each_string_is_there_as_often_as_in_the_source(
    folder: Path, change: Callable[[Any], Change] | None, search: dict[str, Any]
) -> None:
    if "split_sentences" in search:
        pytest.importorskip("sacremoses")
    translator = copying(folder, change, **search)
    found = translator.translate_detailed(LINES, num_best=min(2, translator.search.beam))
    for line, translations in zip(LINES, found, strict=True):
        for one in translations:
            assert all(one.text.count(string) >= count for string, count in strings(line).items())
            assert Counter(filter(NUMBERED.fullmatch, one.pieces)) == Counter(word for word, _ in one.strings)


def test_what_was_amiss_is_counted_and_only_that_searched_again(folder: Path) -> None:
    for change, amiss in ((None, [(0, 0)] * 3), (forgetting, [(0, 0), (2, 0), (1, 0)]), (inventing, [(0, 1)] * 3)):
        translator = copying(folder, change)
        found = translator.translate_detailed(["plain", "{a} {b}", "{a}"])
        assert [each[0].amiss for each in found] == [Amiss(*counts) for counts in amiss]
        assert translator.searcher.model.searched == 3 + sum(counts != (0, 0) for counts in amiss)


def test_strings_beyond_the_highest_number_come_in_the_order_of_the_source(folder: Path) -> None:
    [[found]] = copying(folder).translate_detailed(["{a} {b} {c} {b} {d}"])
    numbers = [piece for piece in found.pieces if piece.startswith("｟")]
    assert numbers == [f"｟placeholder:{number}｠" for number in (1, 2, 2, 2, 2)]
    assert found.text == "{a} {b} {c} {b} {d}"


def test_long_lines_and_sentences_keep_their_own(folder: Path) -> None:
    pytest.importorskip("sacremoses")
    line = "The big house {a}. Then <a title='Hi. There'> it {b}. " * 12
    assert strings(copying(folder, forgetting).translate([line])[0]) == strings(line)
    found = copying(folder, forgetting, split_sentences=True).translate([line])[0]
    assert strings(found) == strings(line)
    assert found.index("{a}") < found.index("{b}")


def test_equal_pieces_with_other_strings_are_searched_once(folder: Path) -> None:
    translator = copying(folder)
    assert translator.translate(["See {a}.", "See {b}."]) == ["See {a}.", "See {b}."]
    assert translator.searcher.model.searched == 1


def test_kinds_that_training_lacks_take_the_numbers_of_another(tmp_path: Path) -> None:
    translator = copying(make_folder(tmp_path / "model", numbers=(("placeholder", 1),)))
    line = "<b>{x}</b> at http://a.b"
    [[found]] = translator.translate_detailed([line])
    assert found.text == line
    assert {piece for piece in found.pieces if piece.startswith("｟")} == {"｟placeholder:1｠"}


@pytest.mark.parametrize("given", ["<b>Ein", "„Hallo", "Ein  Haus, ", "{name}: ", " a\u00a0b", '"Say', "Łódź 😀 ("])
@pytest.mark.parametrize("tokenizer", ["reversible", "none", "moses"])
def test_a_beginning_stands_as_it_was_given(tmp_path: Path, tokenizer: str, given: str) -> None:
    if tokenizer == "moses":
        pytest.importorskip("sacremoses")
    normalize = {"target_normalize": "moses"} if tokenizer == "moses" else {}
    translator = copying(make_folder(tmp_path / "model", tokenizer=tokenizer, **normalize))
    [[found]] = translator.translate_detailed(["the long name of {name} comes here"], prefixes=[given])
    assert found.text.startswith(given)
    assert len(found.text) > len(given)
    assert found.text.count("{name}") == 1


def test_a_glossary_decides_the_words_of_its_terms(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "terms").write_text("house\tDas Haus\nbig house\tder Palast\n\nC\tC (Sprache)\n", encoding="utf-8")
    glossary = Glossary.load(tmp_path / "terms")
    lines = ["the big house and a house", "houses {house} abC, C.", "no term"]
    expected = ["the der Palast and a Das Haus", "houses {house} abC, C (Sprache).", "no term"]
    assert copying(folder, glossary=glossary).translate(lines) == expected
    found = copying(folder, forgetting, glossary=glossary).translate(lines)
    assert ("der Palast" in found[0], "Das Haus" in found[0], "C (Sprache)" in found[1]) == (True, True, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\nc d\n", r"terms:2: 1 columns"),
        ("a\tb\tc\n", r"terms:1: 3 columns"),
        ("a\tb\n\t x\n", r"terms:2: no source term"),
        ("a\t \n", r"terms:1: no target term"),
        ("a\tb\na\tc\n", r"terms:2: 'a' is 'c' here and 'b' before"),
        ("\n", r"terms: no terms"),
    ],
)
def test_lines_that_are_no_glossary_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "terms").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        Glossary.load(tmp_path / "terms")


def test_a_model_without_numbers_says_that_it_takes_no_glossary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terms, model = tmp_path / "terms", make_folder(tmp_path / "model", protect=(), numbers=None)
    terms.write_text("a\tb\n", encoding="utf-8")
    files = ["--model", str(model), "--glossary", str(terms), "--input", str(terms), "--output", str(tmp_path / "out")]
    assert translate.main([*files, "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--glossary: this model has no numbered placeholders" in error


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs nmt-translate on lines with a model that copies, changed; returns its lines and what it told."""

    def run(folder: Path, lines: list[str], *arguments: str, change: Any = None) -> tuple[list[str], list[str]]:
        (tmp_path / "input").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        monkeypatch.setattr(translate, "load_translator", lambda _: copying(folder, change))
        files = ["--input", str(tmp_path / "input"), "--output", str(tmp_path / "output")]
        assert translate.main([*files, *arguments]) == 0
        found = (tmp_path / "output").read_text(encoding="utf-8").splitlines()
        return found, capsys.readouterr().err.splitlines()

    return run


def test_the_command_tells_how_often_placeholders_were_mended(folder: Path, told: Any) -> None:
    lines = ["{a} {b}", "plain", "{a}", "{a}"]
    _, errors = told(folder, lines, change=forgetting)
    how = "searched again, with each as often as in its source"
    assert errors == [f"nmt-translate: the model left out 4 placeholders in 3 lines (3 with placeholders): {how}"]
    assert told(folder, ["plain"], change=inventing)[1] == [
        f"nmt-translate: the model invented 1 placeholder in 1 line (0 with placeholders): {how}"
    ]
    assert told(folder, lines)[1] == []
    assert told(folder, lines, "--quiet", change=forgetting)[1] == []


def test_the_command_tells_of_unseen_characters_once(folder: Path, tmp_path: Path, told: Any) -> None:
    lines = ["Łódź Ł", "{Ł} plain", "ź"]
    found, errors = told(folder, lines)
    assert found == lines
    named = "'Ł' (2), 'ź' (2), 'ó' (1), in 2 lines"
    assert errors == [f"nmt-translate: 3 characters are not in the training text: {named}: spelt in bytes"]
    noted = make_folder(tmp_path / "rare", rare_characters="Łźó")
    assert told(noted, lines)[1] == []
    unknown = make_folder(tmp_path / "unknown", byte_fallback=False)
    assert told(unknown, ["Łs"])[1] == [
        "nmt-translate: 1 character is not in the training text: 'Ł' (1), in 1 line: unknown to the model"
    ]


def test_json_says_what_placeholders_stand_for(folder: Path, told: Any) -> None:
    [line], _ = told(folder, ["{a} http://x.y"], "--json")
    record = json.loads(line)
    assert record["placeholders"] == [["｟placeholder:1｠", "{a}"], ["｟url:1｠", "http://x.y"]]
    assert record["translations"][0]["pieces"] == ["｟placeholder:1｠", "｟url:1｠"]
    assert record["translations"][0]["text"] == "{a} http://x.y"


def test_it_is_loaded_as_any_folder_is(folder: Path) -> None:
    assert Translator.load(folder, device="cpu").bundle.text.placeholders[:2] == (
        "｟placeholder:1｠",
        "｟placeholder:2｠",
    )


def test_what_is_kept_is_counted_for_any_translation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, lines in (("en", "{a} <b>\nplain\n"), ("de", "{a} <b>\nschlicht\n"), ("found", "{a} {b}\nschlicht\n")):
        Path(name).write_text(lines)
    files = ["--source", "en", "--reference", "de"]
    assert evaluate.main([*files, "--hypotheses", "found"]) == 0
    kept = "kept    50.0%  1 of 2 placeholders, tags and addresses of the source (1 lines); 1 added"
    assert kept in capsys.readouterr().out.splitlines()
    assert evaluate.main([*files, "--hypotheses", "found", "--json"]) == 0
    counts = {"num_strings": 2, "num_kept": 1, "num_added": 1, "num_lines": 1}
    assert json.loads(capsys.readouterr().out)["placeholders"] == counts
