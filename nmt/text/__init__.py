"""Text: raw lines to pieces and back, the vocabulary, and languages as people name them. No tensors."""

from nmt.text.pipeline import TextPipeline

__all__ = ["TextPipeline"]
