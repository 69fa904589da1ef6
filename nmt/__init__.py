"""Neural machine translation with tied word embeddings (Press & Wolf, 2017)."""

__version__ = "0.1.0"
