"""Merges are compared with those of subword-nmt itself, which stands as the independent reference."""

import io
import random
from collections import Counter

import pytest

from bpe.errors import UserError
from bpe.learn import count_words, learn_merges

reference = pytest.importorskip("subword_nmt.learn_bpe")

TEXT = """\
A little girl climbing into a wooden playhouse .
Ein kleines Mädchen klettert in ein Spielhaus aus Holz .
Two young , White males are outside near many bushes ; the youngest is climbing .
Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche .
----- ------------ 1000000 10000 2000 2000 www.example.com/a/a/a/a/ hahahaha hahaha haha
Several men in hard hats are operating a giant pulley system , operating and operated .
"""


def learned_by_subword_nmt(counts, num_merges, min_frequency, monkeypatch):
    """The lines subword-nmt writes, or none where it crashes since no word has two symbols."""
    output = io.StringIO()
    monkeypatch.setattr(reference, "get_vocabulary", lambda *_: dict(counts))
    monkeypatch.setattr(reference, "tqdm", iter)
    try:
        reference.learn_bpe(None, output, num_merges, min_frequency)
    except ValueError:
        assert all(len(word) == 1 for word in counts)
    return output.getvalue().splitlines(keepends=True)[1:]


def assert_same(counts, num_merges, min_frequency, monkeypatch):
    table = learn_merges(counts, num_merges, min_frequency=min_frequency)
    expected = "".join(learned_by_subword_nmt(counts, num_merges, min_frequency, monkeypatch))
    assert "".join(f"{first} {second}\n" for first, second in table.merges) == expected
    assert table.version == (0, 2)


def random_counts(seed, alphabet):
    """Words over few letters: many ties, repeated pairs, and symbols that several merges spell."""
    draw = random.Random(seed)
    num_words, longest = draw.choice([1, 5, 50, 200]), draw.choice([3, 6, 12, 30])
    most = draw.choice([1, 3, 20, 3000])
    return {
        "".join(draw.choices(alphabet, k=draw.randint(1, longest))): draw.randint(1, most) for _ in range(num_words)
    }


@pytest.mark.parametrize(
    "alphabet", ["ab", "abc", "abcdefghij", "</w>a", "aé\U0001f600\0\U0010ffff", "ab\\.", "ab\xa0", "a\xa0\u2028\rb"]
)
@pytest.mark.parametrize("seed", range(25))
def test_random_words_give_the_same_merges(seed, alphabet, monkeypatch):
    num_merges, min_frequency = [(0, 2), (1, 2), (10, 1), (150, 2), (500, 5)][seed % 5]
    assert_same(random_counts(seed, alphabet), num_merges, min_frequency, monkeypatch)


@pytest.mark.parametrize("min_frequency", [1, 2, 3])
def test_text_gives_the_same_merges_until_pairs_run_out(min_frequency, monkeypatch):
    counts = count_words(TEXT.splitlines())
    assert_same(counts, 10_000, min_frequency, monkeypatch)
    assert 0 < len(learn_merges(counts, 10_000, min_frequency=min_frequency)) < 10_000


def test_many_merges_of_a_larger_text(monkeypatch):
    """Long enough for several returns to the full counts, with word counts that fall as Zipf's law has it."""
    draw = random.Random(7)
    syllables = ["".join(draw.choices("aeioustrnlm", k=draw.randint(1, 3))) for _ in range(80)]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 5))) for _ in range(1500)]
    assert_same({word: 1 + 5000 // rank for rank, word in enumerate(words, 1)}, 2000, 2, monkeypatch)


def test_a_pair_that_comes_back_is_merged_again_where_subword_nmt_does(monkeypatch):
    """'abc' is spelt by (ab, c) and (a, bc): the same pair can be learned twice, and counts can grow again."""
    counts = {"abcabc": 9, "xbcabc": 8, "abcx": 7, "aabc": 6, "bcbcabc": 5, "abab": 20, "bcbc": 19, "aaaa": 3}
    for min_frequency in (1, 2):
        assert_same(counts, 200, min_frequency, monkeypatch)


def test_joint_learning_is_learning_on_the_sum(monkeypatch):
    lines = TEXT.splitlines()
    assert_same(count_words(lines[0::2]) + count_words(lines[1::2]), 60, 2, monkeypatch)


def test_words_are_counted_as_subword_nmt_counts():
    lines = ["a b  a\n", "  b\u2028c\td \r\n", "\n", "   ", "a\xa0b a\n"]
    assert count_words(lines) == reference.get_vocabulary(lines)
    assert count_words(lines) == Counter({"a": 3, "b": 1, "b\u2028c\td": 1, "a\xa0b": 1})
    assert count_words([]) == Counter()


@pytest.mark.parametrize("counts", [{}, {"a": 5}, {"ab": 0}, {"": 3}])
def test_nothing_to_merge_gives_an_empty_table(counts):
    assert learn_merges(counts, 10).merges == ()


def test_counts_are_not_changed():
    counts = Counter(TEXT.split())
    before = dict(counts)
    learn_merges(counts, 50)
    assert dict(counts) == before


@pytest.mark.parametrize(("num_merges", "min_frequency"), [(-1, 2), (10**9, 2), (5, 0)])
def test_numbers_out_of_range_are_refused(num_merges, min_frequency):
    with pytest.raises(UserError, match="out of range"):
        learn_merges({"ab": 2}, num_merges, min_frequency=min_frequency)
