"""The sizes of Tables 5 and 6, counted from models built without storage: `--sizes`."""

from __future__ import annotations

from typing import Any

import torch

from nmt.config import LanguageConfig
from nmt.layers.tying import unique_parameters
from nmt.models.language_build import build_empty_language_model
from nmt.report.tables import text_table
from nmt.reproduce.language.paper import NUM_WORDS, LanguageTable
from nmt.reproduce.language.recipes import config_of


def num_parameters(config: LanguageConfig, num_words: int) -> int:
    """Each storage counted once."""
    model = build_empty_language_model(config, num_words, torch.device("meta"))
    return sum(parameter.numel() for parameter in unique_parameters(model).values())


def table_sizes(table: LanguageTable) -> list[dict[str, Any]]:
    """A row for each of the table's, at the paper's scale and vocabulary."""
    return [
        {
            "model": row.name,
            "tying": str(row.values["lm.tying"]),
            "parameters": num_parameters(config_of(row, "paper", {}).lm, NUM_WORDS),
            "paper": row.size,
        }
        for row in table.rows
    ]


def language_sizes_text(table: LanguageTable) -> str:
    """The table for people."""
    rows = [[row["model"], row["tying"], f"{row['parameters']:,}", row["paper"]] for row in table_sizes(table)]
    title = f"{table.title}; {NUM_WORDS:,} words, counted from built models, each storage once:"
    return f"{title}\n{text_table(['model', 'tying', 'parameters', 'paper'], rows, 'll')}"
