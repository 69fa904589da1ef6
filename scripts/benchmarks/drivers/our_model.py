"""Our model of the sizes that a benchmark asks for."""

from __future__ import annotations

from typing import Any

from nmt.config import ModelConfig


def model_config(spec: dict[str, Any]) -> ModelConfig:
    """A Transformer where the specification has layers, else the RNN."""
    same = {"embedding_size": spec["embedding"], "dropout": spec.get("dropout", 0.0)}
    if "layers" not in spec:
        return ModelConfig(hidden_size=spec["hidden"], **same)
    sizes = {"layers": spec["layers"], "heads": spec["heads"], "feedforward_size": spec["feedforward"]}
    return ModelConfig(architecture="transformer", **sizes, **same)
