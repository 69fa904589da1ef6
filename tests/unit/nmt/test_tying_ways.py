"""Ways to tie, each against its equation in NumPy, and through everything that reads a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import BatchMaker
from nmt.data.corpus import ParallelIds
from nmt.folder.bundle import load_bundle
from nmt.folder.ledger import size_of, way_lines
from nmt.layers.cross_entropy import plain_cross_entropy
from nmt.layers.fixed import PRECISIONS
from nmt.layers.processor import usable_precision
from nmt.layers.tying import TiedEmbeddings, unique_parameters
from nmt.layers.tying_ways import TiedInWays, UnitRows, WithoutRows
from nmt.models.build import VocabularySizes, build_empty, build_model
from nmt.models.inference import for_search
from nmt.models.interface import START, SearchModel, TranslationModel
from nmt.search.beam import beam_search
from nmt.tasks.translation.objective import TranslationObjective
from nmt.text.vocabulary import EOS, PAD, Vocabulary
from nmt.training.step import Updater
from nmt.translate.scorer import Scorer, ragged
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
VOCABULARY = Vocabulary(
    both=tuple(f"b{n}" for n in range(12)),
    source_only=tuple(f"s{n}" for n in range(5)),
    target_only=tuple(f"t{n}" for n in range(8)),
)
SIZES = VocabularySizes.of(VOCABULARY)
E, FIRST, GAP = 8, 15, 5
CPU = torch.device("cpu")
NETWORKS: dict[str, dict[str, object]] = {
    "rnn": {"architecture": "rnn", "hidden_size": 10},
    "transformer": {"architecture": "transformer", "layers": 1, "heads": 2, "feedforward_size": 12, "width": 12},
}
WAYS: dict[str, dict[str, object]] = {
    "target rows": {"output_rows": "target"},
    "input scale": {"input_scale": 3.0},
    "output scale": {"output_scale": 0.0},
    "learned scale": {"learned_output_scale": True, "output_scale": 0.5},
    "normalized": {"normalized_rows": True},
    "projections": {"role_projections": ("source", "target", "output")},
    "low rank": {"role_projections": ("output",), "projection_rank": 2},
    "all": {
        "output_rows": "target", "input_scale": 2.0, "normalized_rows": True, "role_projections": ("source", "output"),
    },
}  # fmt: skip
every_way = pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
every_network = pytest.mark.parametrize("network", NETWORKS)


def config(network: str = "rnn", tying: str = "three-way", **keys: object) -> ModelConfig:
    return ModelConfig(embedding_size=E, dropout=0.0, tying=tying, **NETWORKS[network], **keys)  # type: ignore[arg-type]


def spread(model: TranslationModel) -> TranslationModel:
    """Every number of its own, so that no identity, one or zero hides a mistake."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return model


def model_of(network: str = "rnn", tying: str = "three-way", **keys: object) -> TranslationModel:
    return spread(build_model(config(network, tying, **keys), SIZES)).eval()


def numbers(model: TranslationModel) -> dict[str, np.ndarray]:
    return {
        name.removeprefix("embeddings."): parameter.detach().double().numpy()
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if name.startswith("embeddings.")
    }


def projected(given: dict[str, np.ndarray], role: str, rows: np.ndarray) -> np.ndarray:
    """rows P."""
    if f"projections.{role}.weight" in given:
        return rows @ given[f"projections.{role}.weight"]
    if f"projections.{role}.down" in given:
        low: np.ndarray = given[f"projections.{role}.down"] @ given[f"projections.{role}.up"]
        return rows @ (np.eye(E) + low)
    return rows


@every_way
def test_the_equations(ways: dict[str, object]) -> None:
    """Inputs s_in U[x] P; scores s_out (t P_out) N(U)' + b over the rows that are classes."""
    model = model_of(**ways)
    given, tables = numbers(model), model.embeddings
    table = given["source_input"]
    scale = ways.get("input_scale", 1.0)
    source, target = torch.arange(SIZES.union), torch.arange(tables.num_targets)
    rows = np.delete(table, range(FIRST, FIRST + GAP), 0) if ways.get("output_rows") else table
    assert len(rows) == tables.num_targets == model.num_targets
    close(tables.source(source), scale * projected(given, "source", table))
    close(tables.target(target), scale * projected(given, "target", rows))
    readout = np.random.default_rng(1).normal(size=(6, E))
    if ways.get("normalized_rows"):
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    factor = given.get("output_scale", np.array(E**-0.5 if ways.get("output_scale") == 0 else 1.0))
    scores = factor * projected(given, "output", readout) @ rows.T + given["output_bias"]
    close(tables.scores(torch.from_numpy(readout).float()), scores)
    first, matrix = tables.scoring(torch.from_numpy(readout).float())
    close(first @ matrix.t() + tables.output_bias, scores)
    tables.assert_tied()


def close(found: Tensor, expected: object) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=2e-5)


def batch_of(model: TranslationModel) -> object:
    """Two pairs with pieces of every part of the vocabulary."""
    pairs = [["b1", "s0", "s4"], ["t7", "b2"]], [["t0", "b3", "t7"], ["b1"]]
    ids = [[VOCABULARY.encode(line) for line in side] for side in pairs]
    arrays = [ragged(side) for side in ids]
    views = VOCABULARY.source_view(model.embeddings.union_source), VOCABULARY.target_view(model.embeddings.union_target)
    return BatchMaker(ParallelIds(*arrays[0], *arrays[1]), *views).make([0, 1])


@every_network
@every_way
def test_the_losss_gradients_are_those_of_plain_autograd(network: str, ways: dict[str, object]) -> None:
    model = model_of(network, **ways)
    batch, smoothing = batch_of(model), 0.1
    objective = TranslationObjective(TrainingConfig(label_smoothing=smoothing))
    found = gradients(model, objective.loss(model, batch, {}).loss)  # type: ignore[arg-type]
    model.fast = False
    tables = model.embeddings
    costs = plain_cross_entropy(
        model.readout(batch), tables.output_matrix(), tables.output_bias, batch.target_labels(), smoothing  # type: ignore[arg-type, attr-defined]
    )  # fmt: skip
    expected = gradients(model, costs.smoothed / batch.num_target_tokens)  # type: ignore[attr-defined]
    assert found.keys() == expected.keys() == unique_parameters(model).keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def gradients(model: TranslationModel, loss: Tensor) -> dict[str, Tensor]:
    parameters = unique_parameters(model)
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


def test_the_backward_passes_written_by_hand() -> None:
    rows = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    assert torch.autograd.gradcheck(UnitRows.apply, (rows,))
    assert torch.autograd.gradcheck(lambda table: WithoutRows.apply(table, range(2, 4)), (rows,))


def test_pieces_of_the_source_alone_are_no_classes() -> None:
    """They get no gradient from the softmax, none from label smoothing, and no bias."""
    model = model_of(output_rows="target")
    assert model.embeddings.output_bias.shape == (SIZES.target,)
    assert size_of(model_of()).total - size_of(model).total == GAP
    readout, matrix = model.embeddings.scoring(torch.ones(3, E))
    grad = torch.autograd.grad((readout @ matrix.t()).sum(), model.embeddings.output)[0]
    assert (grad[FIRST : FIRST + GAP] == 0).all()
    assert (grad[:FIRST] == 3).all()
    assert (grad[FIRST + GAP :] == 3).all()


def test_the_scores_of_target_rows_are_the_decoder_tied_models() -> None:
    """The same numbers in both: to the bit, since products over the same rows are the same products."""
    three_way, decoder = model_of(output_rows="target"), model_of(tying="decoder")
    table = three_way.embeddings.source_input.detach()
    with torch.no_grad():
        decoder.embeddings.output.copy_(torch.cat([table[:FIRST], table[FIRST + GAP :]]))
        decoder.embeddings.output_bias.copy_(three_way.embeddings.output_bias)
    readout, ids = torch.randn(5, E), torch.arange(SIZES.target)
    assert torch.equal(three_way.embeddings.scores(readout), decoder.embeddings.scores(readout))
    assert torch.equal(three_way.embeddings.target(ids), decoder.embeddings.target(ids))


@every_network
@every_way
def test_projections_and_scales_start_as_the_model_without_them(network: str, ways: dict[str, object]) -> None:
    """But for scales that are asked for; rows of unit length start as long as rows are."""
    plain, other = (build_model(config(network, **keys), SIZES).eval() for keys in ({}, ways))  # type: ignore[arg-type]
    for name, parameter in unique_parameters(plain).items():
        if parameter.shape == unique_parameters(other)[name].shape:
            assert torch.equal(parameter, unique_parameters(other)[name]), name
    if ways.keys() <= {"role_projections", "projection_rank"}:
        batch = batch_of(plain)
        torch.testing.assert_close(plain.readout(batch), other.readout(batch))  # type: ignore[arg-type]
        torch.testing.assert_close(plain.embeddings.output_matrix(), other.embeddings.output_matrix())
    if "normalized_rows" in ways:
        lengths = [build.embeddings.output_matrix().norm(dim=1).mean().item() for build in (plain, other)]
        assert lengths[1] == pytest.approx(lengths[0], rel=0.15)


@torch.no_grad()
def walked(model: SearchModel, targets: Tensor | None) -> Tensor:
    """Log-probabilities of three steps."""
    memory = model.encode(torch.tensor([[5, 16, 20, EOS], [4, EOS, PAD, PAD]]), torch.tensor([4, 2]))
    state, output = model.initial_state(memory), model.output(targets)
    previous, found = torch.full((2, 1), START), []
    for piece in (3, model.num_targets - 1, 14):
        step = model.step(memory, state, previous, output)
        state, previous = step.state, torch.full((2, 1), piece)
        found.append(step.log_probs)
    return torch.stack(found)


@every_network
@every_way
def test_copies_for_search_score_as_the_model_does(network: str, ways: dict[str, object]) -> None:
    model = model_of(network, **ways)
    for targets in (None, torch.tensor([2, 3, 14, model.num_targets - 1])):
        expected = walked(model, targets)
        for precision in PRECISIONS:
            if usable_precision(precision, CPU)[0] == precision:
                found = walked(for_search(model, precision), targets)
                tolerance = {"float32": 1e-4, "bf16": 0.3, "int8": 0.6}[precision]
                torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_a_copy_shares_what_is_still_one_matrix() -> None:
    three_way = model_of(output_rows="target").embeddings.plain()
    assert three_way.output is three_way.target_input
    scaled = model_of(output_scale=0.5).embeddings.plain()
    assert scaled.source_input is scaled.target_input
    assert model_of().embeddings.plain().output is not None
    plain = model_of().embeddings
    assert plain.plain() is plain
    assert type(plain) is TiedEmbeddings


@pytest.mark.parametrize("keys", [{}, {"output_rows": "all", "role_projections": (), "input_scale": 1.0}])
def test_ways_that_are_off_change_nothing(keys: dict[str, object]) -> None:
    assert type(model_of(**keys).embeddings) is TiedEmbeddings
    assert way_lines(config(**keys), SIZES) == []  # type: ignore[arg-type]


@every_network
@every_way
def test_a_model_folder_translates_scores_and_goes_with_others(
    tmp_path: Path, network: str, ways: dict[str, object]
) -> None:
    """nmt-score's log-probabilities are the search's, alone and beside a plain model."""
    folders = [
        make_model_folder(tmp_path / name, architecture=network, seed=seed, sizes=keys)
        for seed, (name, keys) in enumerate([("ways", ways), ("plain", {})], 1)
    ]
    bundles = [load_bundle(folder, CPU) for folder in folders]
    bundle = bundles[0]
    hypothesis = beam_search(for_search(bundle.model), [np.array([3, 4])], bundle.config.search)[0][0]
    written = bundle.target_view.to_union(np.array(hypothesis.pieces, dtype=np.int64))
    source, pieces = ([bundle.vocabulary.piece_of(row) for row in rows] for rows in ([3, 4], written.tolist()))
    scores = Scorer(bundle).score_pieces([source], [pieces])[0]
    assert sum(scores[: len(pieces) + hypothesis.finished]) == pytest.approx(hypothesis.log_prob, abs=1e-3)
    together = Scorer(bundle, ensemble=bundles[1:]).score_pieces([source], [["one", "a"]])[0]
    assert np.isfinite(together).all()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"tying": "decoder", "output_rows": "target"}, "output_rows: is 'target': decoder models score the target's"),
        ({"output_rows": "some"}, "output_rows: unknown value 'some'"),
        ({"input_scale": -1.0}, "input_scale: -1.0 is out of range"),
        ({"architecture": "transformer", "input_scale": 0.0}, "scale_embeddings multiplies by the root already"),
        ({"normalized_rows": True, "output_scale": 2.0}, "it has a scale of its own"),
        ({"role_projections": ("input",)}, "role_projections: unknown value 'input'"),
        ({"role_projections": ("output", "output")}, "a role is named twice"),
        ({"projection_rank": 4}, "no role has a projection"),
        ({"role_projections": ("output",), "projection_rank": 128}, "a whole matrix has no more parameters"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(keys: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as refused:
        ModelConfig(**keys)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@every_way
def test_the_ledger_says_what_a_way_adds(ways: dict[str, object]) -> None:
    line = way_lines(config(**ways), SIZES)[0]
    added = size_of(build_empty(config(**ways), SIZES, CPU)).total - size_of(build_empty(config(), SIZES, CPU)).total
    assert line.startswith("ways to tie: ")
    assert line.endswith(f"({added:+,} parameters)")


@every_way
def test_updates_keep_the_tie_and_train_every_parameter(ways: dict[str, object]) -> None:
    settings = TrainingConfig(warmup_updates=0, ema=0.5)
    model = build_model(config(**ways), SIZES)
    updater = Updater(model, settings, TranslationObjective(settings))
    before = {name: parameter.detach().clone() for name, parameter in updater.parameters.items()}
    for number in (1, 2):
        updater.update(batch_of(model), number)
    model.embeddings.assert_tied()
    for name, parameter in updater.parameters.items():
        assert not name.startswith("embeddings.") or not torch.equal(parameter, before[name]), name
    if isinstance(model.embeddings, TiedInWays):
        assert all(name in updater.parameters for name in before)
