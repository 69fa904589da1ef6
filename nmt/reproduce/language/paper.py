"""What the paper printed of language models: Press & Wolf (2017), Tables 5 to 7, and what was trained for each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from nmt.configfile import Values

NUM_WORDS = 10_000
"Rows of the Penn Treebank's vocabulary, <eos> and <unk> among them."
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class LanguageRow:
    """A model of a table."""

    key: str
    "Of its folders."
    name: str
    "As printed."
    recipe: str
    "Of the paper's scale: configs/language/NAME.yaml."
    values: Values = field(default_factory=dict)
    "What it has on top of the recipe."
    best: bool = False
    "The best validation epoch is reported; otherwise the last."
    size: str
    "Parameters as printed, in millions; empty: none are."
    perplexity: tuple[float, float | None, float]
    "As printed: train, valid (None: not printed), test."


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the paper says of two rows: the first has the lower test perplexity."""

    lower: str
    higher: str
    text: str


@dataclass(frozen=True, kw_only=True)
class LanguageTable:
    """A table and what it is there to show."""

    title: str
    rows: tuple[LanguageRow, ...]
    claims: tuple[Claim, ...]
    train: str
    "How the paper's Train column was measured."
    splits: tuple[str, ...] = SPLITS
    "What it reports. Where valid is not among them, the test text stands in for it in training, and chooses nothing."

    def row(self, key: str) -> LanguageRow:
        """A row by its key."""
        return next(row for row in self.rows if row.key == key)


UNTIED, TIED, PROJECTED = {"lm.tying": "untied"}, {"lm.tying": "tied"}, {"lm.projection": True}
TABLE_5 = LanguageTable(
    title="Table 5: large models with dropout",
    rows=(
        LanguageRow(
            key="large", name="Large", recipe="large", values=UNTIED, size="66M", perplexity=(37.8, 82.2, 78.4)
        ),
        LanguageRow(
            key="large-wt", name="Large + WT", recipe="large", values=TIED, size="51M", perplexity=(48.5, 77.7, 74.3)
        ),
        LanguageRow(
            key="large-bd-wd",
            name="Large + BD + WD",
            recipe="large-bayesian",
            values={**UNTIED, "lm.weight_decay": 1e-7},
            size="66M",
            perplexity=(24.3, 78.1, 75.2),
        ),
        LanguageRow(
            key="large-bd-wt",
            name="Large + BD + WT",
            recipe="large-bayesian",
            values=TIED,
            size="51M",
            perplexity=(28.2, 75.8, 73.2),
        ),
        LanguageRow(
            key="rhn-bd",
            name="RHN + BD",
            recipe="rhn-bayesian",
            values={**UNTIED, "lm.depth": 8, "lm.embedding_size": 890},
            best=True,
            size="32M",
            perplexity=(67.4, 71.2, 68.5),
        ),
        LanguageRow(
            key="rhn-bd-wt",
            name="RHN + BD + WT",
            recipe="rhn-bayesian",
            values=TIED,
            best=True,
            size="24M",
            perplexity=(74.1, 68.1, 66.0),
        ),
    ),
    claims=(
        Claim(lower="large-wt", higher="large", text="tying improves the large model with Zaremba's dropout"),
        Claim(lower="large-bd-wt", higher="large-bd-wd", text="tying improves the large model with Bayesian dropout"),
        Claim(lower="rhn-bd-wt", higher="rhn-bd", text="tying improves the recurrent highway network"),
    ),
    train="the first two rows: a running mean with dropout; the others: after the epoch, without",
)
TABLE_6 = LanguageTable(
    title="Table 6: small models without dropout",
    rows=(
        LanguageRow(
            key="small", name="Small", recipe="small", values=UNTIED, size="4.65M", perplexity=(38.0, 120.7, 114.5)
        ),
        LanguageRow(
            key="small-wt",
            name="Small + WT",
            recipe="small",
            values=TIED,
            size="2.65M",
            perplexity=(36.4, 117.5, 112.4),
        ),
        LanguageRow(
            key="small-pr",
            name="Small + PR",
            recipe="small",
            values={**UNTIED, **PROJECTED},
            size="4.69M",
            perplexity=(50.8, 116.0, 111.7),
        ),
        LanguageRow(
            key="small-wt-pr",
            name="Small + WT + PR",
            recipe="small",
            values={**TIED, **PROJECTED},
            size="2.69M",
            perplexity=(53.5, 104.9, 100.9),
        ),
    ),
    claims=(
        Claim(lower="small-wt", higher="small", text="tying improves the small model"),
        Claim(lower="small-pr", higher="small", text="projection regularisation improves the small model"),
        Claim(lower="small-wt-pr", higher="small-wt", text="projection regularisation improves the tied small model"),
        Claim(lower="small-wt-pr", higher="small-pr", text="tying improves the small model with projection"),
        Claim(lower="small-wt-pr", higher="small", text="both together improve the small model"),
    ),
    train="a running mean over the last epoch",
)
SMALL_PAIR, LARGE_PAIR = ("small", "small-wt"), ("large", "large-wt")
"An untied model and the same one tied: what Tables 3 and 4 look at."
TABLE_3 = LanguageTable(
    title="Table 3: word similarity of a small model's rows",
    rows=tuple(TABLE_6.row(key) for key in SMALL_PAIR),
    claims=TABLE_6.claims[:1],
    train=TABLE_6.train,
)


@dataclass(frozen=True, kw_only=True)
class Table7Text:
    """A text of Table 7: small models on larger and smaller texts than the Penn Treebank."""

    name: str
    vocabulary: int = 0
    "Rows; 0: as many as there are words that are frequent enough."
    min_count: int = 1
    perplexity: Mapping[str, tuple[float, float | None, float]]
    "Row of Table 6 -> as printed: train, valid, test."

    def table(self) -> LanguageTable:
        """Table 6's models on this text; of its claims those that the paper's figures of this text bear out."""
        rows = tuple(dataclasses.replace(row, size="", perplexity=self.perplexity[row.key]) for row in TABLE_6.rows)
        tested = {row.key: row.perplexity[2] for row in rows}
        return LanguageTable(
            title=f"Table 7: small models on {self.name}",
            rows=rows,
            claims=tuple(claim for claim in TABLE_6.claims if tested[claim.lower] < tested[claim.higher]),
            train=TABLE_6.train,
            splits=tuple(s for s, n in zip(SPLITS, rows[0].perplexity, strict=True) if n is not None),
        )


TABLE_7 = {
    "text8": Table7Text(
        name="text8",
        min_count=11,
        perplexity={
            "small": (90.4, None, 195.3),
            "small-wt": (95.6, None, 187.1),
            "small-pr": (92.6, None, 199.0),
            "small-wt-pr": (95.3, None, 183.2),
        },
    ),
    "imdb": Table7Text(
        name="IMDB",
        vocabulary=30_000,
        perplexity={
            "small": (71.3, 94.1, 94.3),
            "small-wt": (75.4, 94.6, 94.8),
            "small-pr": (72.0, 94.0, 94.4),
            "small-wt-pr": (72.9, 91.2, 91.5),
        },
    ),
    "bbc": Table7Text(
        name="BBC",
        vocabulary=10_000,
        perplexity={
            "small": (28.6, 103.6, 110.8),
            "small-wt": (30.1, 99.4, 106.8),
            "small-pr": (42.5, 104.9, 108.7),
            "small-wt-pr": (45.7, 96.4, 98.9),
        },
    ),
}
"By text. text8: words that occur more than ten times; the others' most frequent words (Miyamoto and Cho, 2016)."


def table_7_name(text: str) -> str:
    """What a text's table is called among LANGUAGE_TABLES."""
    return f"table7-{text}"


LANGUAGE_TABLES: Mapping[str, LanguageTable] = {
    "table3": TABLE_3,
    "table5": TABLE_5,
    "table6": TABLE_6,
    **{table_7_name(text): found.table() for text, found in TABLE_7.items()},
}
"""By the names of the subcommands, Table 7's by text. Table 3's are for its rows: where no model of Table 6 is there,
it trains its own."""
