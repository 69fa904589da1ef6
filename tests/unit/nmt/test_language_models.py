"""Language models as they are built from the configuration: sizes, ties, starts, dropout, and what joins the cost."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import LanguageConfig
from nmt.layers.bayesian import word_mask
from nmt.layers.tying import unique_parameters
from nmt.models.architectures import LANGUAGE_ARCHITECTURES
from nmt.models.language import LanguageModel, detached
from nmt.models.language_build import LANGUAGE_NETWORKS, build_empty_language_model, build_language_model
from nmt.tying import WordTying

WORDS, T, B, E = 30, 6, 4, 8
BAYESIAN = {"word_dropout": 0.3, "input_dropout": 0.5, "hidden_dropout": 0.3, "output_dropout": 0.5}
KINDS: dict[str, dict[str, object]] = {
    "lstm": {},
    "projected": {"projection": True, "hidden_size": 6},
    "zaremba": {"dropout": 0.5, "two_biases": True, "layers": 3},
    "bayesian": BAYESIAN,
    "rhn": {"architecture": "rhn", "depth": 3},
    "bayesian rhn": {"architecture": "rhn", "depth": 2, "word_masks": "word", **BAYESIAN},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def config(kind: str = "lstm", **more: object) -> LanguageConfig:
    return LanguageConfig(**{"embedding_size": E, **KINDS[kind], **more})  # type: ignore[arg-type]


def model_of(kind: str = "lstm", *, seed: int = 1, **more: object) -> LanguageModel:
    return build_language_model(config(kind, **more), WORDS, seed=seed)


def words(steps: int = T, streams: int = B) -> Tensor:
    return torch.randint(WORDS, (steps, streams), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("keys", "untied", "tied"),
    [
        ({}, 4_651_600, 2_651_600),
        ({"projection": True}, 4_691_800, 2_691_800),
        ({"embedding_size": 1500}, 66_022_000, 51_022_000),
        ({"embedding_size": 1500, "two_biases": True}, 66_034_000, 51_034_000),
        ({"architecture": "rhn", "embedding_size": 890, "depth": 8}, 32_082_040, 23_182_040),
        ({"architecture": "rhn", "embedding_size": 860, "depth": 9}, 32_017_480, 23_417_480),
    ],
)
def test_sizes_are_the_papers(keys: dict[str, object], untied: int, tied: int) -> None:
    """Tables 5 and 6, a vocabulary of 10,000 words; counted from the model, each storage once."""
    for tying, size in (("untied", untied), ("tied", tied)):
        wanted = LanguageConfig(tying=tying, **keys)  # type: ignore[arg-type]
        model = build_empty_language_model(wanted, 10_000, torch.device("meta"))
        assert sum(parameter.numel() for parameter in unique_parameters(model).values()) == size


def test_both_tables_name_the_same_architectures() -> None:
    assert LANGUAGE_NETWORKS.keys() == LANGUAGE_ARCHITECTURES.keys()
    for name in LANGUAGE_ARCHITECTURES:
        assert build_empty_language_model(config(architecture=name), 5, torch.device("meta")).architecture == name


@pytest.mark.parametrize("tying", [mode.value for mode in WordTying])
def test_tied_means_one_storage_after_every_step_of_a_models_life(tying: str) -> None:
    lives = [
        model_of(tying=tying),
        copy.deepcopy(model_of(tying=tying)),
        model_of(tying=tying).to(torch.float64),
        model_of(tying=tying).to("meta").to_empty(device="cpu"),
        build_empty_language_model(config(tying=tying), WORDS, torch.device("meta")),
    ]
    for model in lives:
        model.embeddings.assert_tied()
        matrices = {"embeddings.input"} | ({"embeddings.output"} if tying == "untied" else set())
        assert {name for name in unique_parameters(model) if name.startswith("embeddings.")} == {
            *matrices,
            "embeddings.output_bias",
        }
        assert len(model.embeddings.matrices()) == len(matrices)
    model.embeddings.output = torch.nn.Parameter(model.embeddings.input.detach())
    model.embeddings.input = torch.nn.Parameter(model.embeddings.input.detach())
    if tying == "tied":
        with pytest.raises(AssertionError, match="tied tying broken"):
            model.embeddings.assert_tied()


def test_a_tied_rows_gradient_is_the_sum_of_both_roles_and_only_rows_that_took_part_have_one() -> None:
    """Section 3: the input matrix's rows are updated where their word is read, the output's all, the tied one's all."""
    inputs, labels = torch.tensor([[2, 3], [4, 2]]), torch.tensor([[3, 5], [2, 6]])
    grads: dict[str, Tensor] = {}
    for tying in ("untied", "tied"):
        model = model_of(tying=tying).double()
        with torch.no_grad():
            model.embeddings.output.copy_(model.embeddings.input)
        rows, _ = model.features(inputs, model.initial_state(2))
        torch.nn.functional.cross_entropy(model.embeddings.scores(rows).flatten(0, 1), labels.flatten()).backward()
        for name, matrix in (("input", model.embeddings.input), ("output", model.embeddings.output)):
            assert matrix.grad is not None
            grads[f"{tying} {name}"] = matrix.grad
    assert grads["untied input"].abs().sum(1).nonzero().flatten().tolist() == [2, 3, 4]
    assert bool((grads["untied output"].abs().sum(1) > 0).all())
    assert grads["tied input"] is grads["tied output"]
    torch.testing.assert_close(grads["tied input"], grads["untied input"] + grads["untied output"])


def test_modes_start_equal_in_everything_that_is_not_a_vocabulary_matrix() -> None:
    untied, tied = (unique_parameters(model_of("projected", tying=tying)) for tying in ("untied", "tied"))
    assert untied.keys() - tied.keys() == {"embeddings.output"}
    for name, parameter in tied.items():
        assert torch.equal(parameter, untied[name]), name


@every_kind
def test_parameters_start_where_the_configuration_says(kind: str) -> None:
    for uniform in (True, False):
        model = model_of(kind, initialization=0.04, uniform_biases=uniform)
        for name, parameter in unique_parameters(model).items():
            values = parameter.detach()
            if name == "rhn.bias":
                assert bool((values[:, E:] == -2).all())
                values = values[:, :E]
            if "bias" in name and not uniform:
                assert not values.any(), name
            else:
                assert 0.02 < float(values.abs().max()) <= 0.04, name


@every_kind
def test_a_text_read_in_parts_has_the_features_of_one_read_at_once(kind: str) -> None:
    model = model_of(kind).eval().double()
    text = words(10)
    whole, last = model.features(text, model.initial_state(B))
    parts, state = [], model.initial_state(B)
    for start, end in ((0, 4), (4, 5), (5, 10)):
        rows, state = model.features(text[start:end], detached(state))
        parts.append(rows)
    assert whole.shape == (10, B, E)
    torch.testing.assert_close(torch.cat(parts), whole)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other)
        assert one.shape[1] == B


@every_kind
def test_the_fast_way_has_the_plain_ones_numbers_and_draws(kind: str) -> None:
    model = model_of(kind).double().train()
    found = []
    for model.fast in (True, False):
        torch.manual_seed(5)
        rows, state = model.features(words(), model.initial_state(B))
        total = rows.sin().sum() + sum(part.square().sum() for part in state)
        parameters = [each for name, each in unique_parameters(model).items() if "output" not in name]
        found.append([rows, *state, *torch.autograd.grad(total, parameters)])
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-12, rtol=1e-10)


@every_kind
def test_dropout_is_of_training_alone_and_follows_the_seed(kind: str) -> None:
    model = model_of(kind)

    def rows(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return model.features(words(), model.initial_state(B)).rows

    model.eval()
    assert torch.equal(rows(1), rows(2))
    model.train()
    assert torch.equal(rows(1), rows(1))
    drops = bool(KINDS[kind].keys() & {"dropout", "word_dropout"})
    assert torch.equal(rows(1), rows(2)) is not drops


def test_bayesian_masks_stay_over_the_steps_of_a_call() -> None:
    """Those of what is read, i and h, are seen through the layers; the output's at once: the same places are zero."""
    model = model_of("bayesian", word_dropout=0.0, input_dropout=0.0, hidden_dropout=0.0).train()
    torch.manual_seed(1)
    rows = model.features(words(50), model.initial_state(B)).rows
    dropped = rows == 0
    assert torch.equal(dropped.all(0), dropped.any(0))
    assert 0 < int(dropped[0].sum()) < dropped[0].numel()
    assert not torch.equal(dropped[0, 0], dropped[0, 1])  # each stream has its own
    zaremba = model_of("zaremba", dropout=0.5).train()
    dropped = zaremba.features(words(50), zaremba.initial_state(B)).rows == 0
    assert not torch.equal(dropped.all(0), dropped.any(0))


def test_word_masks_are_of_places_or_of_words() -> None:
    torch.manual_seed(1)
    read, like = torch.randint(5, (40, 200)), torch.zeros(1)
    for by_word in (True, False):
        mask = word_mask(read, 0.3, like, by_word=by_word)
        assert mask is not None
        assert mask.shape == (40, 200, 1)
        assert sorted(set(mask.flatten().tolist())) == pytest.approx([0, 1 / 0.7])
        kept = mask[:, :, 0] > 0
        agree = [
            len(set(kept[read[:, column] == word, column].tolist())) == 1 for column in range(200) for word in range(5)
        ]
        assert (sum(agree) == len(agree)) is by_word
        draws = 200 * 5 if by_word else kept.numel()
        assert float(kept.double().mean()) == pytest.approx(0.7, abs=5 * (0.3 * 0.7 / draws) ** 0.5)
    assert word_mask(read, 0.0, like, by_word=True) is None


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.75])
def test_masks_drop_at_their_rate_and_keep_the_mean(rate: float) -> None:
    model = model_of("bayesian", embedding_size=500).train()
    torch.manual_seed(1)
    mask = model.mask(rate, torch.zeros(B, 500), 4)  # type: ignore[operator]
    assert mask.shape == (4, B, 500)
    limit = 5 * (rate * (1 - rate) / mask.numel()) ** 0.5
    assert float((mask == 0).double().mean()) == pytest.approx(rate, abs=limit)
    assert float(mask.mean()) == pytest.approx(1, abs=limit / (1 - rate))
    model.eval()
    assert model.mask(rate, torch.zeros(B, 500), 4) is None  # type: ignore[operator]


def test_the_penalty_is_the_authors_term_of_the_projection_and_half_of_all_squares() -> None:
    model = model_of("projected", weight_penalty=1e-3)
    squares = {name: float(each.detach().double().square().sum()) for name, each in unique_parameters(model).items()}
    for streams in (1, 20):
        expected = squares["projection.weight"] / 2 / (6.5 * streams) + 1e-3 / 2 * sum(squares.values())
        assert model.penalty(streams).item() == pytest.approx(expected, rel=1e-6)
    model = model_of("projected")
    model.penalty(20).backward()
    with_gradient = [name for name, each in unique_parameters(model).items() if each.grad is not None]
    assert with_gradient == ["projection.weight"]  # not b_P
    grad = unique_parameters(model)["projection.weight"].grad
    assert grad is not None
    torch.testing.assert_close(grad, unique_parameters(model)["projection.weight"].detach() / (6.5 * 20))
    for without in (model_of(), model_of("projected", projection_penalty=0.0)):
        assert without.penalty(20).item() == 0


def test_weight_decay_shrinks_every_parameter_once() -> None:
    model = model_of(weight_decay=0.25, uniform_biases=True)
    before = {name: each.detach().clone() for name, each in unique_parameters(model).items()}
    model.decay()
    for name, parameter in unique_parameters(model).items():
        torch.testing.assert_close(parameter.detach(), 0.75 * before[name])
    still = model_of()
    still.decay()
    assert all(torch.equal(one, other) for one, other in zip(still.parameters(), model_of().parameters(), strict=True))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"architecture": "gru"}, "lm.architecture: unknown value 'gru'; choose one of lstm, rhn"),
        ({"tying": "three-way"}, "lm.tying: unknown value 'three-way'; choose one of untied, tied"),
        (
            {"architecture": "rhn", "layers": 3},
            "lm.layers: is of lstm models, and lm.architecture is rhn; leave it out",
        ),
        ({"depth": 3}, "lm.depth: is of rhn models, and lm.architecture is lstm; leave it out"),
        ({"hidden_size": 300}, "lm.hidden_size: 300 is out of range: it must be lm.embedding_size (200)"),
        ({"dropout": 1.0}, "lm.dropout: 1.0 is out of range: it must be at least 0 and below 1"),
        (
            {"dropout": 0.5, "hidden_dropout": 0.5},
            "lm.dropout: 0.5 is out of range: it must be 0 where dropout is Bayesian",
        ),
        ({"weight_decay": 1.0}, "lm.weight_decay: 1.0 is out of range: it must be below 1"),
        ({"projection_penalty": -1.0}, "lm.projection_penalty: -1.0 is out of range: it must be 0 or more and finite"),
        ({"word_masks": "row"}, "lm.word_masks: unknown value 'row'; choose one of token, word"),
    ],
)
def test_wrong_values_are_refused_in_one_line(keys: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as raised:
        LanguageConfig(**keys)  # type: ignore[arg-type]
    assert str(raised.value).startswith(message)
