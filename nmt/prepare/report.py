"""What nmt-prep prints at the end: the manifest in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nmt.prepare.advice import matrix_rows
from nmt.prepare.findings import DROPS
from nmt.text.pipeline import SIDES
from nmt.tying import Tying

BAR_WIDTH = 40
BINS = 12
COVERED = 0.995
"The histogram's last bar takes the longest lines together, once this share of the lines is shown."


def summary(manifest: dict[str, Any], folder: Path, embedding_size: int) -> str:
    """The printed summary of a prepared folder. embedding_size: E, for the sizes of the vocabulary matrices."""
    pair = f"{manifest['source']}-{manifest['target']}"
    train = manifest["splits"]["train"]
    return "\n".join(
        [
            *_pairs(manifest),
            *_subwords(manifest, pair),
            *_words(manifest),
            *_sizes(manifest["vocabulary"], embedding_size),
            "Length in pieces of the training pairs (#: source, =: target):",
            *histogram(train["source_lengths"], train["target_lengths"]),
            *(f"Warning: {warning}" for warning in manifest.get("advice", {}).get("warnings", [])),
            f"Prepared {manifest['source']} -> {manifest['target']} in {folder}",
        ]
    )


def _pairs(manifest: dict[str, Any]) -> Iterator[str]:
    for name, split in manifest["splits"].items():
        text = f"{name}: {split['pairs']:,} pairs, {split['source_pieces']:,} + {split['target_pieces']:,} pieces"
        unknown = split["source_unknown"] + split["target_unknown"]
        if unknown:
            text += f", {unknown:,} of them unknown"
        spelt = split.get("source_bytes", 0) + split.get("target_bytes", 0)
        if spelt:
            text += f", {spelt:,} of them bytes"
        yield text
        for side in SIDES:
            if changed := split.get(f"{side}_changed"):
                share = changed / max(1, split["pairs_read"])
                yield f"  {manifest[side]}: {changed:,} lines ({share:.1%}) do not come back from their words"
        yield from _found(manifest, name)
        for reason, count in split["dropped"].items():
            if count:
                share = 100 * count / split["pairs_read"]
                yield f"  dropped {count:,} of {split['pairs_read']:,} ({share:.1f}%): {manifest['reasons'][reason]}"
        if left_out := manifest.get("units_left_out", {}).get(name):
            yield f"  left out {left_out:,} unit{'s' if left_out > 1 else ''} of TMX without both sides"
    for code in manifest.get("detector", {}).get("unknown", ()):
        yield f"{code}: py3langid does not know this language, so its lines were not judged"


def _found(manifest: Mapping[str, Any], name: str) -> Iterator[str]:
    """What was found in a split and did not drop the pairs. Folders of older versions have nothing of it."""
    split = manifest["splits"][name]
    drops = {finding: word for word, findings in DROPS.items() for finding in findings} if name == "train" else {}
    turned = manifest["options"].get("unescape_entities")
    for finding, words in manifest.get("findings", {}).items():
        count = split["found"].get(finding, 0)
        if count and finding not in split["dropped"]:
            more = f" (--drop {drops[finding]})" if finding in drops else ""
            if finding == "entities" and turned:
                more = ", turned into characters"
            yield f"  found {count:,} of {split['pairs_read']:,} ({count / split['pairs_read']:.1%}): {words}{more}"


def _subwords(manifest: dict[str, Any], pair: str) -> Iterator[str]:
    learned, overlap = manifest["subwords"], manifest["overlap"]
    got = f"{learned['learned']:,} {learned['unit']}"
    if learned["learned"] < learned["requested"]:
        got += f" of {learned['requested']:,} asked for (no pair is frequent enough any more)"
    words = f", {learned['words']:,} words" if learned["words"] else ""
    rare = f" ({learned['rare_characters']:,} rare, spelt in bytes)" if learned.get("rare_characters") else ""
    if like := manifest.get("like"):
        whose = f"those of the model of vocabulary {like['vocabulary'][:8]}"
        grown = manifest["vocabulary"].get("grown", 0)
        whose += f", grown by {grown:,} pieces" if like["extend"] else ""
        yield f"Subwords: {got}, {whose}; {learned['characters']:,} characters{rare}{words} in this text"
    else:
        yield f"Subwords: {got}, from {learned['characters']:,} characters{rare}{words}"
    if learned["words_too_long"]:
        yield f"  {learned['words_too_long']:,} words were too long to learn from"
    yield (
        f"Pieces ({pair}): {overlap['source_only']:,} only in source, {overlap['target_only']:,} only in target, "
        f"{overlap['both']:,} in both ({100 * overlap['running_share']:.1f}% of the running text)"
    )
    if numbers := manifest.get("numbers"):
        yield "  protected strings: " + ", ".join(f"{kind} 1 to {most}" for kind, most in numbers.items())
    seldom = manifest["vocabulary"]["rare"]
    yield "  rare: " + ", ".join(f"{count:,} occur {_at_most(int(limit))}" for limit, count in seldom.items())


def _words(manifest: dict[str, Any]) -> Iterator[str]:
    """Folders of older versions have no advice, those of sentencepiece none about words."""
    advice = manifest.get("advice", {})
    for side in SIDES if "words" in advice else ():
        words = advice["words"][side]
        running, types = (words[f"{name}_whole"] / max(1, words[name]) for name in ("running", "types"))
        yield (
            f"  {manifest[side]}: {running:.1%} of the running words are one piece ({words['types_whole']:,} of "
            f"{words['types']:,} words, {types:.1%}), {words['pieces_per_word']:.2f} pieces a word"
        )
    if "most_merges" in advice:
        most = [f"{least} times with up to {merges:,}" for least, merges in advice["most_merges"].items()]
        yield f"  merges: 95% of the pieces they make occur {', '.join(most)}"


def _at_most(limit: int) -> str:
    return "once" if limit == 1 else f"at most {limit} times"


def _sizes(vocabulary: dict[str, Any], embedding_size: int) -> Iterator[str]:
    union, source, target = vocabulary["size"], vocabulary["source_size"], vocabulary["target_size"]
    yield f"Vocabulary: {union:,} union, {source:,} source view, {target:,} target view"
    rows = matrix_rows(vocabulary)
    sizes = ", ".join(f"{mode.value} {count * embedding_size / 1e6:.1f}M" for mode, count in rows.items())
    yield f"  parameters of the vocabulary matrices at model.embedding_size={embedding_size}: {sizes}"
    saved = (
        f"{count - union:,} of {count:,} rows over {mode.value} ({1 - union / count:.1%})"
        for mode, count in rows.items()
        if mode is not Tying.THREE_WAY
    )
    yield f"  {Tying.THREE_WAY.value} saves {', '.join(saved)}"


def histogram(source: Sequence[int], target: Sequence[int]) -> list[str]:
    """Bars of two length counts (how many lines have 0, 1, 2 ... pieces), one pair of bars a range of lengths."""
    longest = max(len(source), len(target))
    joint = [_at(source, length) + _at(target, length) for length in range(longest)]
    total, seen, shown = sum(joint), 0, 0
    while shown < longest and seen < COVERED * total:
        seen += joint[shown]
        shown += 1
    width = max(1, -(-(shown - 1) // BINS))
    starts = list(range(1, max(2, shown), width))
    ends = [*(start - 1 for start in starts[1:]), longest - 1]
    if joint and joint[0]:
        starts, ends = [0, *starts], [0, *ends]
    labels = [str(start) if start >= end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]
    counts = [
        (sum(source[start : end + 1]), sum(target[start : end + 1])) for start, end in zip(starts, ends, strict=True)
    ]
    most = max(1, *(count for pair in counts for count in pair))
    rows = []
    for label, pair in zip(labels, counts, strict=True):
        for name, mark, count in zip((label, ""), "#=", pair, strict=True):
            rows.append(f"{name:>9} {mark * round(BAR_WIDTH * count / most):<{BAR_WIDTH}} {count:,}")
    return rows


def _at(counts: Sequence[int], length: int) -> int:
    return counts[length] if length < len(counts) else 0
