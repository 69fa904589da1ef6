"""What the paper printed: Press & Wolf (2017), Tables 1, 2, 4 and 8."""

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
class Table2Row:
    """Spearman's rho of one benchmark for word2vec's rows: of the untied model's two matrices, and of the tied one."""

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
    "SimLex-999": Table2Row(input=0.30, output=0.29, tied=0.17),
    "Verb-143": Table2Row(input=0.41, output=0.34, tied=0.12),
    "MEN": Table2Row(input=0.66, output=0.61, tied=0.50),
    "Rare Words": Table2Row(input=0.34, output=0.34, tied=0.23),
    "MTurk-771": Table2Row(input=0.59, output=0.54, tied=0.37),
}
"By benchmark. Skip-gram with negative sampling on text8."

TABLE_4_WORD2VEC = {("input", "output"): 0.77, ("input", "tied"): 0.19, ("output", "tied"): 0.39}
"Spearman's rho of the similarities of all pairs of words, for two matrices."
