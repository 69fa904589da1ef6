"""What the numbers of a preparation say about its settings: words kept whole, how many merges the text bears, warnings.

Three rules warn, each with a source:

- Too many merges. Gowda and May (2020), "Finding the Optimal Vocabulary Size for Neural Machine Translation": the most
  merges with which 95% of the pieces occur 100 times or more. Small corpora often do with less, so the warning waits
  until more than 5% occur fewer than a tenth of that; the advice names both numbers.
- Two scripts. subword-nmt's README advises a joint BPE for languages that share an alphabet; elsewhere hardly a piece
  is in both vocabularies, and three-way tying has little to save.
- Unknown pieces. Good (1953): a text's share of pieces that occur once estimates the share of unseen ones in text like
  it. Validation or test text with several times as many is not like it. Where what is unknown is spelt in bytes, these
  count, and the training text's own are expected too.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from bpe.codes import END_OF_WORD, MergeTable
from bpe.fallback import FALLBACK_PIECES
from bpe.segmenter import SEPARATOR
from nmt.text.pipeline import SENTENCEPIECE_BYTES, SIDES, Side, TextPipeline
from nmt.tying import Tying

BYTES = FALLBACK_PIECES.union(SENTENCEPIECE_BYTES)
FEWEST, FREQUENT = 10, 100
"Occurrences below which there is a warning, and those that pieces should have (Gowda and May, 2020)."
RARE_SHARE = 0.05
"Share of the pieces that may have fewer."
SHARED_LETTERS = 0.25
"Sides that have less of their running letters in the same scripts are in different ones."
UNKNOWN_FACTOR, UNKNOWN_SHARE, UNKNOWN_FEWEST = 3.0, 0.001, 10
"Unknown pieces are many above so many times the estimate, so large a share of the text, and so many in all."


@dataclass(frozen=True)
class WholeWords:
    """How many of a side's words are one piece. running: every occurrence counted."""

    types: int
    types_whole: int
    running: int
    running_whole: int

    @classmethod
    def of(cls, words: Mapping[str, int], pipeline: TextPipeline, side: Side) -> WholeWords:
        """From the counts of words. Only a word that some merge spells is cut to see, which is quick."""
        assert isinstance(pipeline.subwords, MergeTable)
        spelt = {(first + second).removesuffix(END_OF_WORD) for first, second in pipeline.subwords.merges}
        whole = [
            count
            for word, count in words.items()
            if (len(word) == 1 or word in spelt) and len(pipeline.pieces_of_words([word], side)) == 1
        ]
        return cls(len(words), len(whole), sum(words.values()), sum(whole))


Pieces = Mapping[Side, Mapping[str, int]]
"How often each piece occurs on a side of the training pairs that were kept."


def advise(
    manifest: Mapping[str, Any], pieces: Pieces, merges: MergeTable | None, words: Mapping[Side, WholeWords]
) -> dict[str, Any]:
    """The manifest's last entry, from the others. merges, words: None and empty with sentencepiece.

    words: of each side, with its pieces a word. most_merges: with which 95% of the pieces occur so often (the key).
    three_way_saves: rows, compared with the other modes. shared_letters: 1 where both sides are in the same scripts,
    0 in different ones. warnings: sentences.
    """
    advice: dict[str, Any] = {}
    if merges is not None:
        advice["words"] = {
            side: asdict(whole) | {"pieces_per_word": pieces_per_word(pieces[side])} for side, whole in words.items()
        }
        joint = Counter(pieces["source"])
        joint.update(pieces["target"])
        advice["most_merges"] = {str(least): most_merges(merges, joint, least) for least in (FEWEST, FREQUENT)}
    rows = matrix_rows(manifest["vocabulary"])
    advice["three_way_saves"] = {
        mode.value: rows[mode] - rows[Tying.THREE_WAY] for mode in (Tying.UNTIED, Tying.DECODER)
    }
    scripts = {side: script_shares(pieces[side]) for side in SIDES}
    advice["shared_letters"] = shared_letters(scripts["source"], scripts["target"])
    advice["warnings"] = [
        *_too_many_merges(merges, advice),
        *_two_scripts(manifest, scripts, advice["shared_letters"]),
        *_many_unknown(manifest, pieces),
        *_nothing_protected(manifest),
        *_shifted(manifest),
    ]
    return advice


def _nothing_protected(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest.get("numbers") == {}:
        yield "--protect found nothing that both sides of a training pair have: no string is numbered, and all are text"


def matrix_rows(vocabulary: Mapping[str, Any]) -> dict[Tying, int]:
    """Rows of all vocabulary matrices together in each mode. vocabulary: the manifest's entry."""
    union, source, target = vocabulary["size"], vocabulary["source_size"], vocabulary["target_size"]
    return {Tying.UNTIED: source + 2 * target, Tying.DECODER: source + target, Tying.THREE_WAY: union}


def pieces_per_word(pieces: Mapping[str, int]) -> float:
    """Running pieces of a running word: every word has one piece that does not end in '@@'."""
    words = sum(count for piece, count in pieces.items() if not piece.endswith(SEPARATOR))
    return sum(pieces.values()) / words if words else 0.0


def most_merges(merges: MergeTable, pieces: Mapping[str, int], occurrences: int) -> int:
    """With how many of the merges at most 5% of the merged pieces occur fewer than `occurrences` times; 0: with none.

    pieces: how often each occurs in a text that was cut with all merges. The last merge is undone, then the one before
    it, and so on: each occurrence of its symbol becomes one of both its parts. That gives the counts of a text cut with
    fewer merges, but for symbols that two merges spell, which become the parts of the later one. Characters are not
    counted, since no number of merges makes them more frequent, nor are symbols that no longer occur.
    """
    symbols = Counter(
        {
            piece.removesuffix(SEPARATOR) if piece.endswith(SEPARATOR) else piece + END_OF_WORD: count
            for piece, count in pieces.items()
        }
    )
    merged = {first + second for first, second in merges.merges}
    present = {symbol for symbol in merged if symbols[symbol]}
    rare = {symbol for symbol in present if symbols[symbol] < occurrences}
    for number in range(len(merges), 0, -1):
        if len(rare) <= RARE_SHARE * len(present):
            return number
        parts = merges.merges[number - 1]
        symbol = parts[0] + parts[1]
        count = symbols.pop(symbol, 0)
        present.discard(symbol)
        rare.discard(symbol)
        for part in parts if count else ():
            symbols[part] += count
            if part in merged:
                present.add(part)
                (rare.add if symbols[part] < occurrences else rare.discard)(part)
    return 0


@cache
def _script(letter: str) -> str:
    """The first word of a letter's Unicode name: LATIN, CYRILLIC, CJK; '' for what is no letter."""
    return unicodedata.name(letter, "").split(" ")[0] if letter.isalpha() else ""


def script_shares(pieces: Mapping[str, int]) -> dict[str, float]:
    """Share of the running letters in each script, the largest first. Bytes are none."""
    scripts: Counter[str] = Counter()
    for piece, count in pieces.items():
        for letter in "" if piece in BYTES else piece:
            scripts[_script(letter)] += count
    del scripts[""]
    return {script: count / scripts.total() for script, count in scripts.most_common()}


def shared_letters(source: Mapping[str, float], target: Mapping[str, float]) -> float:
    """What two distributions over scripts have in common, 0 to 1; 1 where a side has no letters."""
    if not source or not target:
        return 1.0
    return sum(min(share, target.get(script, 0.0)) for script, share in source.items())


def _too_many_merges(merges: MergeTable | None, advice: Mapping[str, Any]) -> Iterator[str]:
    if merges is None or advice["most_merges"][str(FEWEST)] == len(merges):
        return
    better = [
        f"with {most:,} merges {1 - RARE_SHARE:.0%} of them would occur {least} times"
        for least, most in advice["most_merges"].items()
        if most
    ]
    yield (
        f"{len(merges):,} merges are many for this text: over {RARE_SHARE:.0%} of the pieces they make occur fewer "
        f"than {FEWEST} times, too few to learn their embeddings well; "
        f"{', '.join(better) or 'it is too small for merges'} (--joint-bpe)"
    )


def _two_scripts(
    manifest: Mapping[str, Any], scripts: Mapping[Side, Mapping[str, float]], shared: float
) -> Iterator[str]:
    if shared >= SHARED_LETTERS:
        return
    main = [f"{manifest[side]} is mostly {_in_words(next(iter(scripts[side])))}" for side in SIDES]
    rows = matrix_rows(manifest["vocabulary"])
    saved = rows[Tying.DECODER] - rows[Tying.THREE_WAY]
    yield (
        f"the sides are in different scripts ({', '.join(main)}): three-way tying saves only {saved:,} of "
        f"{rows[Tying.DECODER]:,} rows ({saved / rows[Tying.DECODER]:.1%}) over tying in the decoder"
    )


def _in_words(script: str) -> str:
    return script if script == "CJK" else script.capitalize()


def _many_unknown(manifest: Mapping[str, Any], pieces: Pieces) -> Iterator[str]:
    for side in SIDES:
        once = sum(count == 1 for count in pieces[side].values())
        spelt = manifest["splits"]["train"].get(f"{side}_bytes", 0)
        expected = (once + spelt) / max(1, sum(pieces[side].values()))
        for name, split in manifest["splits"].items():
            unknown, total = split[f"{side}_unknown"] + split.get(f"{side}_bytes", 0), max(1, split[f"{side}_pieces"])
            many = unknown / total > max(UNKNOWN_SHARE, UNKNOWN_FACTOR * expected)
            if name != "train" and many and unknown >= UNKNOWN_FEWEST:
                yield (
                    f"{name}.{manifest[side]}: {unknown:,} of {total:,} pieces ({unknown / total:.2%}) are unknown or "
                    f"bytes, where the training text lets expect {expected:.2%}: is it in the same language, script "
                    "and encoding?"
                )


def _shifted(manifest: Mapping[str, Any]) -> Iterator[str]:
    for name, split in manifest["splits"].items():
        dropped = name == "train" and "shifted" in manifest["options"].get("drop", ())
        what = "they are left out" if dropped else "mend the files" + ", or --drop shifted" * (name == "train")
        for shift in split.get("shifts", ()):
            beside = f"n {'+' if shift['shift'] > 0 else '-'} {abs(shift['shift'])}"
            pairs = shift["last_line"] - shift["first_line"] + 1
            yield (
                f"{shift['source']} and {shift['target']} are shifted against each other from about line "
                f"{shift['first_line']:,} to {shift['last_line']:,} ({pairs:,} pairs): line n of the first fits line "
                f"{beside} of the second; {what}"
            )
