"""The six sizes of Table 8, counted from models built without storage at Table 1's vocabulary sizes."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from nmt.config import ModelConfig
from nmt.folder.ledger import matrix_lines, size_of
from nmt.models.build import build_empty
from nmt.reproduce import paper
from nmt.tying import Tying

MODEL = ModelConfig(architecture="rnn", embedding_size=paper.EMBEDDING_SIZE, hidden_size=paper.HIDDEN_SIZE, dropout=0.0)


def table_8_sizes() -> list[dict[str, Any]]:
    """A row for each pair and mode: rows of the vocabulary, parameters, ratio to untied, what the paper printed."""
    rows = []
    for pair, printed in paper.TABLE_8.items():
        sizes = paper.TABLE_1[pair].sizes
        counts = {
            mode: size_of(build_empty(dataclasses.replace(MODEL, tying=mode.value), sizes, torch.device("meta")))
            for mode in Tying
        }
        for mode, size in counts.items():
            rows.append(
                {
                    "pair": pair,
                    "tying": mode.value,
                    "vocabulary": dataclasses.asdict(sizes),
                    "embedding": size.embedding,
                    "other": size.other,
                    "total": size.total,
                    "of_untied": size.total / counts[Tying.UNTIED].total,
                    "paper_millions": printed[mode].millions,
                }
            )
    return rows


def sizes_text() -> str:
    """The table for people, and below it the ledger of where every parameter of each model is."""
    lines = [
        f"Table 8's models (E = {paper.EMBEDDING_SIZE}, H = {paper.HIDDEN_SIZE}) at Table 1's vocabulary sizes, "
        "counted from built models:",
        f"  {'pair':<6} {'tying':<10} {'embedding':>12} {'other':>12} {'total':>12}  {'millions':>8} {'paper':>6} "
        f"{'of untied':>10}",
    ]
    for row in table_8_sizes():
        lines.append(
            f"  {row['pair']:<6} {row['tying']:<10} {row['embedding']:>12,} {row['other']:>12,} {row['total']:>12,}  "
            f"{row['total'] / 1e6:>8.1f} {row['paper_millions']:>6} {100 * row['of_untied']:>9.1f}%"
        )
    lines += [
        "Table 1 prints its counts in thousands, so that a built model can differ from the paper's by about a million.",
        "Where the parameters are (= NAME: the same storage, counted once):",
    ]
    for pair, row_1 in paper.TABLE_1.items():
        for mode in Tying:
            model = build_empty(dataclasses.replace(MODEL, tying=mode.value), row_1.sizes, torch.device("meta"))
            lines += [f"{pair} {mode.value}:", *matrix_lines(model)]
    return "\n".join(lines)
