"""What Table 1 of a corpus says, in words, by rules that are stated with it: which vocabulary, and does tying pay?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nmt.reproduce.table1 import COVERED, RARE, Row, Table1
from nmt.tying import Tying

ENOUGH, FEWEST = 100, RARE
"Examples a piece should have, and the fewest it may have."
LITTLE_OVERLAP = 0.5
"Sides whose letters share less than this are said to be written in different scripts."

RULES = (
    f"Vocabulary: the largest number of merges in the table at which {COVERED:.0%} of the pieces occur at least "
    f"{ENOUGH} times (Gowda & May, 2020, 'Finding the Optimal Vocabulary Size for Neural Machine Translation'). They "
    "count a decoder's own classes; here a piece is counted on both sides, since a three-way row learns from both, and "
    "single characters, which every number of merges keeps, are left out. "
    f"The upper end asks for {FEWEST} times: our choice, not theirs.",
    "Tying: three-way tying pays where the share of parameters that it saves in comparison with decoder tying is "
    "larger than the share of arithmetic that it adds, since its output also scores the pieces that only the source "
    "has. Arithmetic a piece: one multiplication for every parameter outside the vocabulary matrices, one for every "
    "number of the output matrix. Of untied it always saves more than of decoder tying.",
    "These are counts and not translations: nmt-reproduce table8 measures what a mode does to BLEU.",
)
"How the reading comes about."


def vocabulary_range(rows: Sequence[Row]) -> tuple[int | None, int | None]:
    """The largest numbers of merges that leave COVERED of the pieces ENOUGH and FEWEST examples; None: not one does."""
    lower, upper = (
        max((row.merges for row in rows if row.common_to >= limit), default=None) for limit in (ENOUGH, FEWEST)
    )
    return lower, upper


def pays(row: Row) -> bool:
    """Whether three-way tying saves a larger share of a decoder-tied model's parameters than it adds arithmetic."""
    return row.saving(Tying.DECODER) / row.sizes[Tying.DECODER].total > row.more_work


def script_overlap(source: Mapping[str, float], target: Mapping[str, float]) -> float:
    """Share of the running letters that the scripts of two sides have in common, 0 to 1."""
    return sum(min(share, target.get(script, 0.0)) for script, share in source.items())


def reading(table: Table1) -> list[str]:
    """The reading, a sentence or two each."""
    lower, upper = vocabulary_range(table.rows)
    chosen = [row for row in table.rows if row.merges in (lower, upper)] or [table.rows[0]]
    return [*_scripts(table), _vocabulary(table, lower, upper), *(_savings(row) for row in chosen), _verdict(table)]


def _scripts(table: Table1) -> list[str]:
    source, target = table.source_scripts, table.target_scripts
    if not source or not target or script_overlap(source, target) >= LITTLE_OVERLAP:
        return []
    (first, first_share), (second, second_share) = next(iter(source.items())), next(iter(target.items()))
    return [
        f"The scripts differ: {table.files.source} is {first} ({first_share:.1%} of its letters), {table.files.target} "
        f"is {second} ({second_share:.1%}). What they share is mostly numbers, punctuation and foreign names."
    ]


def _vocabulary(table: Table1, lower: int | None, upper: int | None) -> str:
    least, most = table.rows[0].merges, table.rows[-1].merges
    if upper is None:
        return f"Vocabulary: fewer than {least:,} merges. Already there, {_rare(table.rows[0])}"
    start = f"fewer than {least:,}" if lower is None else f"{lower:,}"
    if lower == upper:
        text = f"Vocabulary: {upper:,} merges."
    else:
        text = f"Vocabulary: {start} merges by the rule of {ENOUGH} examples, at most {upper:,} by that of {FEWEST}."
    if upper == most:
        more = "the text has no more" if table.exhausted else "more were not tried"
        return f"{text} ({upper:,} is the end of the table: {more}.)"
    after = next(row for row in table.rows if row.merges > upper)
    return f"{text} With {after.merges:,}, {_rare(after)}"


def _rare(row: Row) -> str:
    return f"{row.rare:,} of {row.overlap.union:,} pieces are seen fewer than {FEWEST} times."


def _savings(row: Row) -> str:
    sizes = row.sizes
    decoder, untied = row.saving(Tying.DECODER), row.saving(Tying.UNTIED)
    return (
        f"{row.merges:,} merges: three-way tying has {sizes[Tying.THREE_WAY].total / 1e6:.2f}M parameters, "
        f"{decoder / 1e6:.2f}M ({decoder / sizes[Tying.DECODER].total:.1%}) fewer than decoder tying and "
        f"{untied / 1e6:.2f}M ({untied / sizes[Tying.UNTIED].total:.1%}) fewer than untied. {row.source_shared:.1%} of "
        f"the source's pieces are shared, with {row.overlap.running_share:.1%} of the running text of both sides; its "
        f"output has {row.more_output:.1%} more rows, a piece costs {row.more_work:.1%} more arithmetic."
    )


def _verdict(table: Table1) -> str:
    paying = [row.merges for row in table.rows if pays(row)]
    if len(paying) == len(table.rows):
        return "Three-way tying pays at every number of merges in the table."
    if not paying:
        return "Three-way tying pays at no number of merges in the table: decoder tying is the better bargain."
    if paying[-1] == table.rows[len(paying) - 1].merges:
        return f"Three-way tying pays up to {paying[-1]:,} merges; with more, decoder tying is the better bargain."
    numbers = ", ".join(f"{merges:,}" for merges in paying)
    return f"Three-way tying pays with {numbers} merges; with the others decoder tying is the better bargain."
