"""Lines of several sentences -> sentences, by rules, and what goes between their translations.

The rules are those of Moses' split-sentences, whose lists of abbreviations sacremoses carries (it has no splitter). A
boundary that is missed costs little: the model translates two sentences as one. One too many costs a sentence torn
apart, so in doubt there is none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from nmt.packages import import_package
from nmt.text.languages import HAN, JAPANESE, code_of, read_tag
from nmt.text.tokenization import moses_knows

CLOSING = "\"'”’“‘»«›‹)\\]}"
WIDE_STOPS, WIDE_CLOSING = "。！？｡", "”’」』】〉》）］"
OPENING = "\"'“„‘‚«‹»›(\\[{¿¡「『【〈《（［*–—•-"
STOPS = "।॥؟۔።։‽!?…."

ENDS = re.compile(
    rf"(?<![{STOPS}])(?P<stops>[{STOPS}]++)[{CLOSING}]*+(?:[^\S\n]»(?!\S))?(?P<space>\s++)(?:[{OPENING}]\s?)*+(?=\S)"
    rf"|(?<![{WIDE_STOPS}])[{WIDE_STOPS}]++(?P<closing>[{WIDE_CLOSING}]*+)\s*+(?=(?P<next>\S))"
)
"""Where a sentence may end: stops before a space, or a stop of Chinese and Japanese before anything.

A run of stops is tried from its beginning only, so that the time is linear in the line, whatever it holds.
"""
WORD = re.compile(rf"[^\s{OPENING}]\S*$")
LETTER = re.compile(r"[^\W\d_]")
ACRONYM = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
"Initials and acronyms with full stops, the last one left out: J, U.S, z.B."
HIRAGANA = re.compile("[ぁ-ゟ]")

ORDINALS = frozenset(
    ("bs", "cs", "da", "de", "et", "fi", "fo", "hr", "hu", "is", "lv", "nb", "nn", "no", "pl", "sk", "sl", "sr", "tr")
)
"Languages that write an ordinal with a full stop: what follows it may have a capital, as in German 'am 3. Mai'."
ORDINAL = re.compile(r"\d{1,2}|[IVXL]+")
TIMES = frozenset(("a.m", "p.m"))
"Acronyms that sentences often end with."
ABBREVIATIONS = frozenset(
    ("Dr", "Fig", "Figs", "Mr", "Mrs", "Ms", "Mt", "Nr", "Prof", "St", "al", "ca", "cf", "vgl", "vs")
)
"In every language, beside its own."
NUMERIC = " #NUMERIC_ONLY#"
"sacremoses' mark of what is an abbreviation before a number only."


def split_sentences(line: str, language: str) -> list[str]:
    """The sentences of a line in a language (a tag such as "de" or "deu"), each with the whitespace that follows it.

    Put together they are the line: "".join(split_sentences(line, language)) == line. There is always one at least.
    Languages that sacremoses has no abbreviations for get the English ones, as in Moses.
    """
    code = code_of(language)
    parts, start, looked = [], 0, 0
    for end in _ends(line, code):
        if LETTER.search(line, looked, end):  # an item's number is not a sentence
            parts.append(line[start:end])
            start = end
        looked = end
    return [*parts, line[start:]]


def gap_after(sentence: str, target_language: str) -> str:
    """What to put between the translation of a sentence of `split_sentences` and the next one.

    What stood there in the source; where that was nothing, as in Chinese, a space; and no single space in a target
    language that has none between sentences.
    """
    space = sentence[len(sentence.rstrip()) :]
    if read_tag(target_language).script in HAN | JAPANESE:
        return space if len(space) > 1 else ""
    return space or " "


def without_abbreviations(language: str) -> str:
    """What to tell of a language that is split with another's abbreviations; '' where that is not so."""
    found = read_tag(language)
    if found.script in HAN | JAPANESE or moses_knows(found.code):
        return ""
    return f"sentences: there are no abbreviations of {found}, the English ones are looked for"


def _ends(line: str, code: str) -> Iterator[int]:
    """Where sentences end and others begin, whitespace between them counted to the first."""
    for found in ENDS.finditer(line):
        if found["next"]:
            # A quotation in Japanese goes on with a particle.
            if not (found["closing"] and HIRAGANA.match(found["next"])):
                yield found.end()
        elif _begins(line[found.end()]) and not (found["stops"] == "." and _is_abbreviation(line, found, code)):
            yield found.end("space")


def _begins(character: str) -> bool:
    """Whether a sentence can begin with it: a capital, a digit, or a letter of a script without capitals."""
    return character.isdigit() or unicodedata.category(character) in ("Lu", "Lt", "Lo")


def _is_abbreviation(line: str, found: re.Match[str], code: str) -> bool:
    """Whether the full stop belongs to the word before it."""
    if found.end("stops") < found.start("space"):  # a quotation or a bracket ends here
        return False
    word = _word_before(line, found.start())
    if code in ORDINALS and ORDINAL.fullmatch(word):
        return True
    if ACRONYM.fullmatch(word):
        return word.lower() not in TIMES and unicodedata.category(word[0]) != "Lo"
    always, before_numbers = _abbreviations(code)
    if word in always or word[:1].lower() + word[1:] in always:
        return True
    return word in before_numbers and line[found.end()].isdigit()


def _word_before(line: str, stop: int) -> str:
    """The word before a full stop, without what opens a bracket or quotation; at most its last 30 characters."""
    return "".join(WORD.findall(line[max(0, stop - 30) : stop]))


@lru_cache
def _abbreviations(code: str) -> tuple[frozenset[str], frozenset[str]]:
    """Abbreviations of a language: those anywhere, and those before numbers only."""
    import_package("sacremoses", "splitting sentences")
    from sacremoses.corpus import NonbreakingPrefixes

    listed = set(NonbreakingPrefixes().words(code if moses_knows(code) else "en"))
    numeric = {word.removesuffix(NUMERIC) for word in listed if word.endswith(NUMERIC)}
    return frozenset(word for word in listed if not word.isdigit()) - numeric | ABBREVIATIONS, frozenset(numeric)
