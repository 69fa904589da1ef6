"""Lines into sentences and back: nothing lost, tables of each language's traps."""

from __future__ import annotations

import random

import pytest

from nmt.text.sentences import gap_after, split_sentences, without_abbreviations

pytest.importorskip("sacremoses")


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", "Hello there. | How are you? | Fine! | 5 people came. | Really?! | Yes… | No... | Then left."),
        (
            "en",
            "Mr. Smith met J. R. R. Tolkien and Prof. Lee in the U.S. Army. | They paid $3.5 at example.com. | Good.",
        ),
        ("en", '"Really?" | He said: "Yes." | (He left.) | [So did she!] | “No.” | ‘Fine.’'),
        ("en", "See No. 5 and Fig. 3, e.g. Table 2 vs. Table 4. | No. | Never. | It was 5 p.m. | The end."),
        ("en", "He works at Yahoo! now, etc. and so on. | Why? because."),
        ("en", "1. First things come first. | 2. Second. | – Last."),
        ("en-GB", "One. | Two."),
        ("de", "Am 3. Mai kam Dr. Müller. | Es war z.B. Regen, d.h. nass. | Ludwig XIV. König von Frankreich. | Ja."),
        ("de", "Er sagte: „Ja.“ | Dann ging er. | »Nein.« | Im Jahr 2019. | Der Satz, bzw. Der Rest."),
        ("fr", "« Bonjour. » | Il partit. | « Non ! » | – Si. | M. Dupont arrive, cf. Paris. | Quoi ? | Rien !"),
        ("es", "¿Qué tal? | ¡Bien! | El Sr. García vive en EE.UU. desde 1990. | Sí."),
        ("cs", "Dne 3. Května přišel prof. Novák. | Např. Praha. | Konec."),
        ("pl", "Mieszka na ul. Długiej. | Dobrze."),
        ("ru", "Он пришёл. | А. С. Пушкин писал. | Да?"),
        ("el", "Καλημέρα. | Τι κάνεις; Καλά."),
        ("hi", "यह एक वाक्य है। | यह दूसरा है।"),
        ("ar", "هل أنت بخير؟ | نعم أنا بخير. | شكرا."),
        ("ur", "یہ ایک جملہ ہے۔ | یہ دوسرا ہے۔"),
        ("he", "שלום. | מה שלומך?"),
        ("xx", "Dr. Who and Mr. X came. | Yes."),
    ],
)
def test_sentences_end_where_they_end(language: str, sentences: str) -> None:
    expected = sentences.split(" | ")
    assert [sentence.rstrip() for sentence in split_sentences(" ".join(expected), language)] == expected


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("zh", "你好。|我是学生！|你呢？|“好。”|他说。|用3.5元买。"),
        ("ja", "「行こう。」と言った。|彼は帰った！！|本当？|『はい。』|彼女も。"),
        ("en", "It is called 東京。|Yes. |No."),
    ],
)
def test_stops_without_spaces(language: str, sentences: str) -> None:
    expected = sentences.split("|")
    assert split_sentences("".join(expected), language) == expected


@pytest.mark.parametrize("language", ["en", "de", "ja", "xx"])
def test_nothing_is_lost(language: str) -> None:
    generator = random.Random(language)
    alphabet = "aB1ñÜ东の \t\u00a0\u2028\r.!?…。！？؟।\"'“”«»„‘’([{)]}」¿¡-–*\x00\U0001f600"
    for _ in range(3000):
        line = "".join(generator.choices(alphabet, k=generator.randrange(40)))
        sentences = split_sentences(line, language)
        assert "".join(sentences) == line
        assert len(sentences) == 1 or all(sentence.strip() for sentence in sentences)
        assert sentences[0] or sentences == [""]
        again = [part for sentence in sentences for part in split_sentences(sentence, language)]
        assert "".join(again) == line


@pytest.mark.parametrize("line", ["", "   ", "...", ". . .", "。", "Mr.", "no end", "3. 4. 5."])
def test_one_sentence_at_least(line: str) -> None:
    assert split_sentences(line, "en") == [line]


def test_long_lines_of_anything_are_split_in_one_pass() -> None:
    for part in (".", ". ", "a. ", '. " ', "。", "1. ", "«", " ", "a.", "ok. Ok. "):
        line = part * 50_000 + ". A"
        assert "".join(split_sentences(line, "en")) == line


def test_languages_are_known_by_any_name():
    line = "Am 3. Mai kam Dr. Meier z.B. nicht. Er war krank."
    for name in ("deu", "ger", "DE", "de_AT", "deu_Latn"):
        assert split_sentences(line, name) == split_sentences(line, "de")
    assert [without_abbreviations(name) for name in ("deu", "zho_Hans", "jpn")] == [""] * 3
    assert "no abbreviations of tha (th), the English ones" in without_abbreviations("tha")


@pytest.mark.parametrize(
    ("sentence", "target", "gap"),
    [
        ("One. ", "de", " "),
        ("One.  ", "de", "  "),
        ("One.\t", "de", "\t"),
        ("你好。", "en", " "),
        ("One. ", "zh-TW", ""),
        ("One. ", "cmn_Hans", ""),
        ("One. ", "jpn", ""),
        ("One. ", "tha", " "),
        ("One.  ", "ja", "  "),
        ("你好。", "ja", ""),
        ("", "en", " "),
    ],
)
def test_gaps_are_the_sources_unless_a_language_has_others(sentence: str, target: str, gap: str) -> None:
    assert gap_after(sentence, target) == gap
