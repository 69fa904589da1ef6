"""The model against its published equations in NumPy: every tying mode, padding, sentences of different lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nmt.config import ModelConfig
from nmt.data.batching import Batch
from nmt.layers.cross_entropy import chunked_cross_entropy
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import START
from nmt.models.rnn.model import RNNModel
from nmt.tying import Tying
from tests.numerics.reference_rnn import Arrays, scores

pytestmark = pytest.mark.numeric
SIZES = VocabularySizes(source=9, target=11, union=13)
SOURCES = [[4, 5, 6, 7, 2], [8, 2], [3, 3, 5, 2]]
TARGETS = [[4, 10, 2], [9, 8, 7, 6, 2], [2]]


def random_model(mode: Tying) -> RNNModel:
    config = ModelConfig(tying=mode.value, embedding_size=5, hidden_size=7, dropout=0.0)
    model = build_model(config, SIZES).double().eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5, generator=generator)
    assert isinstance(model, RNNModel)
    return model


def published(model: RNNModel) -> dict[str, Arrays]:
    """The model's weights under the names of the equations."""
    named = {name: p.detach().numpy() for name, p in model.named_parameters(remove_duplicate=False)}
    size = named["decoder.first.hidden_weight"].shape[0]

    def cell(prefix: str, suffixes: tuple[str, ...]) -> Arrays:
        parts = [named[f"{prefix}.{n}"] for n in ("input_weight", "hidden_weight", "bias")]
        cut = [a[..., : 2 * size] for a in parts] + [a[..., 2 * size :] for a in parts]
        return dict(zip(suffixes, cut, strict=True))

    plain = ("W", "U", "b", "Wx", "Ux", "bx")
    names = {"key_weight": "Wc_att", "key_bias": "b_att", "query_weight": "W_comb_att"}
    attention = {new: named[f"decoder.attention.{old}"] for old, new in names.items()}
    attention["U_att"] = named["decoder.attention.energy_weight"][:, 0]
    attention["c_tt"] = named["decoder.attention.energy_bias"]
    readout = {}
    for old, new in (("state", "lstm"), ("previous", "prev"), ("context", "ctx")):
        readout[new] = named[f"output_layer.{old}.weight"].T
        readout[f"{new}_b"] = named[f"output_layer.{old}.bias"]
    second = cell("decoder.second", ("Wc", "U_nl", "b_nl", "Wcx", "Ux_nl", "bx_nl"))
    return {
        "encoder": cell("encoder.ahead", plain),
        "encoder_r": cell("encoder.back", plain),
        "initial": {"W": named["initial.weight"].T, "b": named["initial.bias"]},
        "decoder": cell("decoder.first", plain) | attention | second,
        "readout": readout,
        "tables": {
            "source": named["embeddings.source_input"],
            "target": named["embeddings.target_input"],
            "output": named["embeddings.output"],
            "bias": named["embeddings.output_bias"],
        },
    }


def padded(lines: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(line) for line in lines])
    matrix = torch.zeros(len(lines), int(lengths.max()), dtype=torch.int64)
    for row, line in zip(matrix, lines, strict=True):
        row[: len(line)] = torch.tensor(line)
    return matrix, lengths


def batch() -> Batch:
    source, target = padded(SOURCES), padded(TARGETS)
    return Batch.of(*source, *target, (0, 1, 2))


def by_sentence(rows: torch.Tensor) -> list[np.ndarray]:
    """Rows of real target positions, step by step -> one array per sentence."""
    mask = padded(TARGETS)[0].t() != 0
    grid = torch.full((*mask.shape, rows.shape[1]), torch.nan, dtype=rows.dtype)
    grid[mask] = rows
    return [grid[: len(target), i].numpy() for i, target in enumerate(TARGETS)]


@pytest.mark.parametrize("mode", Tying)
@pytest.mark.parametrize("fast", [True, False])
def test_training_scores_equal_the_equations(mode: Tying, fast: bool) -> None:
    model = random_model(mode)
    model.fast = fast
    with torch.no_grad():
        found = by_sentence(model.embeddings.scores(model.readout(batch())))
    for source, target, rows in zip(SOURCES, TARGETS, found, strict=True):
        np.testing.assert_allclose(rows, scores(source, target, published(model))[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mode", Tying)
def test_search_steps_equal_the_equations(mode: Tying) -> None:
    model = random_model(mode)
    source, lengths = padded(SOURCES)
    with torch.inference_mode():
        memory = model.encode(source, lengths)
        state = model.initial_state(memory)
        previous, output = torch.full((len(SOURCES), 1), START), model.output()
        rows, weights = [], []
        for t in range(5):
            step = model.step(memory, state, previous, output)
            rows.append(step.log_probs[:, 0])
            weights.append(step.attention[:, 0])
            state = step.state
            previous = torch.tensor([[target[t] if t < len(target) else 2] for target in TARGETS])
    for i, (source_ids, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        expected, attention = scores(source_ids, target, published(model))
        expected = expected - np.log(np.exp(expected[:, 1:]).sum(1, keepdims=True))
        for t in range(len(target)):
            np.testing.assert_allclose(rows[t][i, 1:].numpy(), expected[t, 1:], rtol=1e-5, atol=1e-5)
            assert rows[t][i, 0] == -torch.inf  # padding is never a translation
            found = weights[t][i].numpy()
            np.testing.assert_allclose(found[: len(source_ids)], attention[t], rtol=1e-9, atol=1e-12)
            assert not found[len(source_ids) :].any()


@pytest.mark.parametrize("mode", Tying)
def test_the_loss_is_the_sum_of_the_equations_costs(mode: Tying) -> None:
    model = random_model(mode)
    data = batch()
    matrices = model.embeddings
    costs = chunked_cross_entropy(
        model.readout(data), matrices.output, matrices.output_bias, data.target_labels(), smoothing=0.1
    )
    cost, smoothed = 0.0, 0.0
    for source, target in zip(SOURCES, TARGETS, strict=True):
        rows = scores(source, target, published(model))[0]
        log_probs = rows - np.log(np.exp(rows[:, 1:]).sum(1, keepdims=True))
        cost -= log_probs[range(len(target)), target].sum()
        smoothed -= 0.9 * log_probs[range(len(target)), target].sum() + 0.1 * log_probs[:, 1:].mean(1).sum()
    assert float(costs.cross_entropy) == pytest.approx(cost, rel=1e-10)
    assert float(costs.smoothed.detach()) == pytest.approx(smoothed, rel=1e-10)


def test_gradients_do_not_depend_on_the_other_sentences_of_a_batch() -> None:
    model = random_model(Tying.THREE_WAY)

    def gradients(rows: list[int]) -> dict[str, torch.Tensor]:
        model.zero_grad()
        source, target = padded([SOURCES[i] for i in rows]), padded([TARGETS[i] for i in rows])
        data = Batch.of(*source, *target, tuple(rows))
        matrices = model.embeddings
        costs = chunked_cross_entropy(
            model.readout(data), matrices.output, matrices.output_bias, data.target_labels(), 0.0
        )
        costs.smoothed.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    together = gradients([0, 1, 2])
    alone = [gradients([i]) for i in range(3)]
    for name, grad in together.items():
        torch.testing.assert_close(grad, sum(part[name] for part in alone), rtol=1e-9, atol=1e-10)
