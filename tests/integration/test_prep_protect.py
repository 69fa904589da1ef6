"""nmt-prep --protect: placeholders, tags and addresses are numbered pieces, from the corpus to text again."""

import json
import random
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml

from nmt.cli.prep import main
from nmt.data.corpus import PreparedCorpus
from nmt.text.pipeline import SIDES, TextPipeline
from nmt.text.vocabulary import UNK
from tests.prep_corpus import contents, fails, sentences, write_corpus, write_pairs

pytest.importorskip("sacremoses")

NUMBERED_PIECES = {"｟placeholder:1｠", "｟placeholder:2｠", "｟url:1｠", "｟tag:1｠", "｟end:1｠"}
PROTECTED = ["{name}", "{{ n }}", "%s", "%(n)s", "<b>", "</b>", "https://example.org/x", "me@example.org", "&nbsp;"]
FRAMES = [
    ("Open {}.", "Öffne {}."),
    ('The house "{}" is big', 'Das Haus "{}" ist groß'),
    ("({}) {} | {}", "{}: ({}) {}"),
    ("<b>big house</b>{name}", "<b>großes Haus</b>{name}"),
]


def _filled(frame, strings):
    for text, string in zip_longest(frame.split("{}"), strings, fillvalue=""):
        yield text + string


def interface_text(number, seed=0):
    """Pairs of sentences as programs show them, the same protected strings on both sides."""
    draw = random.Random(seed)
    pairs = []
    for _ in range(number):
        source, target = draw.choice(FRAMES)
        chosen = draw.choices(PROTECTED, k=source.count("{}"))
        pairs.append(("".join(_filled(source, chosen)), "".join(_filled(target, chosen))))
    return pairs


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus")
    write_pairs(tmp_path / "corpus", "train.1", sentences(100))
    write_pairs(tmp_path / "corpus", "train.2", interface_text(200))
    for language in ("en", "de"):
        Path(f"corpus/train.{language}").unlink()
    return tmp_path / "corpus"


def prepare(*arguments):
    assert main(["--quiet", "--set", "prep.check_sides=false", *arguments]) == 0
    return PreparedCorpus.open("prepared")


@pytest.mark.parametrize("tokenizer", ["reversible", "moses", "none"])
def test_protected_strings_are_numbered_pieces(corpus, tokenizer):
    prepared = prepare("--joint-bpe", "60", "--tokenizer", tokenizer, "--protect", "all")
    text, vocabulary = prepared.text, prepared.vocabulary
    assert set(text.placeholders) <= set(vocabulary.both)
    assert set(text.placeholders) >= NUMBERED_PIECES
    assert {piece for piece in vocabulary.pieces if "｟" in piece} == set(text.placeholders)
    merged = {(first + second).removesuffix("</w>") for first, second in text.subwords.merges}
    assert not any(character in symbol for symbol in merged for character in "{}｟｠<>@")
    train = prepared.split("train")
    for row, pair in enumerate(interface_text(200), 100):
        strings = text.read(pair[0]).strings
        for side, ids, pieces, raw in zip(
            SIDES, (train.source(row), train.target(row)), text.pieces_of_pair(*pair), pair, strict=True
        ):
            assert vocabulary.encode(pieces) == ids.tolist()
            assert text.text(vocabulary.decode(ids), side, strings) == raw
    unseen = text.read("Open {other}.")
    pieces = text.pieces_of_words(unseen.words, "source")
    assert "｟placeholder:1｠" in pieces
    assert text.text(pieces, "source", unseen.strings) == "Open {other}."
    assert UNK not in vocabulary.encode(pieces)


def test_strings_that_differ_between_the_sides_are_text(corpus):
    write_pairs(corpus, "train.3", [("See http://a.b/en {x}.", "Siehe http://a.b/de {x}.")] * 12)
    prepared = prepare("--joint-bpe", "60", "--protect", "all")
    source, target = prepared.text.pieces_of_pair("See http://a.b/en {x}.", "Siehe http://a.b/de {x}.")
    train = prepared.split("train")
    assert prepared.vocabulary.decode(train.source(len(train) - 1)) == source
    assert prepared.vocabulary.decode(train.target(len(train) - 1)) == target
    for pieces in (source, target):
        assert [piece for piece in pieces if piece.startswith("｟")] == ["｟placeholder:1｠"]


def test_numbers_are_those_that_the_training_text_has_often(corpus):
    few = [("{a} {b} {c}", "{a} {b} {c}")] * 9 + [("{a} {b}", "{a} {b}")] * 10
    for name in ("train.1", "train.2"):
        for language in ("en", "de"):
            Path(f"corpus/{name}.{language}").unlink()
    write_pairs(corpus, "train", [*sentences(50), *few, ("me@x.org and <b>", "me@x.org und <i>")])
    write_pairs(corpus, "valid", [*sentences(5), ("{a} {b} {c} <b>", "{c} {b} <b> {a}")])
    prepared = prepare("--joint-bpe", "20", "--protect", "all")
    assert json.loads(Path("prepared/text.json").read_text())["numbers"] == {"placeholder": 2, "url": 1}
    kept = [piece for piece in prepared.vocabulary.decode(prepared.split("valid").source(5)) if "｟" in piece]
    assert kept == [f"｟placeholder:{number}｠" for number in (1, 2, 2, 1)]
    assert prepared.manifest["splits"]["train"]["source_changed"] == 0


def test_where_nothing_is_the_same_on_both_sides_nothing_is_numbered(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus")
    assert main(["--joint-bpe", "20", "--protect", "all", "--threads", "1"]) == 0
    prepared = PreparedCorpus.open("prepared")
    assert prepared.text.placeholders == ()
    assert prepared.text.text(prepared.text.pieces("see {a}", "source"), "source") == "see {a}"
    assert "Warning: --protect found nothing that both sides of a training pair have" in capsys.readouterr().out


def test_thresholds_leave_them_whole(corpus):
    for number, setting in enumerate(("prep.min_character_count=10", "prep.min_character_count=0")):
        arguments = ["--set", "prep.target_threshold=40", "--set", setting, "--prepared", f"prepared{number}"]
        assert (
            main(["--quiet", "--set", "prep.check_sides=false", "--joint-bpe", "60", "--protect", "all", *arguments])
            == 0
        )
        prepared = PreparedCorpus.open(f"prepared{number}")
        assert "｟placeholder:1｠" in prepared.text.pieces_of_pair("{name}", "{name}")[1]
        assert prepared.vocabulary.id_of("｟placeholder:1｠") != UNK


def test_protection_travels_with_the_folder(corpus, capsys):
    first = prepare("--joint-bpe", "60", "--protect", "placeholders", r"\bhouse\b")
    assert json.loads(Path("prepared/text.json").read_text())["protect"] == ["placeholders", r"\bhouse\b"]
    assert first.manifest["options"]["protect"] == ["placeholders", r"\bhouse\b"]
    text = TextPipeline.load("prepared")
    reading = text.read("The house is {name}<b>.")
    assert reading.strings == (("｟placeholder:1｠", "house"), ("｟placeholder:2｠", "{name}"))
    assert {"｟placeholder:1｠", "｟placeholder:2｠"} <= set(reading.words)
    Path("recipe.yaml").write_text(yaml.safe_dump({"prep": {"protect": ["placeholders", r"\bhouse\b"]}}))
    prepare("--joint-bpe", "60", "--config", "recipe.yaml")
    assert "protect is ['placeholders'" in fails(capsys, "--protect", "all", "--set", "prep.check_sides=false")


def test_without_it_nothing_changes(corpus):
    prepare("--joint-bpe", "60")
    plain = contents("prepared")
    assert "protect" not in json.loads(plain["text.json"]) | json.loads(plain["manifest.json"])["options"]
    assert not any("｟" in piece for piece in PreparedCorpus.open("prepared").vocabulary.pieces)


def test_mistakes_are_one_line(corpus, capsys):
    assert "prep.protect: invalid regular expression '(a'" in fails(capsys, "--protect", "(a")
    assert "'a*' matches the empty string" in fails(capsys, "--set", "prep.protect=a*")
    assert "prep.protect is 3" in fails(capsys, "--set", "prep.protect=3")
    prepare("--joint-bpe", "60", "--protect", "all")
    path = Path("prepared/text.json")
    path.write_text(path.read_text().replace('"all"', '"(all"'))
    with pytest.raises(Exception, match=r"text.json: invalid regular expression '\(all'"):
        TextPipeline.load("prepared")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("tokenizer", ["reversible", "none"])
def test_sentencepiece_has_them_too(corpus, kind, tokenizer):
    pytest.importorskip("sentencepiece")
    settings = ["--set", f"prep.sentencepiece_model={kind}", "--tokenizer", tokenizer, "--protect", "all"]
    prepared = prepare("--sentencepiece", "80", *settings)
    text, train = prepared.text, prepared.split("train")
    assert set(text.placeholders) <= set(prepared.vocabulary.both)
    for string in [*PROTECTED, "{nie_gesehen}", "https://x.y/Łódź"]:
        line = f'Open "{string}".'
        reading = text.read(line)
        pieces = text.pieces_of_words(reading.words, "source")
        assert set(pieces) & set(text.placeholders)
        assert text.text(pieces, "source", reading.strings) == line
    for row, pair in enumerate(interface_text(200)[:40], 100):
        assert prepared.vocabulary.encode(text.pieces_of_pair(*pair)[0]) == train.source(row).tolist()
    mark = "x ｟placeholder:1｠ ％0020"
    assert text.text(text.pieces(mark, "source"), "source") == mark
