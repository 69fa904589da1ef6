"""nmt-prep --protect: placeholders, tags and addresses are whole pieces, from the corpus to text again."""

import json
import random
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml

from nmt.cli.prep import main
from nmt.data.corpus import PreparedCorpus
from nmt.text import SIDES, TextPipeline
from nmt.vocabulary import UNK
from tests.prep_corpus import contents, fails, sentences, write_corpus, write_pairs

pytest.importorskip("sacremoses")

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
def test_protected_strings_are_whole_pieces(corpus, tokenizer):
    prepared = prepare("--joint-bpe", "60", "--tokenizer", tokenizer, "--protect", "all")
    written = {f"｟{string.replace(' ', '％0020')}｠" for string in PROTECTED}
    assert written <= set(prepared.vocabulary.both)
    merged = {(first + second).removesuffix("</w>") for first, second in prepared.text.subwords.merges}
    assert not any(character in symbol for symbol in merged for character in "{}｟｠<>@")
    train = prepared.split("train")
    for row, pair in enumerate(interface_text(200), 100):
        for side, ids, text in zip(SIDES, (train.source(row), train.target(row)), pair, strict=True):
            assert prepared.vocabulary.encode(prepared.text.pieces(text, side)) == ids.tolist()
            assert prepared.text.text(prepared.vocabulary.decode(ids), side) == text
    unseen = prepared.text.pieces("Open {other}.", "source")
    assert prepared.text.text(unseen, "source") == "Open {other}."
    assert UNK not in prepared.vocabulary.encode(unseen)


def test_thresholds_leave_them_whole(corpus):
    prepared = prepare("--joint-bpe", "60", "--protect", "all", "--set", "prep.target_threshold=40")
    assert "｟{name}｠" in prepared.text.pieces("{name}", "target")


def test_protection_travels_with_the_folder(corpus, capsys):
    first = prepare("--joint-bpe", "60", "--protect", "placeholders", r"\bhouse\b")
    assert json.loads(Path("prepared/text.json").read_text())["protect"] == ["placeholders", r"\bhouse\b"]
    assert first.manifest["options"]["protect"] == ["placeholders", r"\bhouse\b"]
    pieces = TextPipeline.load("prepared").pieces("The house is {name}<b>.", "source")
    assert {"｟house｠", "｟{name}｠"} <= set(pieces)
    assert "｟<b>｠" not in pieces
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
def test_sentencepiece_keeps_them_whole(corpus, capsys, kind):
    pytest.importorskip("sentencepiece")
    arguments = ["--sentencepiece", "90", "--set", f"prep.sentencepiece_model={kind}", "--protect", "all"]
    prepared = prepare(*arguments)
    for string in PROTECTED:
        line = f'Open "{string}".'
        pieces = prepared.text.pieces(line, "source")
        assert string.replace(" ", "\u2581") in pieces
        assert prepared.text.text(pieces, "source") == line
    message = fails(capsys, "--set", "prep.check_sides=false", "--sentencepiece", "16", "--protect", "all", "--force")
    assert "9 different strings to protect are more than half of 16 pieces" in message
