"""Numbers are compared with those of text cut anew; each warning has text that calls for it and text that does not."""

import random
from collections import Counter

import pytest

from bpe.codes import END_OF_WORD, MergeTable
from bpe.learn import count_pieces, learn_merges
from bpe.segmenter import Segmenter
from nmt.config import PrepConfig
from nmt.prepare.advice import (
    WholeWords,
    advise,
    matrix_rows,
    most_merges,
    pieces_per_word,
    script_shares,
    shared_letters,
)
from nmt.prepare.files import find_corpus
from nmt.prepare.preparation import Preparation, prepare
from nmt.prepare.report import summary
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.tying import Tying

RARE, SCRIPTS, UNKNOWN = "merges are many for this text", "different scripts", "are unknown or bytes"


def random_counts(seed):
    draw = random.Random(seed)
    syllables = ["".join(draw.choices("abcdefgh", k=draw.randint(1, 3))) for _ in range(30)]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(300)]
    return {word: max(1, 800 // rank) for rank, word in enumerate(words, 1)}


def most_merges_by_trial(merges, counts, occurrences):
    """Cut the text with ever fewer merges, until pieces are frequent enough."""
    for number in range(len(merges), 0, -1):
        fewer = MergeTable(merges.merges[:number])
        merged = {first + second for first, second in fewer.merges}
        pieces = count_pieces(counts, Segmenter(fewer))
        made = [n for piece, n in pieces.items() if {piece.removesuffix("@@"), piece + END_OF_WORD} & merged]
        if sum(n < occurrences for n in made) <= 0.05 * len(made):
            return number
    return 0


@pytest.mark.parametrize("occurrences", [2, 10, 100])
@pytest.mark.parametrize("seed", range(3))
def test_undoing_merges_is_cutting_with_fewer(seed, occurrences):
    counts = random_counts(seed)
    merges = learn_merges(counts, 200)
    pieces = count_pieces(counts, Segmenter(merges))
    assert most_merges(merges, pieces, occurrences) == most_merges_by_trial(merges, counts, occurrences)


def test_more_occurrences_take_fewer_merges():
    counts = random_counts(9)
    merges = learn_merges(counts, 300)
    pieces = count_pieces(counts, Segmenter(merges))
    found = [most_merges(merges, pieces, occurrences) for occurrences in (1, 5, 20, 100, 10**9)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (300, 0)
    assert most_merges(MergeTable(()), {"a": 1}, 10) == 0


@pytest.mark.parametrize("allowed", [None, ("a", "ab", "abc")])
def test_words_kept_whole_are_those_that_are_cut_into_one_piece(allowed):
    counts = {**random_counts(1), "q": 3, "abc": 5}
    options = TextOptions(source="x", target="y", tokenizer="none", source_pieces=allowed)
    pipeline = TextPipeline(options, learn_merges(counts, 200))
    whole = [word for word in counts if len(pipeline.pieces_of_words([word], "source")) == 1]
    expected = WholeWords(len(counts), len(whole), sum(counts.values()), sum(counts[word] for word in whole))
    assert WholeWords.of(counts, pipeline, "source") == expected
    assert 0 < len(whole) < len(counts)


def test_pieces_per_word_follow_from_the_pieces():
    assert pieces_per_word({"ab@@": 3, "c@@": 1, "d": 3, "whole": 5}) == pytest.approx(12 / 8)
    assert pieces_per_word({}) == 0


def test_letters_are_counted_by_script():
    assert script_shares({"das@@": 2, "1": 9, "Кот": 1, "猫": 1}) == {"LATIN": 0.6, "CYRILLIC": 0.3, "CJK": 0.1}
    assert script_shares({"1@@": 5, "▁": 2}) == {}
    assert shared_letters({"LATIN": 0.9, "CJK": 0.1}, {"CJK": 0.6, "HIRAGANA": 0.2, "LATIN": 0.2}) == pytest.approx(0.3)
    assert shared_letters({"LATIN": 1.0}, {"CYRILLIC": 1.0}) == 0
    assert shared_letters({}, {"CYRILLIC": 1.0}) == 1


def manifest_of(valid_unknown=0, valid_pieces=1000):
    """What a manifest says of a small preparation."""
    counts = {"source_pieces": 5000, "target_pieces": 5000, "source_unknown": 0, "target_unknown": 0}
    valid = {**counts, "target_pieces": valid_pieces, "target_unknown": valid_unknown}
    return {
        "source": "en",
        "target": "xx",
        "options": {},
        "vocabulary": {"size": 130, "source_size": 80, "target_size": 100},
        "splits": {"train": {**counts, "source_unknown": 500}, "valid": valid},
    }


def warnings(target, merges=None, **manifest):
    pieces = {"source": {"the": 100, "cat": 50}, "target": target}
    return advise(manifest_of(**manifest), pieces, merges, {})["warnings"]


def test_rows_of_the_three_modes():
    vocabulary = manifest_of()["vocabulary"]
    assert matrix_rows(vocabulary) == {Tying.UNTIED: 280, Tying.DECODER: 180, Tying.THREE_WAY: 130}
    advice = advise(manifest_of(), {"source": {}, "target": {}}, None, {})
    assert advice["three_way_saves"] == {"untied": 150, "decoder": 50}


def test_different_scripts_are_warned_of_with_what_tying_saves():
    [warning] = warnings({"кот": 30, "the": 1})
    assert SCRIPTS in warning
    assert "en is mostly Latin, xx is mostly Cyrillic" in warning
    assert "only 50 of 180 rows (27.8%)" in warning
    assert warnings({"кот": 30, "the": 30}) == []
    assert warnings({"7": 30}) == []


def test_unknown_pieces_are_warned_of_when_they_are_more_than_once_seen_ones_let_expect():
    common, once = {"die": 2000}, {chr(ord("a") + number): 1 for number in range(20)}
    [warning] = warnings(common, valid_unknown=15)
    assert warning.startswith(f"valid.xx: 15 of 1,000 pieces (1.50%) {UNKNOWN}, where the training text")
    assert warnings(common | once, valid_unknown=15) == []  # up to three times 20 of 2,020 are to be expected
    assert len(warnings(common | once, valid_unknown=40)) == 1
    assert warnings(common, valid_unknown=9) == []
    assert warnings(common, valid_unknown=15, valid_pieces=100_000) == []


def test_rare_pieces_are_warned_of_with_the_merges_that_would_do():
    merges = MergeTable((("d", "i"), ("di", "e</w>"), ("r", "x</w>")))
    assert warnings({"die": 2000, "rx": 10}, merges) == []
    [warning] = warnings({"die": 2000, "rx": 9}, merges)
    assert f"3 {RARE}" in warning
    assert "with 2 merges 95% of them would occur 10 times, with 2 merges 95% of them would occur 100 times" in warning
    [warning] = warnings({"die": 3}, merges)
    assert "it is too small for merges" in warning


TEXTS = {
    "en": "the cat sees the dog and the dog sees the cat near the red house",
    "de": "die Katze sieht den Hund und der Hund sieht die Katze beim roten Haus",
    "ru": "кошка видит собаку и собака видит кошку у красного дома днём ночью",
}


def prepared(folder, target, valid_target, joint_bpe):
    """The manifest and the printed summary of 300 pairs of random words."""
    draw = random.Random(3)
    for name, language, of in (("train", "en", "en"), ("train", target, target), ("valid", "en", "en")):
        lines = "".join(" ".join(draw.choices(TEXTS[of].split(), k=6)) + "\n" for _ in range(300))
        (folder / f"{name}.{language}").write_text(lines, encoding="utf-8")
    lines = "".join(" ".join(draw.choices(TEXTS[valid_target].split(), k=6)) + "\n" for _ in range(300))
    (folder / f"valid.{target}").write_text(lines, encoding="utf-8")
    prep = PrepConfig(joint_bpe=joint_bpe, tokenizer="none", source="en", target=target, check_sides=False)
    run = Preparation(files=find_corpus(folder), prep=prep, folder=folder / "prepared", quiet=True)
    manifest = prepare(run).manifest
    return manifest, summary(manifest, run.folder, 100)


@pytest.mark.parametrize(
    ("target", "valid_target", "expected"),
    [("de", "de", []), ("ru", "ru", [SCRIPTS]), ("de", "ru", [UNKNOWN]), ("ru", "de", [SCRIPTS, UNKNOWN])],
)
def test_a_preparation_warns_when_its_text_calls_for_it(target, valid_target, expected, tmp_path):
    manifest, text = prepared(tmp_path, target, valid_target, joint_bpe=40)
    found = manifest["advice"]["warnings"]
    assert len(found) == len(expected)
    assert all(part in warning for part, warning in zip(expected, found, strict=True))
    assert text.count("Warning: ") == len(expected)


def test_the_summary_says_what_the_manifest_holds(tmp_path):
    manifest, text = prepared(tmp_path, "de", "de", joint_bpe=40)
    words = manifest["advice"]["words"]["source"]
    counts = Counter((tmp_path / "train.en").read_text().split())
    assert (words["types"], words["running"]) == (len(counts), 1800)
    assert words["pieces_per_word"] == pytest.approx(manifest["splits"]["train"]["source_pieces"] / 1800)
    assert f"en: {words['running_whole'] / 1800:.1%} of the running words are one piece" in text
    saved = manifest["advice"]["three_way_saves"]["untied"]
    assert f"three-way saves {saved:,} of" in text
    older = {key: value for key, value in manifest.items() if key != "advice"}
    assert "Vocabulary: " in summary(older, tmp_path, 100)


def test_a_folder_of_sentencepiece_has_advice_without_merges(tmp_path):
    pytest.importorskip("sentencepiece")
    for language in ("en", "ru"):
        lines = "".join(" ".join(random.Random(n).choices(TEXTS[language].split(), k=6)) + "\n" for n in range(200))
        for name in ("train", "valid"):
            (tmp_path / f"{name}.{language}").write_text(lines, encoding="utf-8")
    prep = PrepConfig(sentencepiece=50, source="en", target="ru")
    run = Preparation(files=find_corpus(tmp_path), prep=prep, folder=tmp_path / "prepared", quiet=True)
    advice = prepare(run).manifest["advice"]
    assert "most_merges" not in advice
    assert [SCRIPTS in warning for warning in advice["warnings"]] == [True]
