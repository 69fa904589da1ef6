"""The six models of Table 8 at Table 1's sizes."""

from __future__ import annotations

import pytest

from nmt.reproduce.sizes import sizes_text, table_8_sizes

COUNTED = [167.9, 121.9, 79.4, 164.9, 119.4, 79.4]
PRINTED = [168, 122, 80, 165, 119, 79]


def test_the_six_sizes_beside_the_papers() -> None:
    rows = table_8_sizes()
    assert [round(row["total"] / 1e6, 1) for row in rows] == COUNTED
    assert [row["paper_millions"] for row in rows] == PRINTED
    assert all(abs(row["total"] / 1e6 - row["paper_millions"]) < 1 for row in rows)


@pytest.mark.parametrize("row", table_8_sizes(), ids=lambda row: f"{row['pair']}-{row['tying']}")
def test_each_size_by_arithmetic(row: dict[str, object]) -> None:
    """E = 500, H = 1000: 32,268,501 parameters outside the vocabulary, and a bias for each target row."""
    rows = row["vocabulary"]
    assert isinstance(rows, dict)
    matrices = {
        "untied": rows["source"] + 2 * rows["target"],
        "decoder": rows["source"] + rows["target"],
        "three-way": rows["union"],
    }
    bias = rows["union"] if row["tying"] == "three-way" else rows["target"]
    assert row["other"] == 32_268_501
    assert row["total"] == 500 * matrices[str(row["tying"])] + bias + 32_268_501


def test_the_text_says_where_every_parameter_is() -> None:
    text = sizes_text()
    assert "three-way" in text
    assert "= embeddings.source_input" in text
    assert "decoder.attention.key_weight" in text
    assert text.count("embeddings.output_bias") == 6
