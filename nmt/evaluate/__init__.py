"""Scores of translations against references, and the text that is scored."""
