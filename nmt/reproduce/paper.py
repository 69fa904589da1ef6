"""What the paper printed: Press & Wolf (2017), Tables 1 to 4 and 8."""

from __future__ import annotations

from dataclasses import dataclass

from nmt.models.build import VocabularySizes
from nmt.tying import Tying

EMBEDDING_SIZE, HIDDEN_SIZE = 500, 1000
"E and H of Table 8's models (section 4.3)."
MERGES = 89_500


@dataclass(frozen=True, kw_only=True)
class Table1Row:
    """Pieces after a joint BPE with 89,500 merges, rounded to thousands as printed."""

    source_only: int
    target_only: int
    both: int

    @property
    def sizes(self) -> VocabularySizes:
        """Rows of the two views and of the union, without specials, which the paper does not count."""
        source, target = self.both + self.source_only, self.both + self.target_only
        return VocabularySizes(source, target, self.both + self.source_only + self.target_only)


@dataclass(frozen=True, kw_only=True)
class Table8Row:
    """A model of Table 8: parameters in millions, BLEU on the validation and the test set."""

    millions: int
    validation_bleu: float
    test_bleu: float


@dataclass(frozen=True, kw_only=True)
class RowFigures:
    """Spearman's rho of one benchmark for the rows of the untied model's two matrices, and of the tied model's one."""

    input: float
    output: float
    tied: float


TABLE_1 = {
    "en-fr": Table1Row(source_only=2_000, target_only=7_000, both=85_000),
    "en-de": Table1Row(source_only=3_000, target_only=11_000, both=80_000),
}
"By language pair, source first."

TABLE_8 = {
    "en-fr": {
        Tying.UNTIED: Table8Row(millions=168, validation_bleu=29.49, test_bleu=33.13),
        Tying.DECODER: Table8Row(millions=122, validation_bleu=29.47, test_bleu=33.26),
        Tying.THREE_WAY: Table8Row(millions=80, validation_bleu=29.43, test_bleu=33.46),
    },
    "en-de": {
        Tying.UNTIED: Table8Row(millions=165, validation_bleu=20.96, test_bleu=16.79),
        Tying.DECODER: Table8Row(millions=119, validation_bleu=21.09, test_bleu=16.54),
        Tying.THREE_WAY: Table8Row(millions=79, validation_bleu=21.02, test_bleu=17.15),
    },
}
"""By language pair and mode. EN-FR: WMT 2014 data as selected by Cho et al. (2014); EN-DE: WMT 2015. Validated on
newstest2013; tested on newstest2014 (EN-FR) and newstest2015 (EN-DE)."""

TABLE_2 = {
    "SimLex-999": RowFigures(input=0.30, output=0.29, tied=0.17),
    "Verb-143": RowFigures(input=0.41, output=0.34, tied=0.12),
    "MEN": RowFigures(input=0.66, output=0.61, tied=0.50),
    "Rare Words": RowFigures(input=0.34, output=0.34, tied=0.23),
    "MTurk-771": RowFigures(input=0.59, output=0.54, tied=0.37),
}
"By benchmark. Skip-gram with negative sampling on text8."

TABLE_3 = {
    "ptb": {
        "SimLex-999": RowFigures(input=0.02, output=0.13, tied=0.14),
        "Verb-143": RowFigures(input=0.12, output=0.37, tied=0.32),
        "MEN": RowFigures(input=0.11, output=0.21, tied=0.26),
        "Rare Words": RowFigures(input=0.28, output=0.38, tied=0.36),
        "MTurk-771": RowFigures(input=0.17, output=0.28, tied=0.30),
    },
    "text8": {
        "SimLex-999": RowFigures(input=0.17, output=0.27, tied=0.28),
        "Verb-143": RowFigures(input=0.20, output=0.35, tied=0.42),
        "MEN": RowFigures(input=0.26, output=0.50, tied=0.50),
        "Rare Words": RowFigures(input=0.14, output=0.15, tied=0.17),
        "MTurk-771": RowFigures(input=0.26, output=0.48, tied=0.45),
    },
}
"By text and benchmark. The small language model, untied and tied, without projection."

INPUT_OUTPUT, INPUT_TIED, OUTPUT_TIED = ("input", "output"), ("input", "tied"), ("output", "tied")
TABLE_4 = {
    "word2vec": {INPUT_OUTPUT: 0.77, INPUT_TIED: 0.19, OUTPUT_TIED: 0.39},
    "small": {INPUT_OUTPUT: 0.13, INPUT_TIED: 0.31, OUTPUT_TIED: 0.65},
    "large": {INPUT_OUTPUT: 0.16, INPUT_TIED: 0.45, OUTPUT_TIED: 0.77},
}
"""By model: Spearman's rho of the similarities of all pairs of words, for two matrices. word2vec on text8, the language
models on the Penn Treebank."""
