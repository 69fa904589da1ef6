"""Skip-gram with negative sampling: its pairs, its gradient, its draws, and that it learns."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from bpe.errors import UserError
from nmt.config import Word2VecConfig
from nmt.word2vec import training
from nmt.word2vec.skipgram import SkipGram, ascent, new_model, step
from nmt.word2vec.training import pieces, train
from nmt.word2vec.vectors import read_vectors, write_vectors
from nmt.word2vec.windows import BLOCK, Blocks, draw_blocks, keep_probabilities, noise_distribution
from nmt.word2vec.words import WordText

Pairs = list[tuple[int, int, tuple[int, ...]]]


def pairs_of(blocks: Blocks) -> Pairs:
    """(context word, word in the middle, noise words), spelt out of a block by its targets and its 0/1 weights."""
    found = []
    for contexts, targets, weights in zip(blocks.contexts, blocks.targets, blocks.weights, strict=True):
        noise = tuple(targets[BLOCK:].tolist())
        for place, word in enumerate(contexts.tolist()):
            for middle in range(BLOCK):
                if weights[place, middle]:
                    found.append((word, int(targets[middle]), noise))
    return found


def objective(inputs: torch.Tensor, outputs: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """What word2vec maximises, pair by pair (Mikolov et al., 2013b, equation 4; a noise word that is the word is left
    out, as in the original program)."""
    total = torch.zeros((), dtype=inputs.dtype)
    for context, word, noise in pairs:
        total = total + logsigmoid(inputs[context] @ outputs[word])
        for other in noise:
            if other != word:
                total = total + logsigmoid(-(inputs[context] @ outputs[other]))
    return total


def some_blocks(seed: int = 1, num_words: int = 9, length: int = 23, window: int = 3) -> Blocks:
    random = np.random.default_rng(seed)
    ids = random.integers(0, num_words, size=length)
    noise = noise_distribution(np.arange(1, num_words + 1))
    return draw_blocks(
        ids, np.sort(random.integers(0, 4, size=length)), window=window, negatives=5, noise=noise, random=random
    )


@pytest.mark.numeric
@pytest.mark.parametrize("tied", [False, True])
def test_a_step_is_the_gradient_of_the_objective(tied: bool) -> None:
    blocks = some_blocks()
    random = np.random.default_rng(2)
    first = torch.from_numpy(random.normal(size=(9, 6)))
    second = first if tied else torch.from_numpy(random.normal(size=(9, 6)))
    start = first.clone()
    model = SkipGram(inputs=start, outputs=start if tied else second.clone())
    inputs = first.clone().requires_grad_()
    outputs = inputs if tied else second.clone().requires_grad_()
    objective(inputs, outputs, pairs_of(blocks)).backward()
    exact = Blocks(contexts=blocks.contexts, targets=blocks.targets, weights=blocks.weights.double())
    step(model, exact, 0.5)
    assert inputs.grad is not None
    torch.testing.assert_close(model.inputs, first + 0.5 * inputs.grad)
    if not tied:
        assert outputs.grad is not None
        torch.testing.assert_close(model.outputs, second + 0.5 * outputs.grad)


@pytest.mark.numeric
def test_gradient_of_the_rows_against_autograd() -> None:
    random = np.random.default_rng(3)
    weights = torch.from_numpy(random.integers(0, 4, size=(2, 7, BLOCK + 3)).astype(np.float64))
    weights[:, :, :BLOCK].clamp_(max=1)
    inputs, outputs = (torch.from_numpy(random.normal(size=(2, rows, 5))).requires_grad_() for rows in (7, BLOCK + 3))
    scores = inputs @ outputs.transpose(1, 2)
    signs = torch.ones(BLOCK + 3, dtype=torch.float64)
    signs[BLOCK:] = -1
    (logsigmoid(scores * signs) * weights).sum().backward()
    found = ascent(inputs.detach(), outputs.detach(), weights)
    torch.testing.assert_close(found[0], inputs.grad)
    torch.testing.assert_close(found[1], outputs.grad)


def test_pairs_are_words_within_the_window_and_the_line() -> None:
    """Against two loops over the text, as the original program has them."""
    random = np.random.default_rng(4)
    ids, lines = random.integers(0, 50, size=42), np.sort(random.integers(0, 5, size=42))
    noise = noise_distribution(np.ones(50))
    blocks = draw_blocks(ids, lines, window=4, negatives=3, noise=noise, random=np.random.default_rng(5))
    reach = np.random.default_rng(5).integers(1, 5, size=44)  # the first that is drawn
    wanted = []
    for place in range(42):
        for other in range(max(0, place - reach[place]), min(42, place + reach[place] + 1)):
            if other != place and lines[other] == lines[place]:
                wanted.append((ids[other], ids[place]))
    assert sorted(wanted) == sorted((context, word) for context, word, _ in pairs_of(blocks))


def test_noise_counts_the_pairs_whose_own_word_it_is_not() -> None:
    blocks = some_blocks(num_words=4)
    for targets, weights in zip(blocks.targets, blocks.weights, strict=True):
        for place, row in enumerate(weights):
            for number, noise in enumerate(targets[BLOCK:]):
                own = sum(float(row[middle]) for middle in range(BLOCK) if targets[middle] != noise)
                assert row[BLOCK + number] == own, (place, number)


def test_windows_are_drawn_uniformly_and_noise_by_its_distribution() -> None:
    counts = np.array([1000, 100, 10])
    random = np.random.default_rng(6)
    ids = np.zeros(40_000, dtype=np.int64)
    blocks = draw_blocks(
        ids, np.zeros_like(ids), window=4, negatives=5, noise=noise_distribution(counts), random=random
    )
    pairs_a_word = float(blocks.weights[:, :, :BLOCK].sum()) / len(ids)
    assert pairs_a_word == pytest.approx(2 * 2.5, rel=0.02)  # both sides, the mean of 1, 2, 3 and 4
    shares = np.bincount(blocks.targets[:, BLOCK:].reshape(-1).numpy(), minlength=3) / (5 * len(blocks))
    np.testing.assert_allclose(shares, counts**0.75 / (counts**0.75).sum(), atol=0.01)


def test_keep_probabilities_are_the_original_programs() -> None:
    """(sqrt(count / (t total)) + 1) (t total) / count, at most 1."""
    counts, total, threshold = np.array([800, 150, 50]), 1000, 0.1
    found = keep_probabilities(counts, threshold)
    for probability, count in zip(found, counts, strict=True):
        wanted = (math.sqrt(count / (threshold * total)) + 1) * (threshold * total) / count
        assert probability == pytest.approx(min(1.0, wanted))
    assert found[2] == 1
    assert keep_probabilities(counts, 0).tolist() == [1, 1, 1]


def text_of(ids: np.ndarray, line_length: int = 20) -> WordText:
    counts = np.bincount(ids)
    words = tuple(f"w{number}" for number in range(len(counts)))
    lines = (np.arange(len(ids)) // line_length).astype(np.int32)
    return WordText(words=words, counts=counts, ids=ids.astype(np.int32), lines=lines, num_read=len(ids))


OPTIONS = Word2VecConfig(size=8, window=3, negatives=5, subsample=0, passes=2, learning_rate=0.05)


def topics(num_topics: int = 3, of_topic: int = 6, lines: int = 300, seed: int = 7) -> WordText:
    """Lines of 20 words, each line's of one topic."""
    random = np.random.default_rng(seed)
    topic = random.integers(0, num_topics, size=lines)
    return text_of((topic[:, None] * of_topic + random.integers(0, of_topic, size=(lines, 20))).reshape(-1))


def test_every_word_is_learned_from_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHUNK_WORDS", 100)
    monkeypatch.setattr("nmt.word2vec.windows.CHUNK_WORDS", 100)
    text = topics(lines=13)
    found = list(pieces(text, OPTIONS, np.random.default_rng(1)))
    assert [round(piece.before * 520) for piece in found] == [0, 100, 200, 260, 360, 460]
    assert [round(piece.after * 520) for piece in found] == [100, 200, 260, 360, 460, 520]
    middles = [piece.blocks.targets[:, :BLOCK].reshape(-1) for piece in found]
    assert torch.cat(middles).tolist() == 2 * text.ids.tolist()
    whole = found[0].blocks
    parts = [whole.picked(number, 7) for number in range(7)]
    assert sorted(torch.cat([part.targets[:, 0] for part in parts]).tolist()) == sorted(whole.targets[:, 0].tolist())


def test_the_learning_rate_falls_linearly(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    monkeypatch.setattr(training, "step", lambda model, blocks, rate: rates.append(rate))
    train(topics(), OPTIONS, tied=False, seed=1, label="", quiet=True)
    assert rates[0] == 0.05
    differences = np.diff(rates)
    np.testing.assert_allclose(differences, differences[0], rtol=0.2)
    assert 0 < rates[-1] < 0.02 * 0.05


@pytest.mark.parametrize("tied", [False, True])
def test_words_of_a_topic_come_to_lie_together(tied: bool) -> None:
    text = topics()
    model = train(text, dataclasses.replace(OPTIONS, passes=8), tied=tied, seed=1, label="", quiet=True)
    unit = torch.nn.functional.normalize(model.inputs, dim=1)
    cosines = unit @ unit.T
    same = torch.arange(18)[:, None] // 6 == torch.arange(18) // 6
    assert float(cosines[same].mean()) > float(cosines[~same].mean()) + 0.3
    assert model.tied == tied


def test_a_seed_gives_equal_bits_and_another_does_not() -> None:
    text = topics(lines=60)
    models = [train(text, OPTIONS, tied=False, seed=seed, label="", quiet=True) for seed in (3, 3, 4)]
    assert torch.equal(models[0].inputs, models[1].inputs)
    assert torch.equal(models[0].outputs, models[1].outputs)
    assert not torch.equal(models[0].inputs, models[2].inputs)


def test_start_values_and_sizes() -> None:
    untied, tied = (new_model(50, 10, tied=tied, random=np.random.default_rng(1)) for tied in (False, True))
    assert torch.equal(untied.inputs, tied.inputs)
    assert untied.inputs.abs().max() <= 0.05 < untied.inputs.abs().max() * 1.02
    assert not untied.outputs.any()
    assert tied.outputs is tied.inputs
    assert (untied.num_parameters, tied.num_parameters) == (1000, 500)


def test_a_learning_rate_too_high_is_said() -> None:
    with pytest.raises(UserError, match=r"the vectors grew beyond all bounds after .*choose a lower one than 1e\+30"):
        train(topics(), dataclasses.replace(OPTIONS, learning_rate=1e30), tied=True, seed=1, label="", quiet=True)


@pytest.mark.parametrize(
    ("name", "value"), [("size", 0), ("negatives", 0), ("learning_rate", 0.0), ("subsample", -1.0)]
)
def test_options_are_checked(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"word2vec.{name}: {value} is out of range"):
        dataclasses.replace(OPTIONS, **{name: value})


def test_vectors_come_back_from_the_text_format(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    vectors = np.concatenate((random.normal(size=(4, 3)) * 1e-30, [[0, -0.0, 1e38]])).astype(np.float32)
    words = ("a", "été", "b\u00a0c", "#", "the")
    write_vectors(tmp_path / "v.txt", words, vectors)
    assert (tmp_path / "v.txt").read_text(encoding="utf-8").splitlines()[0] == "5 3"
    for limit, count in ((None, 5), (2, 2), (9, 5)):
        found_words, found = read_vectors(tmp_path / "v.txt", limit)
        assert found_words == words[:count]
        assert found.tobytes() == vectors[:count].tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"v.txt:1: the first line is not the number of words and their size"),
        ("a 1 2\n", r"v.txt:1: the first line is not"),
        ("1 2\na 1\n", r"v.txt:2: 1 numbers, where the first line says 2"),
        ("1 2\na 1 x\n", r"v.txt:2: holds something that is no number"),
        ("2 2\na 1 2\n", r"v.txt: 1 words, where the first line says 2"),
    ],
)
def test_files_that_are_no_vectors(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(UserError, match=message):
        read_vectors(tmp_path / "v.txt")


def test_gensim_reads_the_vectors(tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models")
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    write_vectors(tmp_path / "v.txt", ("a", "b", "c"), vectors)
    found = models.KeyedVectors.load_word2vec_format(str(tmp_path / "v.txt"), binary=False)
    assert found.index_to_key == ["a", "b", "c"]
    np.testing.assert_array_equal(found.vectors, vectors)
