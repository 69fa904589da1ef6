"""The language model: the section lm."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from nmt.config.checks import choice, require, require_own_keys
from nmt.models.architectures import LANGUAGE_ARCHITECTURES, applies
from nmt.tying import WordTying


@dataclass(frozen=True, kw_only=True)
class LanguageConfig:
    """The network of a language model, and what keeps it from learning by heart. Defaults: the small model of Table 6.

    A key that the architecture does not have (`nmt.models.architectures`) cannot be set.
    """

    architecture: str = "lstm"
    "lstm: layers of LSTM (Zaremba et al., 2014). rhn: a recurrent highway network (Zilly et al., 2016)."
    tying: str = "tied"
    "untied, or tied: the input embedding is the output embedding (Press & Wolf, 2017, section 3)."
    embedding_size: int = 200
    "Width E of the vocabulary matrices."
    hidden_size: int = 0
    "Width H of the layers; 0: embedding_size. Another one needs lm.projection, which leads back to E."
    layers: int = 2
    "lstm: layers, each reading the one below."
    two_biases: bool = False
    "lstm: two biases for each gate, as torch.nn.LSTM and the paper's Lua code have; otherwise one."
    depth: int = 8
    "rhn: highway layers inside a step."
    projection: bool = False
    "Scores are (h P + b_P) V' + b with an H x E matrix P (Press & Wolf, 2017, section 3.2)."
    projection_penalty: float = 2 / 13
    """Projection regularisation: this times half of P's squared Frobenius norm joins the cost of a sequence.

    The paper's lambda, printed as 0.15; its code divides by 6.5. 0: none.
    """
    dropout: float = 0.0
    "Of the embeddings, between layers and before the scores, drawn anew for each number (Zaremba et al., 2014)."
    word_dropout: float = 0.0
    "Bayesian: how likely a word's embedding is left out (x of Gal and Ghahramani, 2016); of all masks see word_masks."
    input_dropout: float = 0.0
    "Bayesian: of what a layer reads (i), the same over the steps of an update; lstm: each gate has its own mask."
    hidden_dropout: float = 0.0
    "Bayesian: of the state that a layer's maps read (h), likewise; rhn: at every depth the same."
    output_dropout: float = 0.0
    "Bayesian: of what the scores are made of (o), likewise."
    word_masks: str = "token"
    "word: a dropped word is dropped at all its places in the steps of an update. token: each place, the paper's code."
    weight_decay: float = 0.0
    "After each update every weight shrinks by this share of itself, whatever the rate (WD in Table 5: 1e-7)."
    weight_penalty: float = 0.0
    "This times half of the sum of all squared weights joins the cost of an update (Zilly et al.'s code: 1e-7)."
    streams: int = 20
    "The text is read in this many streams side by side (the paper's batch)."
    unroll: int = 20
    "Words of each stream in an update: backpropagation goes back so far, and the state goes on."
    initialization: float = 0.1
    "Weights start uniformly between minus this and this."
    uniform_biases: bool = False
    "So do biases, as in the paper's Lua code; otherwise they start at zero."
    transform_bias: float = -2.0
    "rhn: where the biases of the transform gates start: below zero, so that a layer first carries its state."

    def __post_init__(self) -> None:
        choice("lm.architecture", self.architecture, LANGUAGE_ARCHITECTURES)
        require_own_keys(self, "lm", LANGUAGE_ARCHITECTURES)
        choice("lm.tying", self.tying, tuple(mode.value for mode in WordTying))
        choice("lm.word_masks", self.word_masks, ("token", "word"))
        for name in ("embedding_size", "layers", "depth", "streams", "unroll"):
            require(getattr(self, name) >= 1, f"lm.{name}", getattr(self, name), "1 or more")
        for name in ("hidden_size", "projection_penalty", "weight_decay", "weight_penalty", "initialization"):
            require(0 <= getattr(self, name) < math.inf, f"lm.{name}", getattr(self, name), "0 or more and finite")
        require(self.weight_decay < 1, "lm.weight_decay", self.weight_decay, "below 1")
        require(math.isfinite(self.transform_bias), "lm.transform_bias", self.transform_bias, "finite")
        bayesian = ("word_dropout", "input_dropout", "hidden_dropout", "output_dropout")
        for name in ("dropout", *bayesian):
            require(0 <= getattr(self, name) < 1, f"lm.{name}", getattr(self, name), "at least 0 and below 1")
        mixed = self.dropout > 0 and any(getattr(self, name) for name in bayesian)
        require(not mixed, "lm.dropout", self.dropout, "0 where dropout is Bayesian")
        fits = self.projection or self.hidden_size in (0, self.embedding_size)
        limit = f"lm.embedding_size ({self.embedding_size}) where lm.projection is false"
        require(fits, "lm.hidden_size", self.hidden_size, limit)

    def own_keys(self) -> tuple[str, ...]:
        """The keys that the architecture has."""
        names = (key.name for key in dataclasses.fields(self))
        return tuple(name for name in names if applies(name, self.architecture, LANGUAGE_ARCHITECTURES))
