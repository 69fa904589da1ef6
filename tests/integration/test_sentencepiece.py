"""Languages without spaces, raw text in and raw text out: prep, a short training, translation and its score."""

import json
import random
from pathlib import Path

import pytest

from nmt.cli import evaluate, prep, train, translate
from nmt.data.corpus import PreparedCorpus
from nmt.evaluate.metrics import choice
from nmt.text.vocabulary import UNK
from tests.in_process import call
from tests.prep_corpus import write_pairs

pytest.importorskip("sentencepiece")

WORDS = {
    "ja": (
        ("the cat", "猫"), ("my dog", "私の犬"), ("a teacher", "先生"), ("Tokyo", "東京"), ("coffee", "コーヒー"),
        ("ramen", "ラーメン"), ("2024", "２０２４年"), ("JR", "ＪＲ"), ("yesterday", "昨日"), ("slowly", "ゆっくり"),
    ),
    "zh": (
        ("the cat", "那只猫"), ("my dog", "我的狗"), ("a teacher", "老师"), ("Beijing", "北京"), ("coffee", "咖啡"),
        ("noodles", "面条"), ("2024", "２０２４年"), ("HSK", "ＨＳＫ考试"), ("yesterday", "昨天"), ("slowly", "慢慢地"),
    ),
}  # fmt: skip
FRAMES = {
    "ja": (
        ("{} likes {}.", "{}は{}が好きです。"),
        ("Is {} in {}?", "{}は{}にいますか？"),
        ("“{}” (and {})", "「{}」（と、{}）"),
        ("{}: 50% {}!", "{}：５０％　{}！"),
    ),
    "zh": (
        ("{} likes {}.", "{}喜欢{}。"),
        ("Is {} in {}?", "{}在{}吗？"),
        ("“{}” (and {})", "“{}”（和、{}）"),
        ("{}: 50% {}!", "{}：５０％　{}！"),
    ),
}
SMALL = [
    "--threads", "1", "--device", "cpu", "--quiet", "--max-updates", "4", "--batch-tokens", "400",
    "--set", "model.embedding_size=8", "--set", "model.hidden_size=10", "--set", "training.validate_every=2",
    "--set", "training.save_every=2", "--set", "training.tensorboard=false",
]  # fmt: skip


def pairs(language, number, seed=0):
    draw = random.Random(seed)
    found = []
    for _ in range(number):
        words = draw.choices(WORDS[language], k=2)
        source, target = draw.choice(FRAMES[language])
        found.append((source.format(*(word[0] for word in words)), target.format(*(word[1] for word in words))))
    return found


@pytest.fixture(params=["ja", "zh"])
def language(request, tmp_path, monkeypatch):
    """The language of a corpus that lies in the current folder."""
    monkeypatch.chdir(tmp_path)
    for seed, (name, number) in enumerate((("train", 150), ("valid", 10), ("test", 12))):
        write_pairs(tmp_path / "corpus", name, pairs(request.param, number, seed), ("en", request.param))
    return request.param


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_text_comes_back_exactly(language, kind):
    setting = f"prep.sentencepiece_model={kind}"
    assert prep.main(["--sentencepiece", "120", "--set", setting, "--src", "en", "--quiet"]) == 0
    prepared = PreparedCorpus.open("prepared")
    vocabulary, train_split, text = prepared.vocabulary, prepared.split("train"), prepared.text
    assert vocabulary.both
    assert vocabulary.source_only
    assert vocabulary.target_only
    spaces = 0
    for row, pair in enumerate(pairs(language, 150)):
        assert vocabulary.decode(train_split.target(row)) == text.pieces(pair[1], "target")
        assert text.text(vocabulary.decode(train_split.source(row)), "source") == pair[0]
        assert text.text(vocabulary.decode(train_split.target(row)), "target") == pair[1]
        spaces += pair[1].count("　")
    assert spaces == sum("　" in pair[1] for pair in pairs(language, 150))  # the ideographic space comes back too
    unseen = text.pieces("☃ Łódź", "source")
    assert UNK not in vocabulary.encode(unseen)
    assert text.text(unseen, "source") == "☃ Łódź"


def test_from_raw_text_to_a_score(language, capsys):
    assert prep.main(["--sentencepiece", "120", "--src", "en", "--quiet"]) == 0
    assert train.main(SMALL) == 0
    records = [json.loads(line) for line in Path("model/metrics.jsonl").read_text().splitlines()]
    assert any("bleu" in json.dumps(record) for record in records)
    capsys.readouterr()
    lines = [pair[0] for pair in pairs(language, 12, 2)] + ["", "unknown ☃ signs"]
    data = "".join(line + "\n" for line in lines).encode()
    done = call(translate.main, ["--device", "cpu", "--threads", "1", "--quiet"], Path(), data)
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == len(lines)
    assert evaluate.main(["--device", "cpu", "--threads", "1", "--quiet", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_lines"] == 12
    assert f"tok:{choice(language).tokenize}" in report["signatures"]["bleu"]
