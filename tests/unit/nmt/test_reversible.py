"""The reversible tokeniser: its words, and that they are exactly the line."""

import random

import pytest

from nmt.text.normalization import make_normalize
from nmt.text.protection import Patterns
from nmt.text.reversible import ELIDING, EscapingTokenizer, ReversibleTokenizer

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A man, a plan.", ["A", "man", "￭,", "a", "plan", "￭."]),
        ('("Hello," he said.)', ["(￭", '"￭', "Hello", "￭,", '￭"', "he", "said", "￭.", "￭)"]),
        ("„so“. »x« ‘y’ ¿qué?", ["„￭", "so", "￭“", "￭.", "»￭", "x", "￭«", "‘￭", "y", "￭’", "¿￭", "qué", "￭?"]),
        ("don't 1990's he’s", ["don", "￭'t", "1990", "￭'s", "he", "￭’s"]),
        ("5'10 a'", ["5", "￭'￭", "10", "a", "￭'"]),
        ("12,500.5 5km 10:30 -5 1,x", ["12,500.5", "5km", "10", "￭:￭", "30", "-￭", "5", "1", "￭,￭", "x"]),
        ("well-known U.S. z.B. www.x.de", ["well-known", "U.S", "￭.", "z.B", "￭.", "www.x.de"]),
        ("wait... a -- b...c", ["wait", "￭...", "a", "--", "b", "￭...￭", "c"]),
        ("a/b @x x@@ 5% %)", ["a", "￭/￭", "b", "@￭", "x", "x", "￭@", "￭@", "5", "￭%", "%", "￭)"]),
        ("12\u00a0500 mot\u202f! a\tb\r", ["12", "￭⍽￭", "500", "mot", "￭⎵￭", "!", "a", "￭␉￭", "b", "￭␍"]),
        ("a\u2028b \u3000", ["a", "￭％2028￭", "b", "〿"]),
        ("x\x00y", ["x", "￭\x00￭", "y"]),
        ("a￭b ％0041 5％ ⍽", ["a", "￭％FFED￭", "b", "％FF05￭", "0041", "5", "￭％", "％237D"]),
        ("使用WiFi连接。2024年", ["使用￭", "WiFi", "￭连接", "￭。￭", "2024", "￭年"]),
        ("ประเทศไทย ภาษา!", ["ประเทศไทย", "ภาษา", "￭!"]),
        ("क्षत्रिय, e\u0301a\u0300.", ["क्षत्रिय", "￭,", "e\u0301a\u0300", "￭."]),
        ("soft\u00adhy שלום\u200f. \u200fא", ["soft\u00adhy", "שלום\u200f", "￭.", "\u200fא"]),
        (f"{FAMILY}👍🏽ok {WALES} 5️⃣", [FAMILY + "￭", "👍🏽￭", "ok", WALES, "5️⃣"]),
        ("🇩🇪🇫🇷 ©\ufe0f", ["🇩🇪", "￭🇫🇷", "©\ufe0f"]),
        ("｟a｠ <0x41> </w>", ["％FF5F￭", "a", "￭％FF60", "<￭", "0x41", "￭>", "<￭", "/￭", "w", "￭>"]),
        ("", []),
        ("  ", []),
    ],
)
def test_words(line, words):
    tokenizer = ReversibleTokenizer("en")
    assert tokenizer.words(line) == words
    assert tokenizer.text(words) == " ".join(filter(None, line.split(" ")))


def test_an_apostrophe_goes_with_what_the_language_says():
    assert ReversibleTokenizer("fr").words("(l'eau d’un l'“x” 5'x)") == [
        "(￭", "l'￭", "eau", "d’￭", "un", "l", "￭'", "￭“￭", "x", "￭”", "5", "￭'￭", "x", "￭)"
    ]  # fmt: skip
    assert ReversibleTokenizer("it").words("dell'anno") == ["dell'￭", "anno"]
    assert ReversibleTokenizer("de").words("geht's") == ["geht", "￭'s"]
    assert {"fr", "it"} <= ELIDING


def test_protected_strings_are_words_without_marks():
    words = ReversibleTokenizer("en", Patterns(["all"])).words('({n}) {n}\'s l{n}s {a}{b} <a b="c  d">％{x}')
    assert words == [
        "(￭", "｟{n}｠", "￭)", "｟{n}｠", "￭'s", "l", "￭", "｟{n}｠", "￭", "s", "｟{a}｠", "￭", "｟{b}｠",
        '｟<a％0020b="c％0020％0020d">｠', "￭％￭", "｟{x}｠",
    ]  # fmt: skip


def _line(draw):
    """A line of nasty characters in random order."""
    alphabet = [
        "a", "B", "é", "e\u0301", "\u0301", "1", "12", ",", ".", "...", "-", "--", "'", "’", "(", ")", "“", "”", "«",
        "»", '"', "_", "@", "@@", "￭", "％", "00", "00A0", "FF05", "⍽", "⎵", "〿", "␉", "␍", "｟", "｠", "▁", " ", " ",
        "  ", "\t", "\r", "\v", "\f", "\x00", "\x1c", "\x1f", "\x7f", "\x85", "\u00a0", "\u202f", "\u3000", "\u2009",
        "\u2028", "\u2029", "\u1680", "\u200b", "\u200c", "\u200d", "\u2060", "\u00ad", "\u061c", "\u200e", "\u200f",
        "\u202e", "\ufeff", "\ufe0f", "\U000e0067", "\U000e007f", "👨", "👩", "🏽", "🇩", "❤", "⌨",
        "क", "्", "ष", "ก", "ำ",
        "ི", "་", "က", "်", "中", "国", "ア", "゙", "ｱ", "한", "א", "ּ", "ش", "ّ", "\u0600", "ß", "ǆ", "²", "½", "٣",
        "\ue000",
        "\uffff", "\U0010ffff", "\U0001d400", "<0x41>", "</w>", "</0x>", "<unk>", "{n}", "%s", "<b>", "&amp;",
        "https://a.b",
    ]  # fmt: skip
    return "".join(draw.choices(alphabet, k=draw.randint(0, 14)))


@pytest.mark.parametrize("language", ["en", "fr", "zh"])
def test_any_line_comes_back(language):
    plain, protecting = ReversibleTokenizer(language), ReversibleTokenizer(language, Patterns(["all"]))
    escaping, draw = EscapingTokenizer(), random.Random(5)
    for _ in range(3000):
        line = _line(draw)
        wanted = " ".join(filter(None, line.split(" ")))
        for tokenizer in (plain, protecting, escaping):
            words = tokenizer.words(line)
            assert not any(not word or any(map(str.isspace, word)) for word in words)
            assert not any(word.endswith("@@") for word in words if tokenizer is plain)  # as pieces that go on do
            assert not any("▁" in word for word in words if tokenizer is escaping)
            assert tokenizer.text(words) == wanted


def test_a_protected_string_keeps_its_spaces():
    tokenizer = ReversibleTokenizer("en", Patterns(["tags"]))
    assert tokenizer.text(tokenizer.words('x  <a  b="c">')) == 'x <a  b="c">'


def test_any_sequence_of_words_is_text():
    tokenizer, draw = ReversibleTokenizer("en", Patterns(["all"])), random.Random(3)
    words = ["￭", "￭￭", "a￭", "￭b", "｟x｠", "｟", "｠", "％", "％000A", "％D800", "％00", "⍽", "<unk>"]
    for _ in range(500):
        text = tokenizer.text(draw.choices(words, k=draw.randint(0, 8)))
        assert text.encode("utf-8").decode("utf-8") == text  # no half of a surrogate pair
        assert not set(text) & set("￭｟｠⍽")


def test_marks_and_format_characters_are_never_parted_from_what_they_stand_on():
    draw = random.Random(11)
    bases, marks = (
        "aé1中ก한-.(😀क",
        ["\u0301", "\u093f", "\u20dd", "\u200d", "\u00ad", "\ufe0f", "\u200f", "🏽", "\U000e0067"],
    )
    for language in ("en", "fr"):
        tokenizer = ReversibleTokenizer(language)
        for _ in range(1000):
            line = "".join(draw.choice(bases) + "".join(draw.choices(marks, k=draw.randint(0, 2))) for _ in range(6))
            assert not any(word.lstrip("￭").startswith(tuple(marks)) for word in tokenizer.words(line))


def test_normalisation_comes_first_and_spares_what_is_protected():
    tokenizer = ReversibleTokenizer("en", Patterns([r"\{\w+\}"]), make_normalize("nfkc", "en"))
    assert tokenizer.words("ﬁx {ﬁx} ②") == ["fix", "｟{ﬁx}｠", "2"]
    moses = ReversibleTokenizer("en", Patterns([r"\{\w+\}"]), make_normalize("moses", "en"))
    assert moses.text(moses.words("„x“ {n} – 1")) == '"x" {n} - 1'


def test_a_full_cache_starts_anew(monkeypatch):
    monkeypatch.setattr("nmt.text.reversible.CACHED_CHUNKS", 2)
    tokenizer = ReversibleTokenizer("en")
    for _ in range(2):
        assert tokenizer.words("a, b, c, d") == ["a", "￭,", "b", "￭,", "c", "￭,", "d"]
