"""What the catalogue says of a corpus: where its files are, what they must be, how splits are built from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bpe.errors import UserError
from nmt.text.languages import among

SHOWN_PAIRS = 8
"As many language pairs are named in an error."

Pair = tuple[str, ...]
"""How the files of a split end: two language codes, of parallel text, or TEXT alone, of text in one language. The
catalogue lists each pair of languages once, in either order it names the same files."""

TEXT: Pair = ("txt",)
"Text in one language: train.txt, valid.txt, test.txt."


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file that is downloaded, and how to know that it is the right one."""

    name: str
    "Its name in the cache and in a mirror."
    also: str = ""
    "Another name that it may have in a mirror folder."
    url: str = ""
    "Its public address. With pip or apt set, the address to tell people."
    pip: str = ""
    "The requirement whose wheel this is; pip then fetches it, with the user's own pip configuration."
    apt: str = ""
    "The Debian package and version (package=version); apt then fetches it where it can."
    size: int | None = None
    "Bytes, exactly, or None where nobody has published it."
    sha256: str = ""
    "SHA-256, or empty where none is published: then the first download records it."
    md5: str = ""
    "MD5, only where that is all that is published."
    checksum_source: str = "computed from the file"
    "Who says so."


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """What a written file must be. sha256 is empty where the text could not be had when the catalogue was written."""

    lines: int | None = None
    words: int | None = None
    "What white space separates."
    sha256: str = ""
    strict: bool = True
    "False: the checksum is of another public copy of the text; a difference is reported and is no error."


@dataclass(frozen=True, kw_only=True)
class SplitText:
    """One split as it is built: its name (train, valid, test, newstest2014 ...) and its pairs, in order.

    Of text in one language a pair is one line.
    """

    name: str
    pairs: Iterable[tuple[str, ...]]


Builder = Callable[[Pair, Mapping[str, Path]], Iterator[SplitText]]
"Downloaded files by name -> splits. The pair is as the catalogue lists it."


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One entry of the catalogue."""

    name: str
    title: str
    purpose: str
    "What it is good for, in a few words."
    licence: str
    citation: str
    source: str
    "Where it comes from, for people."
    pairs: tuple[Pair, ...]
    files: Callable[[Pair], tuple[RemoteFile, ...]]
    splits: tuple[str, ...]
    build: Builder
    outputs: Mapping[Pair, Mapping[str, ExpectedFile]] = field(default_factory=dict)
    "For each pair, what each written file (train.en ...) must be."
    approximate_pairs: Mapping[Pair, int] = field(default_factory=dict)
    "Training pairs, where the exact count is not known here; from a published source that notes names."
    notes: str = ""

    @property
    def one_language(self) -> bool:
        """Whether it is text in one language, not parallel text."""
        return self.pairs == (TEXT,)

    def label(self, pair: Pair) -> str:
        """What a pair is called: en-de, or text."""
        return "text" if pair == TEXT else "-".join(pair)

    def resolve(self, source: str | None, target: str | None) -> Pair:
        """The listed pair that the two languages (either may be missing) name by whatever tags, in either direction."""
        if self.one_language:
            if source or target:
                raise UserError(f"{self.name} is text in one language", hint="leave out --src and --tgt")
            return TEXT
        if source and source == target:
            raise UserError(f"source and target are both {source!r}", hint="--src and --tgt must differ")
        listed = {code for pair in self.pairs for code in pair}
        source, target = (tag and (among(tag, listed) or tag) for tag in (source, target))
        wanted = {code for code in (source, target) if code}
        found = [pair for pair in self.pairs if wanted <= set(pair)]
        offered = ", ".join("-".join(pair) for pair in self.pairs[:SHOWN_PAIRS])
        if len(self.pairs) > SHOWN_PAIRS:
            offered += f" ... ({len(self.pairs)}; nmt-data show {self.name} lists them)"
        if not found:
            raise UserError(f"{self.name} has no pair {source or '?'}-{target or '?'}", hint=f"it has {offered}")
        if len(found) > 1 and (source or target):
            found = [pair for pair in found if source in (None, pair[0]) and target in (None, pair[1])] or found
        if len(found) != 1:
            raise UserError(f"{self.name} has several language pairs: {offered}", hint="choose with --src and --tgt")
        return found[0]

    def written(self, pair: Pair) -> tuple[str, ...]:
        """Names of the files that a fetch writes."""
        return tuple(f"{split}.{code}" for split in self.splits for code in pair)

    def expected(self, pair: Pair, name: str) -> ExpectedFile:
        """What the written file `name` must be, as far as it is known."""
        return self.outputs.get(pair, {}).get(name, ExpectedFile())


def megabytes(size: int) -> str:
    """Bytes as people say them: 68 MB, 2.6 GB, 21 kB."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if size < 10 * scale else f"{size / scale:.0f} {unit}"
    return f"{size} B"
