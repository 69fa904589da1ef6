"""How a language model is trained where nothing else is asked for: the small model of Table 6 (Zaremba et al., 2014).

Each key's meaning stands in nmt/config/; what is not here has its default from there.
"""

from __future__ import annotations

from pathlib import Path

from nmt.configfile import Values

DEFAULTS: Values = {
    "training.precision": "float32",
    "training.optimizer": "sgd",
    "training.learning_rate": 1.0,
    "training.schedule": "epochs",
    "training.warmup_updates": 0,
    "training.clip_norm": 5.0,
    "training.label_smoothing": 0.0,
    "training.max_epochs": 13,
    "training.max_updates": 1_000_000_000,
    "training.validate_epochs": 1,
    "training.validation_metric": "cost",
    "training.patience": 0,
    "training.ema": 0.0,
}


def language_defaults(values: Values, folder: Path) -> Values:
    """DEFAULTS, as what stands below the user's words in a new run."""
    return DEFAULTS
