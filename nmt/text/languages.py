"""Languages as people name them: ISO 639-1, -2 and -3, BCP 47, FLORES and locales; and what a name means.

`fr`, `fra`, `fre`, `fr_CA` and `FR` mean French to every rule that asks. Which names mean the same is langcodes' data:
IANA's registry and Unicode's. A tag itself never changes: files, folders and configurations are called as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from nmt.packages import MissingPackage, import_package

TAG = "[A-Za-z]{2,3}(?:[-_@][A-Za-z0-9]{2,8})*"
"How a tag looks, as an expression: zh-Hans-CN, es-419, sr@latin."
SIMPLE_TAG = re.compile("[A-Za-z]{2,3}(?:[-_][A-Za-z]{2,4})?")
"Tags that name a file's language whether or not anybody registered them, such as the `xx` of `train.xx`."
MODIFIERS = {"latin": "Latn", "cyrillic": "Cyrl", "arabic": "Arab", "devanagari": "Deva"}
"Scripts as locales name them, after an @."
VARIANT = re.compile("[a-z0-9]{5,8}")

SHORTEST = re.compile("[a-z]{2}")
"Tags of ISO 639-1 mean themselves, also where langcodes is not installed."
SCRIPTS = {
    "zh": "Hans",
    "ja": "Jpan",
    "km": "Khmr",
    "lo": "Laoo",
    "my": "Mymr",
    "th": "Thai",
    "bo": "Tibt",
    "dz": "Tibt",
}
"Theirs, where rules ask for them."

HAN = frozenset(("Hani", "Hans", "Hant", "Hanb"))
JAPANESE = frozenset(("Hira", "Hrkt", "Jpan", "Kana"))
OTHERS_WITHOUT_SPACES = frozenset(("Khmr", "Lana", "Laoo", "Mymr", "Tale", "Talu", "Tavt", "Thai", "Tibt"))
"Scripts of South-East Asia and Tibet that set spaces between phrases, if at all."
WITHOUT_SPACES = HAN | JAPANESE | OTHERS_WITHOUT_SPACES
"Scripts (ISO 15924) without spaces between words."


@dataclass(frozen=True, kw_only=True)
class Language:
    """What a tag means."""

    tag: str
    "As it was given."
    name: str
    "As BCP 47 writes it: zh-Hans of zho_Hans, sr-Latn of sr@latin. The tag, where that is not known."
    key: str
    "The same without a script that goes without saying: that of other tags that mean the same."
    code: str
    "What rules call it, ISO 639's shortest code: fr of fra; a macrolanguage's for its main member: zh of cmn."
    script: str
    "ISO 15924's code of its script: the tag's, else the usual one; '' of a tag that is not known."
    known: bool
    "Whether the tag and all its parts are registered."

    def __str__(self) -> str:
        """The tag, and what it means where that is not the same: fra (fr)."""
        return self.tag if self.tag == self.name else f"{self.tag} ({self.name})"


@lru_cache
def read_tag(tag: str) -> Language:
    """What a tag means. Any text is one: of what is not known, its first part counts."""
    try:
        langcodes = import_package("langcodes", "reading the names of languages")
    except MissingPackage:
        if not SHORTEST.fullmatch(tag):
            raise
        return Language(tag=tag, name=tag, key=tag, code=tag, script=SCRIPTS.get(tag, ""), known=True)
    try:
        found = langcodes.Language.get(_without_modifier(tag), normalize=True)
    except ValueError:
        return _unknown(tag)
    if not found.is_valid():
        return _unknown(tag)
    main = found.prefer_macrolanguage()
    without_script = main.update_dict({"script": None})
    usual = without_script.maximize().script
    return Language(
        tag=tag,
        name=main.simplify_script().to_tag(),
        key=(without_script if main.script == usual else main).to_tag(),
        code=main.language or "und",
        script=main.script or usual or "",
        known=True,
    )


def _unknown(tag: str) -> Language:
    first = literal_code(tag)
    if first == tag.lower():
        return Language(tag=tag, name=tag, key=tag, code=first, script="", known=False)
    return replace(read_tag(first), tag=tag, name=tag, key=tag, known=False)


def code_of(tag: str) -> str:
    """The code by which rules know a tag's language."""
    return read_tag(tag).code


def literal_code(tag: str) -> str:
    """The first part of a tag as it stands: how folders were made that know no other meaning."""
    return re.split("[-_]", tag.lower())[0]


def among(tag: str, tags: Iterable[str]) -> str | None:
    """The one of some tags that is meant: itself, else the only one that means the same; None where there is none."""
    there = set(tags)
    if tag in there:
        return tag
    wanted = read_tag(tag).key
    alike = [other for other in there if read_tag(other).key == wanted]
    return alike[0] if len(alike) == 1 else None


def is_english(tag: str) -> bool:
    """Whether a tag means English of any country."""
    return code_of(tag) == "en"


def _without_modifier(tag: str) -> str:
    """A tag as BCP 47 would have it: what a locale has after @ is a script, a variant, or no matter of language."""
    rest, _, modifier = tag.partition("@")
    modifier = MODIFIERS.get(modifier.lower(), modifier.lower())
    language, *others = re.split("[-_]", rest)
    if modifier in MODIFIERS.values():
        others.insert(0, modifier)
    elif VARIANT.fullmatch(modifier):
        others.append(modifier)
    return "-".join((language, *others))
