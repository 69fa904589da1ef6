"""nmt-score against the model's own steps, one piece at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nmt.cli import score
from nmt.models.interface import START
from nmt.text.vocabulary import EOS
from nmt.translate.scorer import Scorer
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
SOURCES = ["abc def.", "", "one two, three", "x"]
TARGETS = ["fed cba.", "a", "", "three two one abc"]


def by_steps(folder: Path, source: str, target: str) -> list[float]:
    """Log-probabilities of the pieces and of </s>, from the interface that search uses."""
    bundle = Scorer.load(folder, device="cpu").bundle
    encode, text = bundle.vocabulary.encode, bundle.text
    union = [
        np.array(encode(pieces), dtype=np.int64)
        for pieces in (text.pieces(source, "source"), text.pieces(target, "target"))
    ]
    source_ids = [*bundle.source_view.from_union(union[0]).tolist(), EOS]
    target_ids = [*bundle.target_view.from_union(union[1]).tolist(), EOS]
    found, previous = [], torch.tensor([[START]])
    with torch.inference_mode():
        memory = bundle.model.encode(torch.tensor([source_ids]), torch.tensor([len(source_ids)]))
        state = bundle.model.initial_state(memory)
        for piece in target_ids:
            step = bundle.model.step(memory, state, previous, bundle.model.output())
            found.append(float(step.log_probs[0, 0, piece]))
            state, previous = step.state, torch.tensor([[piece]])
    return found


@pytest.mark.parametrize("architecture", ["rnn", "transformer"])
@pytest.mark.parametrize("tying", ["untied", "decoder", "three-way"])
def test_scores_are_those_of_the_models_steps(
    tying: str, architecture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model_folder(tmp_path / "model", tying=tying, architecture=architecture)
    expected = [by_steps(folder, source, target) for source, target in zip(SOURCES, TARGETS, strict=True)]
    (tmp_path / "source").write_text("".join(line + "\n" for line in SOURCES))
    (tmp_path / "target").write_text("".join(line + "\n" for line in TARGETS))
    files = ["--source", str(tmp_path / "source"), "--target", str(tmp_path / "target")]
    assert score.main(["--model", str(folder), "--device", "cpu", "--threads", "1", *files]) == 0
    printed = [float(line) for line in capsys.readouterr().out.split()]
    assert printed == pytest.approx([math.fsum(values) for values in expected], abs=1e-4)
    assert score.main(["--model", str(folder), "--device", "cpu", "--threads", "1", "--json", *files]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.strip().split("\n")]
    for record, values in zip(records, expected, strict=True):
        assert record["pieces"] == pytest.approx(values, abs=1e-4)


def test_segmented_lines_score_like_their_raw_text(tmp_path: Path) -> None:
    scorer = Scorer.load(make_model_folder(tmp_path / "model"), device="cpu")
    pieces = [" ".join(scorer.bundle.text.pieces(line, "source")) for line in SOURCES]
    others = [" ".join(scorer.bundle.text.pieces(line, "target")) for line in TARGETS]
    assert scorer.score(pieces, others, segmented=True) == scorer.score(SOURCES, TARGETS)


def test_unequal_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_model_folder(tmp_path / "model")
    (tmp_path / "source").write_text("a\nb\nc\n")
    (tmp_path / "target").write_text("a\n")
    files = ["--source", str(tmp_path / "source"), "--target", str(tmp_path / "target")]
    assert score.main(["--model", str(folder), "--device", "cpu", *files]) == 2
    assert (
        f"{tmp_path / 'source'} has 3 lines but {tmp_path / 'target'} has 1; line n of one" in capsys.readouterr().err
    )


def test_n_best_lists_get_the_scores_of_their_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_model_folder(tmp_path / "model")
    (tmp_path / "source").write_text("".join(line + "\n" for line in SOURCES))
    listed = [(0, "fed cba."), (0, "a"), (3, "three two"), (1, "")]
    (tmp_path / "list").write_text("".join(f"{number} ||| {text} ||| -1.5\n" for number, text in listed))
    files = ["--source", str(tmp_path / "source"), "--n-best", str(tmp_path / "list")]
    assert score.main(["--model", str(folder), "--device", "cpu", "--threads", "1", *files]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    expected = Scorer.load(folder, device="cpu").score(
        [SOURCES[number] for number, _ in listed], [t for _, t in listed]
    )
    for line, (number, text), log_probs in zip(lines, listed, expected, strict=True):
        first, second, third = line.split(" ||| ")
        assert (int(first), second) == (number, text)
        assert float(third) == pytest.approx(math.fsum(log_probs), abs=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 ||| a ||| 1\n4 ||| b ||| 1\n", "list:2: translates line 4, counted from 0, but"),
        ("just text\n", "list:1: no line of an n-best list; write number ||| text ||| score"),
        ("-1 ||| a\n", "list:1: no line of an n-best list"),
    ],
)
def test_lists_that_do_not_fit_are_errors(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model_folder(tmp_path / "model")
    (tmp_path / "source").write_text("".join(line + "\n" for line in SOURCES))
    (tmp_path / "list").write_text(content)
    files = ["--source", str(tmp_path / "source"), "--n-best", str(tmp_path / "list")]
    assert score.main(["--model", str(folder), "--device", "cpu", "--threads", "1", *files]) == 2
    assert message in capsys.readouterr().err
