"""LibreOffice's help, read from Debian's packages: pages aligned by the ids of their paragraphs."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path

from bpe.errors import UserError
from nmt.corpora.archives import DAMAGED
from nmt.corpora.heldout import split_by_document
from nmt.corpora.pairing import align, keep, normalise
from nmt.corpora.records import Corpus, ExpectedFile, Pair, RemoteFile, SplitText

VERSION = "7.4.7-1+deb12u14"
HELD_OUT_SHARE = 0.06
"Share of the pages drawn for each of valid and test."
HELD_OUT_SIZE = 1000
LARGEST_HELD_OUT = 150
"Pages with more pairs than this are always in train."
LOCALES = {"en": "en-US", "de": "de", "fr": "fr"}
BLOCKS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})
VOID = frozenset({"img", "br", "meta", "input", "hr", "link", "source"})
AR_MAGIC, AR_HEADER_BYTES = b"!<arch>\n", 60

PACKAGES = {
    "en": (
        1_753_504,
        "8faa840285734d6cfe1ed25537b48f07e74bd6412e3917bf8e5f8a653f7b3712",
    ),
    "de": (
        3_293_908,
        "00490b63c509ac96f7f212d6a6e40452d3e0d1f97ccf4b824dd5ec4c01e8277f",
    ),
    "fr": (
        3_237_008,
        "c796530d3e95af1ea4d054076682efc8aad2b569ae9513f3d4a776b2df3fd206",
    ),
}
"Language -> size and SHA-256 of the package."


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """One package for each language."""
    return tuple(package(code) for code in pair)


def package(code: str) -> RemoteFile:
    """The Debian package of one language; apt has it on bookworm."""
    size, sha256 = PACKAGES[code]
    name = f"libreoffice-help-{LOCALES[code].lower()}"
    return RemoteFile(
        name=f"{name}_{VERSION}_all.deb",
        also=f"{name}_4%3a{VERSION}_all.deb",
        url=f"Debian, package {name}, version 4:{VERSION}",
        apt=f"{name}=4:{VERSION}",
        size=size,
        sha256=sha256,
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """Pair paragraphs by page and id, cut into sentences; split by page."""
    source, target = (pages(paths[package(code).name], LOCALES[code]) for code in pair)
    documents = {page: list(pair_blocks(source[page], target[page])) for page in sorted(source) if page in target}
    yield from split_by_document(documents, share=HELD_OUT_SHARE, size=HELD_OUT_SIZE, largest=LARGEST_HELD_OUT)


def pair_blocks(left: Mapping[tuple[str, int], str], right: Mapping[tuple[str, int], str]) -> Iterator[tuple[str, str]]:
    """Sentence pairs of the paragraphs that have the same id on both sides."""
    for key, text in left.items():
        if key in right:
            yield from ((source, target) for source, target in align(text, right[key]) if keep(source, target))


def pages(path: Path, locale: str) -> dict[str, dict[tuple[str, int], str]]:
    """Page -> (paragraph id, how often it has occurred before) -> text."""
    prefix = f"./usr/share/libreoffice/help/{locale}/"
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(package_data(path)), mode="r:*") as tar:
            for member in tar:
                if member.isfile() and member.name.startswith(f"{prefix}text/") and member.name.endswith(".html"):
                    stream = tar.extractfile(member)
                    assert stream is not None
                    reader = HelpPage()
                    reader.feed(stream.read().decode("utf-8"))
                    found[member.name.removeprefix(prefix)] = reader.blocks
    except DAMAGED as error:
        raise UserError(f"damaged package ({error})", where=path) from None
    return found


def package_data(path: Path) -> bytes:
    """data.tar.* of a Debian package, which is an ar archive."""
    raw = path.read_bytes()
    position = len(AR_MAGIC)
    while raw.startswith(AR_MAGIC) and len(raw) >= position + AR_HEADER_BYTES:
        header = raw[position : position + AR_HEADER_BYTES]
        size, start = int(header[48:58]), position + AR_HEADER_BYTES
        if header.startswith(b"data.tar"):
            return raw[start : start + size]
        position = start + size + size % 2
    raise UserError("not a Debian package with a data.tar", where=path)


class HelpPage(HTMLParser):
    """Collects the paragraphs and headings of a page that have an id, without code and without the Mac's variants."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: dict[tuple[str, int], str] = {}
        self.seen: Counter[str] = Counter()
        self.block = ""
        self.text: list[str] = []
        self.skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block begins, or a part of one that is left out."""
        attributes = dict(attrs)
        classes = (attributes.get("class") or "").split()
        if tag in BLOCKS:
            self.block = "" if "code" in classes else attributes.get("id") or ""
            self.text, self.skipping = [], 0
        elif tag not in VOID and (self.skipping or "MAC" in classes):
            self.skipping += 1
        elif tag == "br":
            self.text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """A block ends: keep its text."""
        if tag in BLOCKS and self.block:
            self.blocks[self.block, self.seen[self.block]] = normalise("".join(self.text))
            self.seen[self.block] += 1
            self.block = ""
        elif tag not in BLOCKS and tag not in VOID and self.skipping:
            self.skipping -= 1

    def handle_data(self, data: str) -> None:
        """Text of the current block."""
        if self.block and not self.skipping:
            self.text.append(data)


OUTPUTS: dict[Pair, dict[str, ExpectedFile]] = {
    ("en", "de"): {
        "train.en": ExpectedFile(
            lines=39_889, sha256="c60cc5ff27551f86d91213b73cd3ee8908de008a6b3040405eae842d26cb3788"
        ),
        "train.de": ExpectedFile(
            lines=39_889, sha256="ea98a4b859786bae29c9759bb2499b172af0b1f38fb46ea25d5f671a63aa1da2"
        ),
        "valid.en": ExpectedFile(
            lines=1_000, sha256="9d5173d4618398797da4950acd1cee12235655fe2722f86edacb21dde343a1c1"
        ),
        "valid.de": ExpectedFile(
            lines=1_000, sha256="a143e533379783b26b6c9f38c3aeb654bba9ee26095b5175159c9e45b27b22fa"
        ),
        "test.en": ExpectedFile(lines=1_000, sha256="a6b639e284de591f0934d8565b66d77004246c7714c67a263f9a04ca9bb54a5f"),
        "test.de": ExpectedFile(lines=1_000, sha256="a2b30386bbbb9f66a7fbcebf7e870c8c1228cbee2a84059d02ddec4199a2929c"),
    },
    ("en", "fr"): {
        "train.en": ExpectedFile(
            lines=38_264, sha256="dffbbd4ddca417419be469631cd270113299e6b51531edadcc5219d860c8f86a"
        ),
        "train.fr": ExpectedFile(
            lines=38_264, sha256="dcaf653705aa13f158a608151f827f72f8bc6f18a84385b5de90c63f7f58a446"
        ),
        "valid.en": ExpectedFile(
            lines=1_000, sha256="668902df2a96cff64f4d3dfe939c3e140a509f83ce3144a056e9a15ccd34e9e8"
        ),
        "valid.fr": ExpectedFile(
            lines=1_000, sha256="aaec5c7bf916abe01ef80fbcb20269451576e31155099779494fa6d44cf6dd2c"
        ),
        "test.en": ExpectedFile(lines=1_000, sha256="5e38852e0df7642bda01e4e2146e0ffa3814a5b0e65dad851a694803d89f9214"),
        "test.fr": ExpectedFile(lines=1_000, sha256="37d13d070c56c4b75ad80d34ea5dca476ec246db9ab7d93ae7f11d336067a11b"),
    },
}

CORPUS = Corpus(
    name="libreoffice-help",
    title="Help pages of LibreOffice 7.4",
    purpose="technical prose, whole sentences of about 10 words",
    licence="MPL-2.0, some parts Apache-2.0 (see the packages' copyright file)",
    citation="The Document Foundation and contributors: LibreOffice 7.4 Help, https://help.libreoffice.org",
    source=f"Debian bookworm packages libreoffice-help-* 4:{VERSION}",
    pairs=(("en", "de"), ("en", "fr")),
    files=files,
    splits=("train", "valid", "test"),
    build=build,
    outputs=OUTPUTS,
    notes="Paragraphs paired by page and id, cut into sentences, filtered; split by page; valid and test hold no "
    "source or target of train, up to case, numbers and punctuation.",
)
