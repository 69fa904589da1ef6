"""The modes of weight tying (Press & Wolf, 2017, sections 3 and 4.3): which vocabulary matrices are one.

An attention translation model owns three vocabulary matrices: the source input embedding U_s, the target input
embedding U_t and the output embedding V, whose rows score the pieces. `nmt.layers.tying` holds them; this is what
preparation needs to know of it, too, which has no tensors. A model of one vocabulary alone, a language model or
word2vec's, has two matrices, held by `nmt.layers.tied_words`.
"""

from __future__ import annotations

import enum


class Tying(enum.Enum):
    """The three modes of the paper's Table 8."""

    UNTIED = "untied"
    "U_s, U_t and V are three matrices; sizes Cs, Ct, Ct."
    DECODER = "decoder"
    "U_t = V: one matrix for the decoder's input and output; sizes Cs, Ct."
    THREE_WAY = "three-way"
    "U_s = U_t = V: one matrix for everything, over the union vocabulary of a joint BPE."

    def shares(self, role: str) -> bool:
        """Whether a role (source, target, output) has its matrix with another."""
        return self is Tying.THREE_WAY or (self is Tying.DECODER and role != "source")

    @property
    def shares_source(self) -> bool:
        """Whether source and target ids index one matrix, so that both sides use the union vocabulary."""
        return self is Tying.THREE_WAY


ROLES = ("source", "target", "output")
"The roles of vocabulary matrices, as keys name them: source input, target input, output."


class WordTying(enum.Enum):
    """The two modes of a model of one vocabulary (the paper's section 3): input embedding U, output embedding V."""

    UNTIED = "untied"
    "U and V are two matrices of the vocabulary's size."
    TIED = "tied"
    "U = V: one matrix, whose gradient is the sum of both roles'."
