"""Home Assistant's interface translations, read from its wheel."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bpe.errors import UserError
from nmt.corpora.heldout import split_by_document
from nmt.corpora.pairing import align, keep, strip_list_mark
from nmt.corpora.records import Corpus, ExpectedFile, Pair, RemoteFile, SplitText

VERSION = "2026.11.0"
WHEEL = f"homeassistant-{VERSION}-py3-none-any.whl"
HELD_OUT_SHARE = 0.12
"Share of the components drawn for each of valid and test."
HELD_OUT_SIZE = 1000
LARGEST_HELD_OUT = 150
"Components with more pairs than this are always in train."
LANGUAGES = [
    "de",
    "fr",
    "af",
    "ar",
    "bg",
    "bn",
    "bs",
    "ca",
    "cs",
    "cy",
    "da",
    "el",
    "eo",
    "es",
    "et",
    "eu",
    "fa",
    "fi",
    "fy",
    "ga",
    "gl",
    "gsw",
    "he",
    "hi",
    "hr",
    "hu",
    "hy",
    "id",
    "is",
    "it",
    "ja",
    "ka",
    "ko",
    "lb",
    "lt",
    "lv",
    "mk",
    "ml",
    "nb",
    "ne",
    "nl",
    "nn",
    "pl",
    "pt",
    "pt-BR",
    "ro",
    "ru",
    "sk",
    "sl",
    "sq",
    "sr",
    "sr-Latn",
    "sv",
    "ta",
    "th",
    "tr",
    "uk",
    "ur",
    "vi",
    "zh-Hans",
    "zh-Hant",
]
"All that the wheel has beside English, by its names; the last dozens of components only for some."
MEMBER = re.compile(r"homeassistant/components/([^/]+)/translations/([A-Za-z-]+)\.json")


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """The wheel; it holds every language."""
    return (
        RemoteFile(
            name=WHEEL,
            url=f"PyPI, project homeassistant, version {VERSION}",
            pip=f"homeassistant=={VERSION}",
            size=67_607_712,
            sha256="7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
        ),
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """Pair the strings of both languages by component and key, split by component."""
    source, target = pair
    documents: dict[str, list[tuple[str, str]]] = {}
    with open_wheel(next(iter(paths.values()))) as wheel:
        for component, languages in sorted(translation_members(wheel).items()):
            if source in languages and target in languages:
                left = strings(read_json(wheel, languages[source]))
                right = strings(read_json(wheel, languages[target]))
                documents[component] = list(pair_strings(left, right))
    yield from split_by_document(documents, share=HELD_OUT_SHARE, size=HELD_OUT_SIZE, largest=LARGEST_HELD_OUT)


def open_wheel(path: Path) -> zipfile.ZipFile:
    """The wheel as a zip file."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"not a readable wheel ({error})", where=path) from None


def translation_members(wheel: zipfile.ZipFile) -> dict[str, dict[str, str]]:
    """Component -> language -> name of the member that holds its strings."""
    found: dict[str, dict[str, str]] = {}
    for name in wheel.namelist():
        if match := MEMBER.fullmatch(name):
            found.setdefault(match[1], {})[match[2]] = name
    return found


def read_json(wheel: zipfile.ZipFile, name: str) -> object:
    """One JSON member of the wheel."""
    try:
        return json.loads(wheel.read(name).decode("utf-8"))
    except (ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{name} cannot be read ({error})", where=wheel.filename) from None


def strings(tree: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Key path -> text, in the order of the file."""
    if isinstance(tree, str):
        return {path: tree}
    if not isinstance(tree, dict):
        return {}
    return {key: text for name, child in tree.items() for key, text in strings(child, (*path, name)).items()}


def pair_strings(
    left: Mapping[tuple[str, ...], str], right: Mapping[tuple[str, ...], str]
) -> Iterator[tuple[str, str]]:
    """Sentence pairs of the strings that have the same key on both sides."""
    for key, text in left.items():
        if key in right:
            for source, target in align(text, right[key]):
                source, target = strip_list_mark(source, target)
                if keep(source, target):
                    yield source, target


OUTPUTS: dict[Pair, dict[str, ExpectedFile]] = {
    ("en", "de"): {
        "train.en": ExpectedFile(
            lines=34_134, sha256="8b29b928d240313062747ddf5a318c5a7514585bc4ef301466f8ed9358e022ab"
        ),
        "train.de": ExpectedFile(
            lines=34_134, sha256="05daf1b27e6cdb94df637c2b9eeff4dd21b2364487a1df169639e3f8323f8af9"
        ),
        "valid.en": ExpectedFile(
            lines=1_000, sha256="9b46e5bd0f4333bf1340f8ea4fc095343faba14a2ef5b9df40109635b89206bf"
        ),
        "valid.de": ExpectedFile(
            lines=1_000, sha256="760bc0d72faad5c90c68b7c1e3e1bf1aeea33fb47c27a264b53ba2633909a70a"
        ),
        "test.en": ExpectedFile(lines=1_000, sha256="cd39db6420799e905190b89bcec91736aeb4d8b5fbc7a17c51008294be2868f3"),
        "test.de": ExpectedFile(lines=1_000, sha256="f6d20bcbcf368d80de04fb6d2346cd631c717dbc8eb1316c2d29c8a546cfc2aa"),
    },
    ("en", "fr"): {
        "train.en": ExpectedFile(
            lines=27_926, sha256="3a8a8cdaaa2991f46cdb37a0910939e51da8b97c7950954241538f7d3f016030"
        ),
        "train.fr": ExpectedFile(
            lines=27_926, sha256="86f8f6d22a8928b7c79bd806d5f13ad6e9444c4cc31bd4987a473bff637b231e"
        ),
        "valid.en": ExpectedFile(
            lines=1_000, sha256="af933eabd601ee02e3b3b68ef15206da5dd84228657dbaa219a9a15b292720a9"
        ),
        "valid.fr": ExpectedFile(
            lines=1_000, sha256="88027a3fdd1a13a4d68a34682445182c97d61d700de1f305432a7deca03a9d07"
        ),
        "test.en": ExpectedFile(lines=1_000, sha256="b8571ac7c6507c2cdb592ba3052cf868c1d57bd9245d75fb2d2640b2b187cfa9"),
        "test.fr": ExpectedFile(lines=1_000, sha256="58e015aeca3442cf85ed34ed6200b94ef8a903fd6c6459fe488d52402e71966f"),
    },
}

CORPUS = Corpus(
    name="homeassistant",
    title=f"Interface texts of Home Assistant {VERSION}",
    purpose="the quickstart: small, short sentences, fetched wherever pip works",
    licence="Apache-2.0",
    citation="Home Assistant contributors: Home Assistant, https://www.home-assistant.io",
    source=f"wheel homeassistant=={VERSION} on PyPI, homeassistant/components/*/translations/*.json",
    pairs=tuple(("en", language) for language in LANGUAGES),
    files=files,
    splits=("train", "valid", "test"),
    build=build,
    outputs=OUTPUTS,
    notes="Paired by component and key, cut into sentences, filtered; split by component, so that near duplicates do "
    "not leak; valid and test hold no source or target of train, up to case, numbers and punctuation. Languages that "
    "few components are translated into have few pairs, and perhaps none to hold out.",
)
