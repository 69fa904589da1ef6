"""What the paper printed of language models: Press & Wolf (2017), Tables 5 and 6, and what was trained for each row."""

from __future__ import annotations

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
    "Parameters as printed, in millions."
    perplexity: tuple[float, float, float]
    "As printed: train, valid, test."


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
LANGUAGE_TABLES: Mapping[str, LanguageTable] = {"table3": TABLE_3, "table5": TABLE_5, "table6": TABLE_6}
"By the names of the subcommands. Table 3's are for its rows: where no model of Table 6 is there, it trains its own."
