"""From model folders and settings to translations and scores."""

from nmt.translate.scorer import Scorer
from nmt.translate.translator import Translator

__all__ = ["Scorer", "Translator"]
