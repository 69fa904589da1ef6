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
from nmt.corpora.records import Corpus, Output, Pair, RemoteFile, SplitText

VERSION = "2026.11.0"
WHEEL = f"homeassistant-{VERSION}-py3-none-any.whl"
HELD_OUT_SHARE = 0.06
"Share of the components for each of valid and test."
HELD_OUT_SIZE = 1000
LARGEST_HELD_OUT = 150
"Components with more pairs than this are always in train."
MEMBER = re.compile(r"homeassistant/components/([^/]+)/translations/([A-Za-z-]+)\.json")


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """The wheel; it holds every language."""
    return (
        RemoteFile(
            name=WHEEL,
            url=f"https://pypi.org/project/homeassistant/{VERSION}/",
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


OUTPUTS: dict[Pair, dict[str, Output]] = {}

CORPUS = Corpus(
    name="homeassistant",
    title=f"Interface texts of Home Assistant {VERSION}",
    purpose="the quickstart: small, short sentences, fetched wherever pip works",
    licence="Apache-2.0",
    citation="Home Assistant contributors: Home Assistant, https://www.home-assistant.io",
    source=f"wheel homeassistant=={VERSION} on PyPI, homeassistant/components/*/translations/*.json",
    pairs=(("en", "de"), ("en", "fr")),
    files=files,
    splits=("train", "valid", "test"),
    build=build,
    outputs=OUTPUTS,
    notes="Paired by component and key, cut into sentences, filtered; split by component, so that near duplicates do "
    "not leak; valid and test hold no source or target of train, up to case, numbers and punctuation.",
)
