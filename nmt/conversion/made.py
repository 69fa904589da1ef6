"""A model of another toolkit in our terms, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from nmt.config import Config
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Made:
    """What a model folder is written from."""

    config: Config
    vocabulary: Vocabulary
    text: TextPipeline
    weights: dict[str, Tensor]
    "By our canonical names, each storage once."
    files: tuple[Path, ...]
    "What it was read from, the weights first: their hashes go into the manifest."
