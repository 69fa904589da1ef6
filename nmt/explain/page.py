"""One HTML page for some translations; it needs no other file, no script and no network.

What it shows is worked out here; `nmt/report/templates/explain.html` has its looks.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from bpe.fallback import FALLBACK_PIECES, spelt_out
from bpe.segmenter import SEPARATOR, desegment
from bpe.textfiles import write_text
from nmt.explain.explained import DOUBTS, END, Explained, Written, doubt
from nmt.explain.matrix import LEAST, LEVELS, AttentionMatrix, matrix, shade
from nmt.report.render import render
from nmt.report.shown import clipped, percent
from nmt.text.languages import read_tag
from nmt.text.pipeline import SENTENCEPIECE_BYTES
from nmt.text.reversible import JOINER
from nmt.text.vocabulary import SPECIAL_NAMES, UNK
from nmt.translate.alignment import SPACE, pharaoh, word_attention, words_of_pieces

SHOWN_SOURCES, LEAST_SHOWN = 3, 0.1
"Source pieces named beside a piece: so many at most, and only those with such a weight."
LEAST_LIKELY = 0.01
"Runners-up of a lower probability are left out: a piece that stands alone is one the model was sure of."
SPECIAL = {"<pad>": "padding", "<unk>": "a piece the model does not know", "</s>": "the end"}


def write_page(
    path: Path | str, entries: Sequence[Explained], title: str, *, source: str = "", target: str = ""
) -> None:
    """Write `page` as a file, whole or not at all."""
    write_text(path, page(entries, title, source=source, target=target))


def page(entries: Sequence[Explained], title: str, *, source: str = "", target: str = "") -> str:
    """The page as HTML. title: plain text. source, target: language codes, which help screen readers and fonts."""
    return render(
        "explain.html",
        title=title,
        source=_tag(source),
        target=_tag(target),
        sentences=[_sentence(entry) for entry in entries],
        spelling=_spelling({piece for entry in entries for piece in (*entry.source_pieces, *entry.pieces)}),
        doubts=[(name, _mark(level)) for level, name in enumerate(DOUBTS.values())],
        least_weight=LEAST,
        least_likely=LEAST_LIKELY,
        levels=LEVELS,
        end=END,
        unknown_piece=SPECIAL_NAMES[UNK],
        special=special_name,
        label=piece_label,
        shade=shade,
    )


def piece_label(piece: str) -> str:
    """A piece as a label: not too long, and a mark on something that it can stand on."""
    return clipped(f"◌{piece}" if unicodedata.category(piece[:1] or "x")[0] == "M" else piece)


def special_name(piece: str, unknown: bool = False) -> str:
    """What a special piece is, for people; nothing of others. unknown: the model read it as an unknown one."""
    return SPECIAL["<unk>"] if unknown else SPECIAL[piece] if piece in SPECIAL_NAMES else ""


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A row of the table of pieces."""

    piece: str
    probability: float
    doubt: str
    taken: bool
    sources: list[tuple[str, bool, float]]
    "What it looked at most: piece, whether it is unknown, weight."
    runners_up: list[tuple[str, float, bool]]
    "What else was likely: piece, probability, whether it was likelier."


@dataclass(frozen=True, kw_only=True)
class _Words:
    """Target words beside the source words they looked at most."""

    pairs: list[tuple[str, str]]
    pharaoh: str


@dataclass(frozen=True, kw_only=True)
class _Sentence:
    """What the page says of one translation."""

    source: str
    text: str
    steps: list[_Step]
    looked: bool
    runners: bool
    mean: float | None
    least: _Step | None
    totals: str
    matrix: AttentionMatrix | None
    alternatives: Sequence[tuple[str, float]]
    words: _Words | None


def _sentence(entry: Explained) -> _Sentence:
    written = list(entry.written())
    steps = [_step(entry, each) for each in written]
    taken = [step for step in steps if step.taken]
    return _Sentence(
        source=entry.source.strip(),
        text=entry.text.strip(),
        steps=steps,
        looked=any(each.weights for each in written),
        runners=any(each.runners_up for each in written),
        mean=entry.mean_probability if taken else None,
        least=min(taken, key=lambda step: step.probability) if taken else None,
        totals=_totals(entry),
        matrix=matrix(entry),
        alternatives=entry.alternatives,
        words=_aligned(entry),
    )


def _step(entry: Explained, step: Written) -> _Step:
    order = sorted(range(len(step.weights)), key=lambda index: -step.weights[index])[:SHOWN_SOURCES]
    columns = [*entry.source_pieces, END]
    likely = [
        (piece, math.exp(log_prob), step.taken and log_prob > step.log_prob) for piece, log_prob in step.runners_up
    ]
    return _Step(
        piece=step.piece,
        probability=step.probability,
        doubt=_mark(doubt(step.probability)),
        taken=step.taken,
        sources=[
            (columns[index], index in entry.unknown, step.weights[index])
            for index in order
            if index == order[0] or step.weights[index] >= LEAST_SHOWN
        ],
        runners_up=[each for each in likely if each[0] != step.piece and each[1] >= LEAST_LIKELY],
    )


def _mark(level: int) -> str:
    """The class of a piece with a level of doubt."""
    return f"d{level}" if level else ""


def _totals(entry: Explained) -> str:
    end = "and the end" if entry.finished else "cut at the length limit"
    return (
        f"{len(entry.pieces):,} pieces {end}. Log-probability {entry.log_prob:.2f}, "
        f"score {entry.score:.3f}, mean probability of a piece {percent(entry.mean_probability)}."
    )


def _spelling(pieces: set[str]) -> list[str]:
    """What the marks in these pieces mean."""
    lines = []
    if any(piece.endswith(SEPARATOR) for piece in pieces):
        lines.append(f"A piece that ends in {SEPARATOR} is the beginning of a word, or a middle part.")
    if any(piece.removesuffix(SEPARATOR)[:1] == JOINER or piece[-1:] == JOINER for piece in pieces):
        lines.append(f"{JOINER} stands where no space is between a word and the next.")
    if not pieces.isdisjoint(FALLBACK_PIECES.union(SENTENCEPIECE_BYTES)):
        lines.append("Characters that have no piece are spelt in bytes: <0xC5> and the like.")
    if any(piece.startswith(SPACE) for piece in pieces):
        lines.append(f"A piece that begins with {SPACE} is the beginning of a word.")
    return lines


def _aligned(entry: Explained) -> _Words | None:
    if entry.subwords is None or entry.attention is None or not entry.pieces:
        return None
    source = [*_words(entry.source_pieces, entry.subwords), END]
    target = list(_words(entry.pieces, entry.subwords))
    table = word_attention(entry.source_pieces, entry.pieces, entry.attention, entry.subwords)
    return _Words(
        pairs=[(word, source[best]) for word, best in zip(target, table.argmax(1).tolist(), strict=True)],
        pharaoh=pharaoh(entry.source_pieces, entry.pieces, entry.attention, entry.subwords),
    )


def _words(pieces: Sequence[str], subwords: str) -> Iterator[str]:
    """The words of pieces, to be read."""
    for _, group in groupby(range(len(pieces)), words_of_pieces(pieces, subwords).__getitem__):
        word = [pieces[index] for index in group]
        yield desegment(spelt_out(word)) if subwords == "bpe" else "".join(word).removeprefix(SPACE)


def _tag(code: str) -> str:
    return read_tag(code).name if code else ""
