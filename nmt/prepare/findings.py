"""What looks wrong with single pairs of raw lines: counted in every split, dropped from training where that is asked.

Looked for always: sources equal to their targets, entities, characters that do not print, and training pairs that stand
in valid or test too, compared without spaces. Where a limit is set: long words and few letters. Where it is asked for:
lines that py3langid is sure are in another language. Shifted sides, which single pairs do not show, are found by
`nmt.prepare.shifts`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bpe.textfiles import read_lines, sha256_of
from nmt.config import PrepConfig
from nmt.data.corpus import raw_file
from nmt.prepare.detection import LineDetector, detector_version
from nmt.prepare.entities import has_entity, unescaped
from nmt.text.pipeline import SIDES

UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff\U000f0000-\U0010ffff]")
"Control characters but for tab and carriage return, U+FFFD, which stands for lost text, and private use."
DROPS = {
    "held-out": ("held_out",),
    "held-out-source": ("held_out_source",),
    "identical": ("identical",),
    "entities": ("entities",),
    "unprintable": ("unprintable",),
    "language": ("source_language", "target_language"),
    "shifted": ("shifted",),
}
"The findings that each word of `prep.drop` drops."


@dataclass(frozen=True)
class LineChecks:
    """What is looked for in raw lines, and what is done about it."""

    source: str
    "Source language code."
    target: str
    unescape: bool = False
    detector: str = ""
    "The version of py3langid that judges the languages; empty: they are not judged."
    max_word_length: int = 0
    min_alphabetic: float = 0.0
    drop: tuple[str, ...] = ()
    "Words of `DROPS`."
    held_out: tuple[tuple[str, str, str], ...] = ()
    "Files of valid's and test's raw lines, source and target, and the hash of both."

    @classmethod
    def of(cls, prep: PrepConfig, source: str, target: str) -> LineChecks:
        """From the options; `held_out` is known later."""
        return cls(
            source=source,
            target=target,
            unescape=prep.unescape_entities,
            detector=detector_version() if prep.detect_languages or "language" in prep.drop else "",
            max_word_length=prep.max_word_length,
            min_alphabetic=prep.min_alphabetic,
            drop=prep.drop,
        )

    @property
    def findings(self) -> dict[str, str]:
        """What can be found, for people, in the order in which pairs are dropped for it."""
        return {
            "held_out": "the pair stands in valid or test too",
            "held_out_source": "the source stands in valid or test too",
            "identical": "source and target are the same",
            "entities": "HTML or Moses entities",
            "unprintable": "characters that do not print",
            "long_word": f"a word of more than {self.max_word_length:,} characters",
            "alphabetic": f"less than {self.min_alphabetic:.0%} letters on a side",
            "source_language": f"the source is not in {self.source}",
            "target_language": f"the target is not in {self.target}",
            "shifted": "the sides are shifted against each other",
        }

    @property
    def reasons(self) -> dict[str, str]:
        """Those for which training pairs are dropped."""
        dropped = {reason for word in self.drop for reason in DROPS[word]}
        dropped |= {"long_word"} if self.max_word_length else set()
        dropped |= {"alphabetic"} if self.min_alphabetic else set()
        return {reason: words for reason, words in self.findings.items() if reason in dropped}

    def read(self, line: str) -> str:
        """A raw line as it is used."""
        return unescaped(line) if self.unescape else line


def held_out_files(folder: Path) -> tuple[tuple[str, str, str], ...]:
    """All validation sets and test of a prepared folder, as `LineChecks.held_out` has them."""
    ending = raw_file("", "source")
    splits = sorted(path.name.removesuffix(ending) for path in folder.glob(f"*{ending}"))
    pairs = ([folder / raw_file(split, side) for side in SIDES] for split in splits)
    return tuple((str(a), str(b), sha256_of(a) + sha256_of(b)) for a, b in pairs)


class Inspector:
    """Looks at pairs. Made once in each process that works on shards."""

    def __init__(self, checks: LineChecks) -> None:
        self.checks = checks
        self._held_out: dict[str, set[str]] = {}
        for source, target, _ in checks.held_out:
            for one, other in zip(map(_bare, read_lines(source)), map(_bare, read_lines(target)), strict=True):
                if one:
                    self._held_out.setdefault(one, set()).add(other)
        languages = (checks.source, checks.target)
        self._detectors = [LineDetector.of(code, checks.detector) if checks.detector else None for code in languages]

    def look(self, source: list[str], target: list[str], train: bool) -> dict[str, list[bool]]:
        """For each finding, which of the pairs it holds of. Lines are read, in place.

        train: whether they are training pairs.
        """
        found = {"entities": _either(has_entity, source, target)}
        if self.checks.unescape:
            source[:], target[:] = map(unescaped, source), map(unescaped, target)
        both = zip(source, target, strict=True)
        found["identical"] = [one == other and one != "" and not one.isspace() for one, other in both]
        found["unprintable"] = _either(_unprintable, source, target)
        if train:
            found |= dict(self._of_training(source, target))
        for side, lines, detector in zip(SIDES, (source, target), self._detectors, strict=True):
            if detector is not None:
                found[f"{side}_language"] = list(map(detector.differs, lines))
        return found

    def _of_training(self, source: Sequence[str], target: Sequence[str]) -> Iterator[tuple[str, list[bool]]]:
        keys = list(map(_bare, source))
        known = list(map(self._held_out.__contains__, keys))
        yield "held_out_source", known
        yield (
            "held_out",
            [there and _bare(target[row]) in self._held_out[keys[row]] for row, there in enumerate(known)],
        )
        longest, share = self.checks.max_word_length, self.checks.min_alphabetic
        if longest:
            yield "long_word", _either(lambda line: max(map(len, line.split()), default=0) > longest, source, target)
        if share:
            yield "alphabetic", _either(lambda line: alphabetic_share(line) < share, source, target)

    def marks(self, found: dict[str, list[bool]]) -> np.ndarray:
        """[pairs] uint8: 0 for pairs that stay, else the number of the first reason to drop them, from 1."""
        marks = np.zeros(len(found["identical"]), dtype=np.uint8)
        for number, reason in enumerate(self.checks.reasons, 1):
            if reason in found:
                marks[(marks == 0) & np.array(found[reason])] = number
        return marks


@lru_cache(maxsize=1)
def inspector(checks: LineChecks) -> Inspector:
    """Made once in each process that works on shards."""
    return Inspector(checks)


def alphabetic_share(line: str) -> float:
    """Share of letters and the marks on them among a line's characters that are no white space; 1 where it has none."""
    characters = "".join(line.split())
    letters = sum(character.isalpha() or unicodedata.category(character)[0] == "M" for character in characters)
    return letters / len(characters) if characters else 1.0


def _bare(line: str) -> str:
    return line.replace(" ", "")


def _unprintable(line: str) -> bool:
    return (not line.isprintable() or "\ufffd" in line) and UNPRINTABLE.search(line) is not None


def _either(test: Callable[[str], bool], source: Sequence[str], target: Sequence[str]) -> list[bool]:
    return [test(one) or test(other) for one, other in zip(source, target, strict=True)]


def detector_of(checks: LineChecks) -> dict[str, Any]:
    """The manifest's word on who judged the languages, and which were unknown to it; empty: no one did."""
    if not checks.detector:
        return {}
    unknown = [code for code in (checks.source, checks.target) if LineDetector.of(code, checks.detector) is None]
    return {"name": "py3langid", "version": checks.detector, "unknown": unknown}
