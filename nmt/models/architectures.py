"""The tables of architectures: what each is called, what it is, and which keys of its section it alone has.

The section is `model` for translation and `lm` for language models.

Configuration asks it before anything is built, so that nothing here loads torch; `nmt.models.table` has the networks
under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is known of an architecture without its network. Keys are those of its section."""

    description: str
    "In a line, for people."
    keys: tuple[str, ...]
    "Those that not all architectures have."
    sizes: tuple[str, ...]
    "Those that say how large a model is, the width of its vocabulary matrices first."
    recipes: str
    "Folder below configs/ with its recipes for the three modes, by scale."

    def how_to_shrink(self, section: str = "model") -> str:
        """The keys to lower where a model is too large, for people."""
        return " or ".join(f"{section}.{key}" for key in reversed(self.sizes))


Architectures = Mapping[str, Architecture]

ARCHITECTURES: Architectures = {
    "rnn": Architecture(
        description="the attention model of Press & Wolf's Table 8 (DL4MT's gru_cond)",
        keys=("hidden_size",),
        sizes=("embedding_size", "hidden_size"),
        recipes="table8",
    ),
    "transformer": Architecture(
        description="encoder and decoder of self-attention layers (Vaswani et al., 2017)",
        keys=(
            "layers",
            "decoder_layers",
            "width",
            "heads",
            "decoder_heads",
            "feedforward_size",
            "decoder_feedforward_size",
            "norm",
            "activation",
            "positions",
            "max_positions",
            "start",
            "scale_embeddings",
            "attention_dropout",
            "feedforward_dropout",
            "attention_layer",
        ),
        sizes=("embedding_size", "layers"),
        recipes="transformer",
    ),
}

"Those of translation."

LANGUAGE_ARCHITECTURES: Architectures = {
    "lstm": Architecture(
        description="layers of LSTM (Zaremba et al., 2014)",
        keys=("layers", "two_biases"),
        sizes=("embedding_size", "hidden_size", "layers"),
        recipes="language",
    ),
    "rhn": Architecture(
        description="a recurrent highway network (Zilly et al., 2016)",
        keys=("depth", "transform_bias"),
        sizes=("embedding_size", "hidden_size", "depth"),
        recipes="language",
    ),
}
"Those of language models."


def owners(key: str, table: Architectures = ARCHITECTURES) -> tuple[str, ...]:
    """The architectures that have a key of their own, () where all have it."""
    return tuple(name for name, architecture in table.items() if key in architecture.keys)


def applies(key: str, architecture: str, table: Architectures = ARCHITECTURES) -> bool:
    """Whether a model of this architecture has the key."""
    return architecture in (owners(key, table) or table)
