"""The translation model: the section model."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from nmt.config.checks import choice, refuse, require, require_own_keys
from nmt.models.architectures import ARCHITECTURES, applies
from nmt.tying import ROLES, Tying

WAYS = (
    "output_rows",
    "input_scale",
    "output_scale",
    "learned_output_scale",
    "normalized_rows",
    "role_projections",
    "projection_rank",
)
"The keys of `nmt.layers.tying_ways`."


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network: architecture, tying mode and sizes. Defaults suit small data; configs/table8 has the paper's.

    A key that the architecture does not have (`nmt.models.architectures`) cannot be set.
    """

    architecture: str = "rnn"
    "rnn: the attention model of Press & Wolf's Table 8 (DL4MT's gru_cond). transformer: Vaswani et al. (2017)."
    tying: str = "three-way"
    "untied, decoder (target input = output) or three-way (source input = target input = output)."
    output_rows: str = "all"
    """three-way: all (every row of the table is a class) or target (pieces that only the source has are none, neither
    in the softmax nor in label smoothing; the table stays one)."""
    input_scale: float = 1.0
    "Input embeddings of both sides are multiplied by this; 0: by the square root of embedding_size."
    output_scale: float = 1.0
    "Scores without their bias are multiplied by this; 0: by one over the square root of embedding_size."
    learned_output_scale: bool = False
    "output_scale is a parameter, which starts at this value."
    normalized_rows: bool = False
    "Scores take rows of the output of unit length, times a learned scale that starts at the length they had."
    role_projections: tuple[str, ...] = ()
    "Roles (source, target, output) with a map of their own before their matrix, of E numbers to E, at first none."
    projection_rank: int = 0
    "Rank of what role_projections add to the identity; 0: each is a whole matrix."
    embedding_size: int = 256
    "Width E of all three vocabulary matrices. The readout projects to it, so it never restricts the hidden size."
    hidden_size: int = 512
    "rnn: width H of each GRU. Annotations of the bidirectional encoder are 2H wide."
    layers: int = 4
    "transformer: layers of the encoder."
    decoder_layers: int = 0
    "transformer: layers of the decoder; 0: as many. Fewer are faster in search, at little loss."
    width: int = 0
    "transformer: width D of the layers; 0: embedding_size. Otherwise projections lead from the one to the other."
    heads: int = 8
    "transformer: heads of each attention; they divide the width among them."
    decoder_heads: int = 0
    "transformer: heads of each attention of the decoder; 0: as many as the encoder's."
    feedforward_size: int = 1024
    "transformer: width inside the feed-forward."
    decoder_feedforward_size: int = 0
    "transformer: the same in the decoder; 0: as wide."
    norm: str = "pre"
    "transformer: pre (layer norm before each part, learns more steadily) or post (behind it, the paper's)."
    activation: str = "relu"
    "transformer: relu, gelu or swish, in the feed-forward."
    positions: str = "sinusoidal"
    "transformer: sinusoidal or learned."
    max_positions: int = 1024
    "transformer: how many positions are learned; later ones share the last."
    start: str = "zero"
    "transformer: what stands before the first target piece: a zero vector, or padding's row of the target input."
    scale_embeddings: bool = True
    "transformer: input embeddings are multiplied by the square root of their width."
    dropout: float = 0.3
    "rnn: on embeddings, annotations and readout (Table 8: 0). transformer: on inputs and on what each part adds."
    attention_dropout: float = 0.0
    "transformer: dropout of attention weights. Slower where it is not 0."
    feedforward_dropout: float = 0.0
    "transformer: dropout inside the feed-forward. Slower where it is not 0."
    attention_layer: int = 0
    "transformer: the decoder layer whose attention, the mean of its heads, aligns pieces, from 1; 0: the last."
    initialization: str = "scaled"
    """scaled: embeddings N(0, 1/E) (transformer: a quarter of that variance), other matrices Glorot normal.

    dl4mt: N(0, 0.01^2), but the RNN's recurrent matrices orthogonal.
    """

    def __post_init__(self) -> None:
        choice("model.architecture", self.architecture, ARCHITECTURES)
        require_own_keys(self, "model", ARCHITECTURES)
        choice("model.tying", self.tying, tuple(mode.value for mode in Tying))
        self._check_ways()
        require(self.embedding_size >= 1, "model.embedding_size", self.embedding_size, "1 or more")
        require(self.hidden_size >= 1, "model.hidden_size", self.hidden_size, "1 or more")
        for name in ("dropout", "attention_dropout", "feedforward_dropout"):
            require(0 <= getattr(self, name) < 1, f"model.{name}", getattr(self, name), "at least 0 and below 1")
        for name in ("layers", "heads", "feedforward_size", "max_positions"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "1 or more")
        for name in ("decoder_layers", "width", "decoder_heads", "decoder_feedforward_size"):
            require(getattr(self, name) >= 0, f"model.{name}", getattr(self, name), "0 or more")
        last, named = self.decoder_layers or self.layers, self.attention_layer
        require(0 <= named <= last, "model.attention_layer", named, f"0 to the decoder's layers ({last})")
        choice("model.norm", self.norm, ("pre", "post"))
        choice("model.activation", self.activation, ("relu", "gelu", "swish"))
        choice("model.positions", self.positions, ("sinusoidal", "learned"))
        choice("model.start", self.start, ("zero", "padding"))
        choice("model.initialization", self.initialization, ("dl4mt", "scaled"))

        if self.architecture == "transformer":
            width = self.width or self.embedding_size
            for name, heads in (("heads", self.heads), ("decoder_heads", self.decoder_heads or self.heads)):
                require(width % heads == 0, f"model.{name}", heads, f"a divisor of the width ({width})")

    def _check_ways(self) -> None:
        """The ways to tie (nmt.layers.tying_ways), and that they go together."""
        choice("model.output_rows", self.output_rows, ("all", "target"))
        if self.output_rows == "target" and self.tying != Tying.THREE_WAY.value:
            refuse("model.output_rows", self.output_rows, f"{self.tying} models score the target's rows alone already")
        for name in ("input_scale", "output_scale"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"model.{name}", value, "0 or more and finite")
        if self.input_scale == 0 and self.architecture == "transformer" and self.scale_embeddings:
            refuse("model.input_scale", 0, "model.scale_embeddings multiplies by the root already")
        if self.normalized_rows and (self.learned_output_scale or self.output_scale != 1):
            refuse("model.normalized_rows", True, "it has a scale of its own", "leave model.output_scale out")
        for role in self.role_projections:
            choice("model.role_projections", role, ROLES)
        if len(set(self.role_projections)) < len(self.role_projections):
            refuse("model.role_projections", ", ".join(self.role_projections), "a role is named twice")
        require(self.projection_rank >= 0, "model.projection_rank", self.projection_rank, "0 or more")
        if self.projection_rank and not self.role_projections:
            refuse("model.projection_rank", self.projection_rank, "no role has a projection (model.role_projections)")
        if self.projection_rank and 2 * self.projection_rank >= self.embedding_size:
            whole = "a whole matrix has no more parameters"
            refuse("model.projection_rank", self.projection_rank, whole, "set it to 0, or lower it")

    @property
    def union_source(self) -> bool:
        """Whether source ids are the union's, not those of the source view."""
        return Tying(self.tying).shares_source

    @property
    def union_target(self) -> bool:
        """Whether target ids are the union's, not those of the target view."""
        return self.union_source and self.output_rows == "all"

    def tied(self, mode: Tying) -> ModelConfig:
        """The same model in another mode; a key that is of three-way tying alone falls back to its default."""
        rows = self.output_rows if mode is Tying.THREE_WAY else "all"
        return dataclasses.replace(self, tying=mode.value, output_rows=rows)

    def sizes(self) -> dict[str, int]:
        """The keys that say how large the model is, with their values."""
        return {key: getattr(self, key) for key in ARCHITECTURES[self.architecture].sizes}

    def own_keys(self) -> tuple[str, ...]:
        """The keys that the architecture has."""
        return tuple(f.name for f in dataclasses.fields(self) if applies(f.name, self.architecture))
