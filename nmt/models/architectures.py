"""The table of architectures: what each is called, what it is, and which keys of `model.` it alone has.

Configuration asks it before anything is built, so that nothing here loads torch; `nmt.models.table` has the networks
under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is known of an architecture without its network. Keys are those of the section `model`."""

    description: str
    "In a line, for people."
    keys: tuple[str, ...]
    "Those that not all architectures have."
    sizes: tuple[str, ...]
    "Those that say how large a model is, the width of its vocabulary matrices first."
    recipes: str
    "Folder below configs/ with its recipes for the three modes, by scale."

    def how_to_shrink(self) -> str:
        """The keys to lower where a model is too large, for people."""
        return " or ".join(f"model.{key}" for key in reversed(self.sizes))


ARCHITECTURES: Mapping[str, Architecture] = {
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


def owners(key: str) -> tuple[str, ...]:
    """The architectures that have a key of their own, () where all have it."""
    return tuple(name for name, architecture in ARCHITECTURES.items() if key in architecture.keys)


def applies(key: str, architecture: str) -> bool:
    """Whether a model of this architecture has the key."""
    return architecture in (owners(key) or ARCHITECTURES)
