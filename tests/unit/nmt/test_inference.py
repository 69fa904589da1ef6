"""The copy made for search against the readable model: the same numbers, in every mode and precision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.config import ModelConfig, SearchConfig
from nmt.layers import fixed
from nmt.layers.fixed import affine
from nmt.layers.onednn import padded_rows
from nmt.layers.processor import int8_inputs, usable_precision
from nmt.models import scoring
from nmt.models.build import VocabularySizes, build_model
from nmt.models.inference import for_search
from nmt.models.interface import START, Memory, SearchModel, State, Step, TranslationModel
from nmt.models.rnn.model import RNNState
from nmt.models.rnn.search import bound_of
from nmt.search.beam import beam_search
from nmt.search.request import Wanted
from nmt.text.vocabulary import EOS, PAD, Vocabulary

pytestmark = pytest.mark.numeric
VOCABULARY = Vocabulary(
    both=tuple(f"b{n}" for n in range(60)),
    source_only=tuple(f"s{n}" for n in range(40)),
    target_only=tuple(f"t{n}" for n in range(50)),
)
MODES = ("untied", "decoder", "three-way")
CPU = torch.device("cpu")
PRECISIONS = tuple(name for name in fixed.PRECISIONS if usable_precision(name, CPU)[0] == name)
TOLERANCE = {"float32": 1e-5, "bf16": 0.04, "int8": 0.1}
"Of a log-probability after several steps."
SPREAD = {"rnn": 1.0, "transformer": 2.5, "post-norm": 2.5}
"How much further scores are apart: a layer norm's output is longer than a tanh's."


ARCHITECTURES: dict[str, dict[str, object]] = {
    "rnn": {"architecture": "rnn", "hidden_size": 48},
    "transformer": {"architecture": "transformer", "layers": 2, "heads": 4, "feedforward_size": 48, "width": 48},
    "post-norm": {
        "architecture": "transformer", "layers": 2, "heads": 4, "feedforward_size": 48, "norm": "post",
        "activation": "swish", "positions": "learned", "max_positions": 7, "decoder_layers": 1, "attention_layer": 1,
    },
}  # fmt: skip


def tolerance(kind: str, precision: str) -> float:
    """Of a log-probability of this model; 7-bit levels, where there are no finer ones, are twice as far apart."""
    inputs = int8_inputs()
    coarse = 127 / inputs.limit if precision == "int8" and kind != "rnn" and inputs else 1.0
    return TOLERANCE[precision] * SPREAD[kind] * coarse


every_architecture = pytest.mark.parametrize("kind", ARCHITECTURES)


def trained(kind: str = "rnn", tying: str = "three-way") -> TranslationModel:
    """A model whose matrices have the spread that training gives them."""
    config = ModelConfig(tying=tying, embedding_size=32, dropout=0.0, **ARCHITECTURES[kind])  # type: ignore[arg-type]
    model = build_model(config, VocabularySizes.of(VOCABULARY), seed=1).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            vocabulary = name.startswith("embeddings.")
            if name.endswith("norm.weight"):
                continue
            scale = 0.3 if parameter.dim() == 1 or vocabulary else 1.8 * sum(parameter.shape) ** -0.5
            parameter.normal_(std=scale, generator=generator)
    return model


def batch(lengths: list[int], seed: int = 3) -> tuple[Tensor, Tensor]:
    """Random sources with </s>, padded; their ids are there in every mode."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(3, 100, (len(lengths), max(lengths)), generator=generator)
    for row, length in enumerate(lengths):
        source[row, length - 1] = EOS
        source[row, length:] = 0
    return source, torch.tensor(lengths)


def begin(model: SearchModel, source: Tensor, lengths: Tensor, beam: int) -> tuple[Memory, State]:
    """Memory, and `beam` times the first state."""
    memory = model.encode(source, lengths)
    every = torch.arange(len(source))
    return memory, model.initial_state(memory).select(every, torch.zeros(len(source), beam, dtype=torch.int64))


@torch.no_grad()
def walk(model: SearchModel, targets: Tensor | None = None, steps: int = 6) -> list[Step]:
    """Steps through everything that a search does: hypotheses that move, sentences that leave and join."""
    rows = torch.arange(model.num_targets) if targets is None else targets
    generator = torch.Generator().manual_seed(5)
    output = model.output(targets)
    memory, state = begin(model, *batch([4, 9, 1, 6]), beam=3)
    previous = torch.full((4, 3), START)
    walked = []
    for number in range(steps):
        walked.append(model.step(memory, state, previous, output))
        hypotheses = torch.randint(3, (len(previous), 3), generator=generator)
        sentences = torch.arange(len(previous))
        if number == 2:
            sentences = torch.tensor([2, 0, 3])
            memory, hypotheses = memory.select(sentences).narrow(6), hypotheses[:3]
        state = walked[-1].state.select(sentences, hypotheses)
        previous = rows[torch.randint(1, len(rows), hypotheses.shape, generator=generator)]
        if number == 3:
            new_memory, new_state = begin(model, *batch([12, 3], seed=4), beam=3)
            memory, state = memory.join(new_memory), state.join(new_state)
            previous = torch.cat([previous, torch.full((2, 3), START)])
    return walked


def largest_difference(found: list[Step], expected: list[Step]) -> dict[str, float]:
    """Over all steps, of each field."""
    worst = {"log_probs": 0.0, "attention": 0.0, "hidden": 0.0}
    for one, other in zip(found, expected, strict=True):
        assert one.log_probs.dtype == one.attention.dtype == torch.float32
        infinite = torch.isinf(other.log_probs)
        assert torch.equal(torch.isinf(one.log_probs), infinite)
        pairs = {
            "log_probs": (one.log_probs[~infinite], other.log_probs[~infinite]),
            "attention": (one.attention, other.attention),
        }
        if isinstance(one.state, RNNState):
            pairs["hidden"] = (one.state.hidden, other.state.hidden)  # type: ignore[attr-defined]
        for name, (left, right) in pairs.items():
            worst[name] = max(worst[name], float((left - right).abs().max()))
    return worst


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("tying", MODES)
@every_architecture
def test_steps_are_those_of_the_model(kind: str, tying: str, precision: str) -> None:
    model = trained(kind, tying)
    expected, found = walk(model), walk(for_search(model, precision))
    assert all(torch.isinf(step.log_probs[..., PAD]).all() for step in found)
    assert expected[-1].log_probs[..., 1:].std() > 0.8, "scores of a model that knows something"
    worst = largest_difference(found, expected)
    assert worst["log_probs"] < tolerance(kind, precision), worst
    assert max(worst["attention"], worst["hidden"]) < tolerance(kind, precision) / 4, worst
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.attention == 0, other.attention == 0), "padding gets nothing"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_columns_of_padding_change_no_score(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, readout = trained().embeddings, torch.randn(5, 32, generator=torch.Generator().manual_seed(1)).tanh()
    found = []
    for multiple in (1, 64):
        monkeypatch.setattr(scoring, "WHOLE_MULTIPLE", multiple)
        found.append(scoring.FixedScorer(embeddings, precision, bound=1.0).output().log_probs(readout))
    assert found[0].shape == (5, VOCABULARY.size)
    tolerance = 0.05 if precision == "bf16" else 1e-5
    torch.testing.assert_close(*found, atol=tolerance, rtol=0)


@pytest.mark.parametrize("precision", PRECISIONS)
@every_architecture
def test_chosen_targets_alone_share_the_probability(kind: str, precision: str) -> None:
    model = trained(kind, "decoder")
    targets = torch.tensor([1, 2, 5, 7, 30, 31, 90, 109])
    fast = for_search(model, precision)
    worst = largest_difference(walk(fast, targets), walk(model, targets))
    assert worst["log_probs"] < tolerance(kind, precision), worst
    memory, state = begin(fast, *batch([5, 2]), beam=1)
    previous = torch.full((2, 1), START)
    whole, chosen = (fast.step(memory, state, previous, fast.output(rows)).log_probs for rows in (None, targets))
    torch.testing.assert_close(chosen.exp().sum(-1), torch.ones(2, 1))
    torch.testing.assert_close(chosen, whole[..., targets].log_softmax(-1), atol=tolerance(kind, precision) / 2, rtol=0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_annotations_and_first_states_are_those_of_the_model(precision: str) -> None:
    model = trained(tying="untied")
    fast, sources = for_search(model, precision), batch([7, 1, 5])
    with torch.no_grad():
        expected, found = model.encode(*sources), fast.encode(*sources)
        assert torch.equal(found.mask, expected.mask)
        real = expected.mask
        differences = (found.annotations[real] - expected.annotations[real]).abs()  # type: ignore[attr-defined]
        assert differences.max() < TOLERANCE[precision] / 2
        first, reference = fast.initial_state(found).hidden, model.initial_state(expected).hidden  # type: ignore[attr-defined]
        assert (first - reference).abs().max() < TOLERANCE[precision] / 2


@pytest.mark.parametrize("precision", PRECISIONS)
@every_architecture
def test_a_large_batch_in_blocks_and_padded_rows_is_its_sentences(
    kind: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than are left unpadded, more sentences than one block of the attention holds."""
    monkeypatch.setattr("nmt.models.rnn.search.BLOCK_BYTES", 4 * 2 * 96 * 9 * 4)
    model = trained(kind)
    fast = for_search(model, precision)
    source, lengths = batch([9] * 30)
    previous = torch.arange(3, 63).view(30, 2)
    memory, state = begin(fast, source, lengths, beam=2)
    together = fast.step(memory, state, previous, fast.output())
    for row in (0, 3, 29):
        memory, state = begin(fast, source[row : row + 1], lengths[row : row + 1], beam=2)
        alone = fast.step(memory, state, previous[row : row + 1], fast.output())
        tolerance = {"float32": 1e-5, "bf16": 0.05, "int8": 1e-5}[precision]  # int8: no row sees another's scale
        torch.testing.assert_close(together.log_probs[row], alone.log_probs[0], atol=tolerance, rtol=0)
        torch.testing.assert_close(together.attention[row], alone.attention[0], atol=tolerance, rtol=0)


@pytest.mark.parametrize("precision", PRECISIONS)
@every_architecture
def test_threads_get_the_same_answers_and_the_model_stays_as_it_is(kind: str, precision: str) -> None:
    model = trained(kind)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    fast, chance = for_search(model, precision), np.random.default_rng(2)
    sources = [chance.integers(3, VOCABULARY.size, length) for length in (5, 3, 8, 1, 6, 4)]
    config = SearchConfig(beam=4)

    def translate() -> list[tuple[tuple[int, ...], float]]:
        found = beam_search(fast, sources, config, Wanted())
        return [(hypotheses[0].pieces, hypotheses[0].log_prob) for hypotheses in found]

    expected = translate()
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(translate) for _ in range(8)]:
            assert future.result() == expected
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


@every_architecture
def test_the_copy_shares_the_embeddings_and_can_be_made_while_training(kind: str) -> None:
    model = trained(kind, "untied").requires_grad_()
    fast = for_search(model)
    assert fast.embeddings is model.embeddings  # type: ignore[attr-defined]
    assert not walk(fast)[-1].log_probs.requires_grad


@pytest.mark.skipif("int8" not in PRECISIONS, reason="needs oneDNN")
def test_a_large_output_table_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    monkeypatch.setattr(fixed, "PACKED_BYTES", 1000)
    fast = for_search(model)
    weight = fast.output().affine.weight  # type: ignore[attr-defined]
    assert weight.data_ptr() == model.embeddings.output.data_ptr()
    assert largest_difference(walk(fast), walk(model))["log_probs"] < TOLERANCE["float32"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 5, 16, 17, 33, 700])
def test_affine_maps_against_numpy(rows: int, precision: str) -> None:
    chance = np.random.default_rng(rows)
    inputs, bias = chance.uniform(-2, 2, (rows, 40)).astype(np.float32), chance.normal(size=24).astype(np.float32)
    weight = chance.normal(scale=0.2, size=(40, 24)).astype(np.float32)
    weight[:, 3] = 0
    found = affine(torch.from_numpy(weight).t(), torch.from_numpy(bias), precision, bound=2.0)(torch.from_numpy(inputs))
    assert found.dtype == torch.float32
    tolerance = {"float32": 1e-5, "bf16": 0.05, "int8": 0.1}[precision]
    np.testing.assert_allclose(found.numpy(), inputs @ weight + bias, atol=tolerance)


@pytest.mark.skipif("int8" not in PRECISIONS, reason="needs oneDNN")
def test_int8_without_a_bound_has_levels_for_each_row() -> None:
    """Rows of very different sizes, one of zeros among them."""
    rows = torch.randn(20, 40, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 3, 20)[:, None]
    rows[7] = 0
    weight, bias = torch.randn(24, 40, generator=torch.Generator().manual_seed(2)), torch.arange(24.0)
    found = affine(weight, torch.zeros(24), "int8", bound=None)(rows)
    exact = rows @ weight.t()
    assert ((found - exact).abs().amax(1) <= 0.05 * exact.abs().amax(1)).all()
    torch.testing.assert_close(affine(weight, bias, "int8", bound=None)(rows), found + bias)


@pytest.mark.skipif("int8" not in PRECISIONS, reason="needs oneDNN")
@pytest.mark.parametrize("bound", [None, 1.5])
def test_int8_sums_are_the_same_in_both_ways(bound: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(4)
    rows, weight, bias = (torch.randn(*size, generator=generator) for size in ((37, 48), (96, 48), (96,)))
    chosen = affine(weight, bias, "int8", bound=bound)(rows)
    monkeypatch.setattr("nmt.layers.fixed.sums_signed", lambda: False)
    torch.testing.assert_close(chosen, affine(weight, bias, "int8", bound=bound)(rows), rtol=1e-6, atol=1e-5)


@pytest.mark.skipif("int8" not in PRECISIONS, reason="needs oneDNN")
def test_int8_cuts_inputs_at_the_bound() -> None:
    mapped = affine(torch.eye(2), torch.zeros(2), "int8", bound=0.5)(torch.tensor([[0.25, 7.0], [-7.0, 0.0]]))
    torch.testing.assert_close(mapped, torch.tensor([[0.25, 0.5], [-0.5, 0.0]]), atol=0.005, rtol=0)


def test_kernels_are_made_for_few_numbers_of_rows() -> None:
    sizes = [padded_rows(rows) for rows in range(1, 5000)]
    assert sizes[:16] == list(range(1, 17))
    assert all(rows <= size <= max(rows + 7, rows * 17 / 16) for rows, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 120


def test_the_bound_of_embeddings_leaves_outliers_out() -> None:
    table = torch.randn(1000, 8, generator=torch.Generator().manual_seed(1))
    assert bound_of(table) == float(table.abs().max())
    table[3, 3] = 1000
    assert bound_of(table) < 100
    assert bound_of(torch.zeros(4, 4)) == 1.0


@pytest.mark.parametrize("precision", sorted({*fixed.PRECISIONS} - {*PRECISIONS}))
def test_a_precision_that_is_not_here_is_float32(precision: str) -> None:
    model = trained()
    fast = for_search(model, precision)
    assert fast.precision == "float32"  # type: ignore[attr-defined]
    assert largest_difference(walk(fast), walk(model))["log_probs"] < TOLERANCE["float32"]
