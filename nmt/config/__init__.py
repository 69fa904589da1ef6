"""Every option with its default, once. The YAML sections, `--set` keys and flags all name these fields.

A section is a frozen dataclass; the string under a field is its documentation. Values are checked when a section is
made, so that a wrong one is reported before any work starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nmt.config.checks import choice, require
from nmt.config.language import LanguageConfig
from nmt.config.model import WAYS, ModelConfig
from nmt.config.places import PathsConfig, RuntimeConfig
from nmt.config.prep import DROPPED, PrepConfig
from nmt.config.search import SearchConfig
from nmt.config.serve import ServeConfig
from nmt.config.training import TrainingConfig
from nmt.config.word2vec import Word2VecConfig

__all__ = [
    "DROPPED",
    "WAYS",
    "Config",
    "LanguageConfig",
    "ModelConfig",
    "PathsConfig",
    "PrepConfig",
    "RuntimeConfig",
    "SearchConfig",
    "ServeConfig",
    "TrainingConfig",
    "Word2VecConfig",
    "choice",
    "require",
]


@dataclass(frozen=True, kw_only=True)
class Config:
    """All sections. `nmt.configfile` makes one from defaults, a YAML file, `--set` and flags, in that order."""

    paths: PathsConfig = field(default_factory=PathsConfig)
    prep: PrepConfig = field(default_factory=PrepConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    lm: LanguageConfig = field(default_factory=LanguageConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    word2vec: Word2VecConfig = field(default_factory=Word2VecConfig)
