"""One vocabulary for both languages, and the two views of it that untied and decoder-tied models use.

The rows are ordered

    specials | in both | only in source | only in target

so that the source vocabulary is a prefix, and the target vocabulary the first two and the last of the four slices. Ids
on disk are always union ids; a model maps them with `SourceView.from_union` and `TargetView.from_union`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import write_text

PAD, UNK, EOS = 0, 1, 2
NUM_SPECIALS = 3
SPECIAL_NAMES = ("<pad>", "<unk>", "</s>")
"Names for people. No text can spell these rows: a corpus's own '</s>' is an ordinary piece, or unknown."

FORMAT, FORMAT_VERSION = "nmt-vocabulary", 1


@dataclass(frozen=True)
class SourceView:
    """The source vocabulary as a prefix of the union."""

    size: int
    "Rows, specials included."

    def from_union(self, ids: np.ndarray) -> np.ndarray:
        """Union ids of any shape -> rows of the source matrix; pieces only the target has become UNK."""
        return np.where(ids < self.size, ids, UNK).astype(ids.dtype, copy=False)


@dataclass(frozen=True)
class TargetView:
    """The target vocabulary as the union without the pieces that only the source has.

    first: union id of the first source-only piece. gap: number of source-only pieces left out. size: rows, specials
    included.
    """

    first: int
    gap: int
    size: int

    def from_union(self, ids: np.ndarray) -> np.ndarray:
        """Union ids of any shape -> rows of the target matrix; pieces only the source has become UNK."""
        shifted = np.where(ids < self.first + self.gap, UNK, ids - self.gap)
        return np.where(ids < self.first, ids, shifted).astype(ids.dtype, copy=False)

    def to_union(self, ids: np.ndarray) -> np.ndarray:
        """Rows of the target matrix of any shape -> union ids."""
        return np.where(ids < self.first, ids, ids + self.gap).astype(ids.dtype, copy=False)

    def rows_in(self, other: TargetView) -> np.ndarray:
        """The row of another view of the same union for each of this one's, [size] int64."""
        return other.from_union(self.to_union(np.arange(self.size, dtype=np.int64)))


@dataclass(frozen=True)
class Vocabulary:
    """The union vocabulary. Each part holds distinct pieces, in the order of their rows."""

    both: tuple[str, ...]
    source_only: tuple[str, ...]
    target_only: tuple[str, ...]

    @classmethod
    def from_counts(
        cls,
        source: Mapping[str, int],
        target: Mapping[str, int],
        uncounted: tuple[Collection[str], Collection[str]] = ((), ()),
    ) -> Vocabulary:
        """The vocabulary of two piece counts; each part by falling joint frequency, then by piece.

        uncounted: pieces of source and target that have a row whatever their count.
        """

        def ordered(pieces: Iterable[str]) -> tuple[str, ...]:
            return tuple(sorted(pieces, key=lambda piece: (-source.get(piece, 0) - target.get(piece, 0), piece)))

        source_pieces = {piece for piece, count in source.items() if count > 0}.union(uncounted[0])
        target_pieces = {piece for piece, count in target.items() if count > 0}.union(uncounted[1])
        return cls(
            both=ordered(source_pieces & target_pieces),
            source_only=ordered(source_pieces - target_pieces),
            target_only=ordered(target_pieces - source_pieces),
        )

    def grown(
        self,
        source: Mapping[str, int],
        target: Mapping[str, int],
        uncounted: tuple[Collection[str], Collection[str]] = ((), ()),
    ) -> Vocabulary:
        """The vocabulary with the pieces of new text, whose counts these are; no piece is lost to a side.

        In each part the rows that were there come first, in their order, then those that are new to it, by falling
        joint frequency and by piece. A piece of one side that the other now has too moves to those in both. uncounted:
        pieces of source and target that have a row whatever their count.
        """
        new = Vocabulary.from_counts(source, target, uncounted)
        every = [set(self.side(side)).union(new.side(side)) for side in ("source", "target")]
        order = [*self.both, *self.source_only, *self.target_only]
        known = frozenset(order)

        def rank(piece: str) -> tuple[int, str]:
            return -source.get(piece, 0) - target.get(piece, 0), piece

        def part(pieces: set[str], before: tuple[str, ...]) -> tuple[str, ...]:
            new_here = pieces.difference(before)
            there = [piece for piece in before if piece in pieces]
            moved = [piece for piece in order if piece in new_here]
            return (*there, *moved, *sorted(pieces - known, key=rank))

        return Vocabulary(
            both=part(every[0] & every[1], self.both),
            source_only=part(every[0] - every[1], self.source_only),
            target_only=part(every[1] - every[0], self.target_only),
        )

    @property
    def size(self) -> int:
        """Rows of the union, specials included; the three-way model's number of rows."""
        return NUM_SPECIALS + len(self.both) + len(self.source_only) + len(self.target_only)

    @property
    def source_size(self) -> int:
        """Rows of the source view (Cs), specials included."""
        return NUM_SPECIALS + len(self.both) + len(self.source_only)

    @property
    def target_size(self) -> int:
        """Rows of the target view (Ct), specials included."""
        return NUM_SPECIALS + len(self.both) + len(self.target_only)

    def side(self, side: str) -> tuple[str, ...]:
        """The pieces of source or target, those in both first."""
        return self.both + (self.source_only if side == "source" else self.target_only)

    def source_view(self, shared: bool) -> SourceView:
        """How a model sees source ids. shared: its source matrix has the union's rows (three-way tying)."""
        return SourceView(self.size if shared else self.source_size)

    def target_view(self, shared: bool) -> TargetView:
        """How a model sees target ids. shared: its target matrices have the union's rows (three-way tying)."""
        if shared:
            return TargetView(first=self.size, gap=0, size=self.size)
        return TargetView(NUM_SPECIALS + len(self.both), len(self.source_only), self.target_size)

    def source_only_rows(self, view: TargetView) -> range:
        """The rows of a target view whose pieces only the source has; none where the view leaves those out."""
        first = NUM_SPECIALS + len(self.both)
        return range(first, first + len(self.source_only)) if view.gap == 0 else range(0)

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """Every row's piece, the specials under their names."""
        return SPECIAL_NAMES + self.both + self.source_only + self.target_only

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: row for row, piece in enumerate(self.pieces[NUM_SPECIALS:], NUM_SPECIALS)}

    def id_of(self, piece: str) -> int:
        """The union id of a piece of text; UNK where it is unknown. Never PAD or EOS."""
        return self._ids.get(piece, UNK)

    def piece_of(self, row: int) -> str:
        """The piece of a union id, or the name of a special."""
        return self.pieces[row]

    def encode(self, pieces: Iterable[str]) -> list[int]:
        """Union ids of pieces of text, without EOS."""
        ids = self._ids
        return [ids.get(piece, UNK) for piece in pieces]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Pieces of union ids; an unknown piece reads '<unk>', PAD and EOS are left out."""
        pieces = self.pieces
        return [pieces[row] for row in ids if row not in (PAD, EOS)]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the rows and their order, in hexadecimal."""
        parts = json.dumps([self.both, self.source_only, self.target_only], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(parts.encode("ascii")).hexdigest()

    def save(self, path: Path | str) -> None:
        """Write vocabulary.json atomically."""
        body = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "both": self.both,
            "source_only": self.source_only,
            "target_only": self.target_only,
        }
        write_text(path, json.dumps(body, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Vocabulary:
        """Read vocabulary.json; a missing, damaged or foreign file is a UserError."""
        body = _read_json(Path(path))
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise UserError("not a vocabulary that nmt-prep wrote", where=path, hint="check the path")
        if body.get("version") != FORMAT_VERSION:
            found = f"format version {body.get('version')!r}, but this program reads version {FORMAT_VERSION}"
            raise UserError(found, where=path, hint="run nmt-prep again, or install the version that wrote it")
        parts = [body.get(name) for name in ("both", "source_only", "target_only")]
        if not all(isinstance(part, list) and all(isinstance(piece, str) for piece in part) for part in parts):
            raise _damaged(path, "a part is missing or holds something other than text")
        vocabulary = cls(*(tuple(part) for part in parts if part is not None))
        if len(vocabulary._ids) != vocabulary.size - NUM_SPECIALS:
            raise _damaged(path, "a piece is listed twice")
        if body.get("fingerprint") != vocabulary.fingerprint:
            raise _damaged(path, "its rows are not those it was written with")
        return vocabulary


def _damaged(path: Path | str, why: str) -> UserError:
    return UserError(f"damaged vocabulary: {why}", where=path, hint="restore the file from where it was copied")


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", where=path, hint="check the path") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(path, f"not JSON ({error})") from None
