"""The Transformer against torch's own layers, its fast way against the readable one, its steps against all at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt.config import ModelConfig
from nmt.data.batching import Batch, BatchMaker
from nmt.data.corpus import ParallelIds
from nmt.layers import multihead as multihead_layer
from nmt.layers.cross_entropy import chunked_cross_entropy, plain_cross_entropy
from nmt.layers.linear import Linear, weight_gradient
from nmt.layers.multihead import (
    Computing,
    Grid,
    hidden_future,
    hidden_keys,
    multihead,
    softmax_,
    softmax_backward_,
)
from nmt.layers.positions import sinusoids
from nmt.layers.transformer import DecoderLayer, Encoded, EncoderLayer, Layer, LayerOptions
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import START, TranslationModel
from nmt.text.vocabulary import SourceView, TargetView

pytestmark = pytest.mark.numeric
ROWS = 40
LENGTHS = torch.tensor([5, 2, 4])


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def filled(module: nn.Module) -> nn.Module:
    """Numbers of the size that training gives them, norms that do something."""
    for number, parameter in enumerate(module.parameters()):
        parameter.data = random(*parameter.shape, seed=number) * 0.4
    return module.double().eval()


def into_torch(ours: Layer, theirs: nn.Module) -> None:
    """Our weights into torch's layer."""
    pairs = {"self_attn": (ours.self_attention.inputs, ours.self_attention.outputs)}
    norms = [ours.around_self.norm, ours.around_feedforward.norm]
    if isinstance(ours, DecoderLayer):
        cross = ours.cross_attention
        joined = Linear(1, 1)
        joined.weight.data = torch.cat([cross.query.weight, cross.source.weight]).detach()
        joined.bias.data = torch.cat([cross.query.bias, cross.source.bias]).detach()
        pairs["multihead_attn"] = (joined, cross.outputs)
        norms.insert(1, ours.around_cross.norm)
    with torch.no_grad():
        for name, (inputs, outputs) in pairs.items():
            attention = getattr(theirs, name)
            attention.in_proj_weight.copy_(inputs.weight)
            attention.in_proj_bias.copy_(inputs.bias)
            attention.out_proj.load_state_dict(outputs.state_dict())
        theirs.linear1.load_state_dict(ours.feedforward.inner.state_dict())
        theirs.linear2.load_state_dict(ours.feedforward.outer.state_dict())
        for number, norm in enumerate(norms, 1):
            getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())


def options(norm: str, activation: str = "relu", size: int = 12) -> LayerOptions:
    return LayerOptions(size=size, heads=3, feedforward_size=20, activation=activation, norm=norm)


def mask_of(lengths: Tensor) -> Tensor:
    return torch.arange(int(lengths.max())) < lengths[:, None]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("norm", "activation"), [("pre", "relu"), ("post", "gelu")])
def test_layers_are_torchs(norm: str, activation: str, fast: bool) -> None:
    encoder, decoder = filled(EncoderLayer(options(norm, activation))), filled(DecoderLayer(options(norm, activation)))
    settings = {"dropout": 0.0, "activation": activation, "batch_first": True, "norm_first": norm == "pre"}
    first = nn.TransformerEncoderLayer(12, 3, 20, **settings).double().eval()
    second = nn.TransformerDecoderLayer(12, 3, 20, **settings).double().eval()
    into_torch(encoder, first)
    into_torch(decoder, second)
    source, target, mask = random(3, 5, 12, seed=90), random(3, 4, 12, seed=91), mask_of(LENGTHS)
    expected = first(source, src_key_padding_mask=~mask)
    future = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
    grids, added = (Grid(5, 3, 16), Grid(4, 3, 12)), hidden_keys(mask, torch.float64)
    found = encoder(grids[0].flat(source.transpose(0, 1)), grids[0], added, fast=fast)
    torch.testing.assert_close(grids[0].grid(found).transpose(0, 1)[mask], expected[mask])
    expected = second(target, expected, tgt_mask=future, memory_key_padding_mask=~mask)
    encoded = Encoded(found, grids[0], added)
    rows = grids[1].flat(target.transpose(0, 1))
    found = decoder(rows, grids[1], encoded, hidden_future(4, rows.device, torch.float64), fast=fast)
    torch.testing.assert_close(grids[1].grid(found).transpose(0, 1), expected)


@pytest.mark.parametrize("few", [0, multihead_layer.FEW])
@pytest.mark.parametrize("itself", [True, False])
def test_fast_attention_passes_gradcheck_and_is_the_plain_one(
    itself: bool, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """few 0: the softmax of short rows too."""
    monkeypatch.setattr(multihead_layer, "FEW", few)
    heads, targets = 2, Grid(3, 2, 7)
    sources = targets if itself else Grid(4, 2, 9)
    projected = random(7, 12 if itself else 4, seed=1).requires_grad_()
    source = None if itself else random(9, 8, seed=2).requires_grad_()
    added = (
        hidden_future(3, projected.device, torch.float64)
        if itself
        else hidden_keys(mask_of(LENGTHS[2:]), torch.float64)
    )
    sizes = (heads, targets, sources)

    def function(fast: bool, *inputs: Tensor) -> Tensor:
        return multihead(inputs[0], inputs[1] if len(inputs) > 1 else None, added, sizes, Computing(fast=fast))

    leaves = [each for each in (projected, source) if each is not None]
    assert torch.autograd.gradcheck(lambda *inputs: function(True, *inputs), leaves)
    weights = random(7, 4, seed=3)
    results = []
    for fast in (True, False):
        found = function(fast, *leaves)
        results.append([found, *torch.autograd.grad((found * weights).sum(), leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [1, 5, 15, 16, 40])
def test_the_softmax_of_short_rows_is_torchs(size: int) -> None:
    """With keys that are hidden, and energies beyond what exp can take."""
    energies = (random(70, 9, size, seed=1) * 30).float()
    energies[:, :, 1:] += 200
    energies[3, :, 2:] = -torch.inf
    leaf = energies.clone().requires_grad_()
    expected, upper = torch.softmax(leaf, -1), random(70, 9, size, seed=2).float()
    (gradient,) = torch.autograd.grad(expected, leaf, upper)
    found = softmax_(energies)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(softmax_backward_(upper.clone(), found), gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 8), (8, 24), (8, 8)])
def test_a_weights_gradient_is_a_sum_over_rows(inputs: int, outputs: int, dtype: torch.dtype) -> None:
    upper, rows = random(40, outputs, seed=1).to(dtype), random(40, inputs, seed=2).to(dtype)
    found = weight_gradient(upper, rows)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    tolerance = {"rtol": 1e-2, "atol": 5e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found, (upper.double().t() @ rows.double()).float(), **tolerance)


def test_positions_are_sinusoids() -> None:
    table = sinusoids(torch.arange(50), 6)
    for position in (0, 1, 17, 49):
        angles = [position / 10_000 ** (2 * i / 6) for i in range(3)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        np.testing.assert_allclose(table[position].numpy(), expected, atol=1e-5)


def batch_of(pairs: int, seed: int = 1) -> Batch:
    """Sentences of 1 to 9 pieces, ids that every mode has."""
    draw = np.random.default_rng(seed)
    sides: list[np.ndarray] = []
    for _ in range(2):
        lengths = draw.integers(1, 10, pairs)
        offsets = np.concatenate([[0], lengths.cumsum()])
        sides += [draw.integers(3, ROWS, offsets[-1], dtype=np.int32), offsets]
    maker = BatchMaker(ParallelIds(*sides), SourceView(ROWS), TargetView(first=ROWS, gap=0, size=ROWS))
    return maker.make(np.arange(pairs))


def config_of(**values: object) -> ModelConfig:
    known = {"embedding_size": 12, "heads": 3, "layers": 2, "feedforward_size": 20, "dropout": 0.0}
    return ModelConfig(architecture="transformer", **{**known, **values})  # type: ignore[arg-type]


def model_of(**values: object) -> TranslationModel:
    return build_model(config_of(**values), VocabularySizes(ROWS, ROWS, ROWS))


VARIANTS = [
    {},
    {"norm": "post", "activation": "swish", "positions": "learned", "max_positions": 6},
    {"width": 18, "activation": "gelu", "scale_embeddings": False, "decoder_layers": 1},
    {"tying": "untied", "embedding_size": 7, "width": 9},
]
IDS = ["pre", "post", "wider", "untied"]


@pytest.mark.parametrize("values", VARIANTS, ids=IDS)
@pytest.mark.parametrize("pairs", [1, 19])
def test_a_whole_models_gradient_in_float32_differs_by_rounding(pairs: int, values: dict[str, object]) -> None:
    batch, results = batch_of(pairs), []
    for dtype, fast, function in (
        (torch.float32, True, chunked_cross_entropy),
        (torch.float64, False, plain_cross_entropy),
    ):
        model = model_of(**values).to(dtype)
        model.fast = fast
        matrices = model.embeddings
        readout = model.readout(batch)
        costs = function(readout, matrices.output, matrices.output_bias, batch.target_labels(), 0.1)
        gradients = torch.autograd.grad(costs.smoothed / batch.num_target_tokens, list(model.parameters()))
        results.append([readout, *costs, *gradients])
    for single, exact in zip(*results, strict=True):
        assert single.dtype == torch.float32
        error, scale = float((single - exact).detach().abs().max()), float(exact.detach().abs().max())
        assert error <= 1e-4 * scale + 1e-7, (tuple(exact.shape), error, scale)


@pytest.mark.parametrize("values", VARIANTS, ids=IDS)
def test_bf16_is_the_same_but_for_rounding(values: dict[str, object]) -> None:
    batch, found = batch_of(19), {}
    for dtype in (torch.float32, torch.bfloat16):
        model = model_of(**values)
        model.compute_dtype = dtype
        readout = model.readout(batch)
        gradients = torch.autograd.grad(readout.square().mean(), [p for p in model.parameters() if p.dim() == 2][-4:])
        found[dtype] = [readout, *gradients]
    for exact, rounded in zip(found[torch.float32], found[torch.bfloat16], strict=True):
        scale = float(exact.detach().abs().max())
        assert float((exact - rounded).detach().abs().max()) < 0.06 * scale
        assert not torch.equal(exact, rounded)


@pytest.mark.parametrize("values", VARIANTS, ids=IDS)
def test_steps_of_search_are_the_readout_of_training(values: dict[str, object]) -> None:
    model, batch = model_of(**values).double().eval(), batch_of(7)
    with torch.no_grad():
        expected = model.embeddings.scores(model.readout(batch))[:, 1:].log_softmax(-1)
        expected = expected.gather(1, batch.target_labels()[:, None] - 1)[:, 0]
        memory, output = model.encode(batch.source, batch.source_lengths), model.output()
        state, previous, found = model.initial_state(memory), torch.full((7, 1), START), []
        for step in range(batch.target.shape[1]):
            one = model.step(memory, state, previous, output)
            state, previous = one.state, batch.target[:, step : step + 1]
            found.append(one.log_probs[:, 0].gather(1, previous)[:, 0])
            torch.testing.assert_close(one.attention.sum(2), torch.ones(7, 1, dtype=torch.float64))
            assert not one.attention[:, 0][~batch.source_mask].any()
    flat = torch.cat(found).index_select(0, batch.target_positions)
    torch.testing.assert_close(flat, expected.to(flat.dtype), atol=1e-5, rtol=0)


def test_no_sentence_sees_another_or_its_own_future() -> None:
    model, batch = model_of().double().eval(), batch_of(6)
    with torch.no_grad():
        before = model.readout(batch)
        other = batch.target.clone()
        last = int(batch.target_lengths[0]) - 2
        other[0, last] = 5 if int(other[0, last]) != 5 else 6
        after = model.readout(Batch.of(batch.source, batch.source_lengths, other, batch.target_lengths, batch.pairs))
    changed = (before != after).any(1)
    where = batch.target_positions[changed]
    assert set((where % 6).tolist()) <= {0}
    assert set((where // 6).tolist()) == {last + 1}


@pytest.mark.parametrize("key", ["dropout", "attention_dropout", "feedforward_dropout"])
def test_dropout_is_drawn_in_training_alone_and_again_for_the_same_seed(key: str) -> None:
    model, batch = model_of(**{key: 0.3}), batch_of(9)
    readouts = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        readouts.append(model.train().readout(batch))
    assert torch.equal(readouts[0], readouts[1])
    assert not torch.equal(readouts[0], readouts[2])
    plain = model.eval().readout(batch)
    assert torch.equal(plain, model.readout(batch))
    assert not torch.equal(plain, readouts[0])


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("tying", ["untied", "decoder", "three-way"])
def test_the_first_cross_entropy_is_near_that_of_a_uniform_guess(tying: str, norm: str) -> None:
    """A tied table starts so that it suits both of its roles: no piece scores itself high as the next one."""
    rows = 3000
    config = ModelConfig(architecture="transformer", tying=tying, embedding_size=64, layers=2, norm=norm, dropout=0.0)
    model = build_model(config, VocabularySizes(rows, rows, rows))
    draw = np.random.default_rng(1)
    sides: list[np.ndarray] = []
    for _ in range(2):
        sides += [draw.integers(3, rows, 400, dtype=np.int32), np.arange(0, 401, 10)]
    maker = BatchMaker(ParallelIds(*sides), SourceView(rows), TargetView(first=rows, gap=0, size=rows))
    batch, matrices = maker.make(np.arange(40)), model.embeddings
    with torch.no_grad():
        costs = chunked_cross_entropy(
            model.readout(batch), matrices.output, matrices.output_bias, batch.target_labels(), 0
        )
    assert float(costs.cross_entropy) / batch.num_target_tokens == pytest.approx(math.log(rows), abs=0.2)
