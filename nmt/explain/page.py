"""One HTML page for some translations; it needs no other file, no script and no network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from bpe.fallback import FALLBACK_PIECES, spelt_out
from bpe.segmenter import SEPARATOR, desegment
from bpe.textfiles import write_text
from nmt.explain.explained import DOUBTS, END, Explained, Written, doubt
from nmt.explain.markup import clipped, document, escaped, percent, piece_label
from nmt.explain.matrix import LEAST, matrix, shade
from nmt.explain.style import STYLE
from nmt.text.languages import read_tag
from nmt.text.pipeline import SENTENCEPIECE_BYTES
from nmt.text.reversible import JOINER
from nmt.text.vocabulary import SPECIAL_NAMES, UNK
from nmt.translate.alignment import SPACE, pharaoh, word_attention, words_of_pieces

SHOWN_SOURCES, LEAST_SHOWN = 3, 0.1
"Source pieces named beside a piece: so many at most, and only those with such a weight."
LEAST_LIKELY = 0.01
"Runners-up of a lower probability are left out: a piece that stands alone is one the model was sure of."


def write_page(
    path: Path | str, entries: Sequence[Explained], title: str, *, source: str = "", target: str = ""
) -> None:
    """Write `page` as a file, whole or not at all."""
    write_text(path, page(entries, title, source=source, target=target))


def page(entries: Sequence[Explained], title: str, *, source: str = "", target: str = "") -> str:
    """The page as HTML. title: plain text. source, target: language codes, which help screen readers and fonts."""
    sections = [_section(entry, number, source, target) for number, entry in enumerate(entries, 1)]
    overview = [_overview(entries, source)] if len(entries) > 1 else []
    return document(title, STYLE, "\n".join([_legend(entries), *overview, *sections]))


def _legend(entries: Sequence[Explained]) -> str:
    doubts = " ".join(f'<span class="{_classes(level)}">{name}</span>' for level, name in enumerate(DOUBTS.values()))
    swatches = " ".join(
        f'<span class="swatch a{shade(weight)}">{100 * weight:.0f}</span>' for weight in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    items = [
        f"A piece is marked by the probability that the model gave it, after those before it: {doubts}.",
        f"Attention is how much of its look at the source each piece took from where, in per cent: {swatches}. Blank "
        f"is under {100 * LEAST:.0f}; the largest is bold.",
        f"Also likely: what else the model could have written there, down to {100 * LEAST_LIKELY:.0f}%; in bold what "
        "it found likelier than what it wrote: a search looks at more than one piece.",
        f"{piece_label(END)} is the end of a sentence, {piece_label(SPECIAL_NAMES[UNK])} a piece that the model does "
        "not know. A source piece that it does not know looks like that too.",
    ]
    pieces = {piece for entry in entries for piece in (*entry.source_pieces, *entry.pieces)}
    if any(piece.endswith(SEPARATOR) for piece in pieces):
        items.append(f"A piece that ends in {SEPARATOR} is the beginning of a word, or a middle part.")
    if any(piece.removesuffix(SEPARATOR)[:1] == JOINER or piece[-1:] == JOINER for piece in pieces):
        items.append(f"{JOINER} stands where no space is between a word and the next.")
    if not pieces.isdisjoint(FALLBACK_PIECES.union(SENTENCEPIECE_BYTES)):
        items.append("Characters that have no piece are spelt in bytes: &lt;0xC5&gt; and the like.")
    if any(piece.startswith(SPACE) for piece in pieces):
        items.append(f"A piece that begins with {SPACE} is the beginning of a word.")
    return (
        "<details open><summary>How to read this</summary>\n<ul>"
        + "".join(f"<li>{item}</li>\n" for item in items)
        + "</ul></details>"
    )


def _overview(entries: Sequence[Explained], source: str) -> str:
    """A row for each sentence, with a link to it."""
    rows = []
    for number, entry in enumerate(entries, 1):
        steps = [step for step in entry.written() if step.taken]
        least = min(steps, key=lambda step: step.log_prob) if steps else None
        doubt = f"{piece_label(least.piece)}{_share(least.probability)}" if least else ""
        text = escaped(clipped(entry.source.strip(), 60)) or '<span class="blank">blank line</span>'
        mean = escaped(percent(entry.mean_probability)) if steps else ""
        rows.append(
            f'<tr><td><a href="#s{number}">{number}</a></td><td dir="auto"{_lang(source)}>{text}</td>'
            f"<td>{mean}</td><td>{doubt}</td></tr>\n"
        )
    heads = ('<abbr title="number">#</abbr>', "source", "mean probability", "least sure of")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f'<table class="all"><thead><tr>{head}</tr></thead>\n<tbody>\n{"".join(rows)}</tbody></table>'


def _section(entry: Explained, number: int, source: str, target: str) -> str:
    parts = [f'<section id="s{number}"><h2>Sentence {number}</h2>', _texts(entry, source, target)]
    steps = list(entry.written())
    if steps:
        parts += [f'<p class="note">{escaped(_totals(entry))}</p>', '<div class="parts">']
        parts += [f'<div class="wide"><h3>Where it looked</h3>{table}</div>' for table in [matrix(entry)] if table]
        parts += [f"<div><h3>Piece by piece</h3>{_steps(entry, steps)}</div></div>"]
    parts += [_alternatives(entry, target), _alignment(entry)]
    return "\n".join(part for part in parts if part) + "</section>"


def _texts(entry: Explained, source: str, target: str) -> str:
    """Source, translation and its pieces."""
    blank = '<span class="blank">{}</span>'
    given = escaped(entry.source.strip()) or blank.format("blank line")
    text = escaped(entry.text.strip()) or blank.format("nothing")
    pieces = " ".join(_marked(step) for step in entry.written())
    return (
        f'<dl><dt>Source</dt><dd class="text" dir="auto"{_lang(source)}>{given}</dd>\n'
        f'<dt>Translation</dt><dd class="text" dir="auto"{_lang(target)}>{text}</dd>'
        + (f'\n<dt>Its pieces</dt><dd dir="auto"{_lang(target)}>{pieces}</dd>' if pieces else "")
        + "</dl>"
    )


def _marked(step: Written) -> str:
    if not step.taken:
        return ""
    classes, share = _classes(doubt(step.probability)), escaped(percent(step.probability))
    return f'<span class="{classes}" title="{share}">{piece_label(step.piece)}</span>'


def _classes(level: int) -> str:
    """Of a piece with a level of doubt."""
    return f"piece d{level}" if level else "piece"


def _totals(entry: Explained) -> str:
    end = "and the end" if entry.finished else "cut at the length limit"
    return (
        f"{len(entry.pieces):,} pieces {end}. Log-probability {entry.log_prob:.2f}, "
        f"score {entry.score:.3f}, mean probability of a piece {percent(entry.mean_probability)}."
    )


def _steps(entry: Explained, steps: Sequence[Written]) -> str:
    """A row for each step: the piece, its probability, what it looked at, what else was likely."""
    looked = any(step.weights for step in steps)
    runners = any(step.runners_up for step in steps)
    heads = ["piece", "probability", *["looked at"] * looked, *["also likely"] * runners]
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = []
    for step in steps:
        cells = [f'<td class="bar" style="--p:{100 * step.probability:.0f}%">{escaped(percent(step.probability))}</td>']
        cells += [f"<td>{_sources(entry, step)}</td>"] * looked + [f"<td>{_runners_up(step)}</td>"] * runners
        note = "" if step.taken else ", not written"
        kind = "" if step.taken else ' class="not"'
        rows.append(f'<tr{kind}><th scope="row">{piece_label(step.piece)}{note}</th>{"".join(cells)}</tr>\n')
    return f'<table class="steps"><thead><tr>{head}</tr></thead>\n<tbody>\n{"".join(rows)}</tbody></table>'


def _sources(entry: Explained, step: Written) -> str:
    """The source pieces that a piece looked at most."""
    order = sorted(range(len(step.weights)), key=lambda index: -step.weights[index])[:SHOWN_SOURCES]
    columns = [*entry.source_pieces, END]
    return _listed(
        [
            f"{piece_label(columns[index], unknown=index in entry.unknown)}{_share(step.weights[index])}"
            for index in order
            if index == order[0] or step.weights[index] >= LEAST_SHOWN
        ]
    )


def _runners_up(step: Written) -> str:
    """The likeliest pieces beside the one that was written."""
    shown = []
    for piece, log_prob in step.runners_up:
        probability = math.exp(log_prob)
        if piece != step.piece and probability >= LEAST_LIKELY:
            text = f"{piece_label(piece)}{_share(probability)}"
            shown.append(f"<b>{text}</b>" if step.taken and log_prob > step.log_prob else text)
    return _listed(shown)


def _listed(items: Sequence[str]) -> str:
    """Items of pieces and shares with commas between them, which stay with the shares."""
    return " ".join([*(item.replace("</i>", ",</i>") for item in items[:-1]), *items[-1:]])


def _share(share: float) -> str:
    """A share that stays on the line of the piece before it."""
    return f"&nbsp;<i>{escaped(percent(share))}</i>"


def _alternatives(entry: Explained, target: str) -> str:
    if not entry.alternatives:
        return ""
    items = "".join(
        f'<li><span dir="auto"{_lang(target)}>{escaped(text)}</span> <span class="note">{score:.3f}</span></li>\n'
        for text, score in entry.alternatives
    )
    return f'<h3>Other translations and their scores</h3>\n<ol start="2">{items}</ol>'


def _alignment(entry: Explained) -> str:
    """Target words with the source words they looked at most; folded away until it is asked for."""
    if entry.subwords is None or entry.attention is None or not entry.pieces:
        return ""
    source = [*_words(entry.source_pieces, entry.subwords), END]
    target = list(_words(entry.pieces, entry.subwords))
    table = word_attention(entry.source_pieces, entry.pieces, entry.attention, entry.subwords)
    pairs = " · ".join(
        f"{piece_label(word)} ← {piece_label(source[best])}"
        for word, best in zip(target, table.argmax(1).tolist(), strict=True)
    )
    line = pharaoh(entry.source_pieces, entry.pieces, entry.attention, entry.subwords)
    return f"<details><summary>Words aligned</summary><p>{pairs}</p><p><code>{line}</code></p></details>"


def _words(pieces: Sequence[str], subwords: str) -> Iterator[str]:
    """The words of pieces, to be read."""
    for _, group in groupby(range(len(pieces)), words_of_pieces(pieces, subwords).__getitem__):
        word = [pieces[index] for index in group]
        yield desegment(spelt_out(word)) if subwords == "bpe" else "".join(word).removeprefix(SPACE)


def _lang(code: str) -> str:
    return f' lang="{escaped(read_tag(code).name)}"' if code else ""
