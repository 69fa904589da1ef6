"""Rank correlations against the definition, rows against the vocabulary, neighbours in spaces made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bpe.errors import UserError
from nmt.evaluate import rankcorrelation
from nmt.evaluate.rankcorrelation import centred_ranks, correlation, pair_cosines, spearman
from nmt.folder.bundle import load_bundle
from nmt.report.document import as_html, as_markdown
from nmt.reproduce.correlations import Correlation, check_memory, correlations
from nmt.reproduce.embeddings import (
    DOMAINS,
    MATRICES,
    OUTPUT,
    TARGET_INPUT,
    ModelName,
    common_domain,
    frequent_ids,
    matrices_of,
    name_models,
)
from nmt.reproduce.neighbours import SharedSpace, frequent_words, is_word, sides_of
from nmt.reproduce.similarity import Neighbours, Study, StudyOptions, study, study_parts
from nmt.text.vocabulary import Vocabulary
from nmt.tying import Tying
from tests.tiny_model import make_model_folder

pytestmark = pytest.mark.numeric
VOCABULARY = Vocabulary(
    both=tuple(f"both{n}" for n in range(8)),
    source_only=("woman", "ing@@", "people", "'s"),
    target_only=("Frau", "Leute"),
)


def directions(*degrees: float) -> np.ndarray:
    """Unit vectors of a plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def ranks_by_definition(values: np.ndarray) -> np.ndarray:
    """1 + how many are smaller + half of how many others are equal."""
    smaller = (values[None, :] < values[:, None]).sum(1)
    equal = (values[None, :] == values[:, None]).sum(1) - 1
    ranks: np.ndarray = 1 + smaller + equal / 2
    return ranks


def test_ranks_with_ties_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(1)
    for values in (np.array([3.0, 1.0, 3.0, 2.0, 3.0]), generator.integers(0, 20, 400), generator.normal(size=301)):
        expected = 2 * ranks_by_definition(values) - len(values) - 1
        assert centred_ranks(values).tolist() == expected.tolist()


def test_pairs_are_all_above_the_diagonal_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankcorrelation, "BLOCK_ROWS", 4)
    matrix = np.random.default_rng(2).normal(size=(11, 5)).astype(np.float32)
    lengths = np.linalg.norm(matrix, axis=1)
    expected = (matrix @ matrix.T / lengths / lengths[:, None])[np.triu_indices(11, 1)]
    assert pair_cosines(matrix) == pytest.approx(expected, abs=1e-6)
    matrix[3] = 0
    assert (np.abs(pair_cosines(matrix)) <= 1e-6).sum() == 10  # a row of zeros is like no other


def test_rho_of_hand_made_matrices() -> None:
    line = directions(0, 10, 30)  # pairs 0-1, 0-2, 1-2 at 10, 30, 20 degrees: ranks 3, 1, 2
    assert spearman(line, 7 * directions(90, 105, 150)) == pytest.approx(1)  # 15, 60, 45: the same order
    assert spearman(line, directions(0, 30, 10)) == pytest.approx(-1)  # 30, 10, 20: ranks 1, 3, 2
    assert spearman(line, directions(0, 60, 40)) == pytest.approx(-0.5)  # 60, 40, 20: ranks 1, 2, 3
    assert spearman(line, directions(5, 5, 5)) is None  # all alike
    assert spearman(line[:2], line[:2]) is None  # one pair


def test_rho_with_ties_known_by_hand() -> None:
    first, second = centred_ranks(np.array([1, 2, 2, 3])), centred_ranks(np.array([1, 2, 3, 4]))
    assert correlation(first, second) == pytest.approx(4.5 / 22.5**0.5)  # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert correlation(first, first) == 1
    assert correlation(first, centred_ranks(np.array([3, 2, 2, 1]))) == -1


def test_rho_is_the_definitions_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankcorrelation, "BLOCK_PAIRS", 100)
    generator = np.random.default_rng(3)
    first = generator.integers(-1, 2, size=(40, 3)).astype(np.float32)  # many equal cosines
    second = first + generator.normal(size=first.shape).astype(np.float32)
    values = [pair_cosines(first), pair_cosines(second)]
    expected = np.corrcoef(ranks_by_definition(values[0]), ranks_by_definition(values[1]))[0, 1]
    assert spearman(first, second) == pytest.approx(expected, abs=1e-12)


def test_rho_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(4)
    first, second = generator.integers(0, 9, 500), generator.integers(0, 9, 500)
    found = correlation(centred_ranks(first), centred_ranks(second))
    assert found == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)


def test_what_does_not_fit_is_refused_with_what_does() -> None:
    check_memory(4000, 18)
    with pytest.raises(UserError, match=r"94,000 pieces in 6 matrices take 222\.2 GiB, the limit is 4.*12,612 fit"):
        check_memory(94_000, 6)
    check_memory(12_612, 6)


def test_frequent_pieces_are_the_same_share_of_each_part() -> None:
    pieces = np.array(VOCABULARY.pieces)
    assert pieces[frequent_ids(VOCABULARY, "union", 7)].tolist() == [
        *("both0", "both1", "both2", "both3", "woman", "ing@@", "Frau")
    ]
    assert pieces[frequent_ids(VOCABULARY, "target view", 5)].tolist() == ["both0", "both1", "both2", "both3", "Frau"]
    assert pieces[frequent_ids(VOCABULARY, "source view", 99)].tolist() == [*pieces[3:15]]
    for domain in DOMAINS:
        for limit in range(1, 20):
            assert len(frequent_ids(VOCABULARY, domain, limit)) == min(
                limit, sum(len(getattr(VOCABULARY, part)) for part in DOMAINS[domain])
            )


def test_domains_that_two_matrices_share() -> None:
    assert common_domain("source view", "target view") == "both"
    assert common_domain("union", "target view") == "target view"
    assert common_domain("union", "union") == "union"


@pytest.mark.parametrize("tying", list(Tying))
def test_rows_are_those_of_the_pieces(tying: Tying, tmp_path: Path) -> None:
    """Each row is what the model itself looks up, or scores with, for the piece."""
    folder = make_model_folder(tmp_path / "model", tying=tying.value)
    bundle = load_bundle(folder, torch.device("cpu"))
    vocabulary, embeddings = bundle.vocabulary, bundle.model.embeddings
    found = matrices_of(bundle, name_models([folder])[0], 1000)
    assert [matrix.name for matrix in found] == [name for name, _ in MATRICES[tying].values()]
    assert len(found) == len({embeddings.source_input, embeddings.target_input, embeddings.output})
    for matrix in found:
        assert matrix.rows.keys() == {name for name in DOMAINS if set(DOMAINS[name]) <= set(DOMAINS[matrix.domain])}
        for domain, rows in matrix.rows.items():
            pieces = [piece for part in DOMAINS[domain] for piece in getattr(vocabulary, part)]
            assert len(rows) == len(pieces)
            for piece, row in zip(pieces, rows, strict=True):
                union = np.array(vocabulary.id_of(piece))
                source, target = (int(view.from_union(union)) for view in (bundle.source_view, bundle.target_view))
                if matrix.parameter == "source_input":
                    expected = embeddings.source(torch.tensor(source))
                elif matrix.parameter == "target_input":
                    expected = embeddings.target(torch.tensor(target))
                else:
                    scores = embeddings.scores(torch.eye(len(row))) - embeddings.output_bias
                    expected = scores[:, target]
                assert row.tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_the_tied_matrix_is_like_the_one_it_was_made_from(tmp_path: Path) -> None:
    """Of untied models, one whose input is the other's output: only that pair has rho 1."""
    folders = [make_model_folder(tmp_path / name, tying="untied", seed=seed) for seed, name in ((1, "a"), (2, "b"))]
    matrices = []
    for folder, name in zip(folders, name_models(folders), strict=True):
        matrices += matrices_of(load_bundle(folder, torch.device("cpu")), name, 1000)
    matrices[4] = replace(matrices[4], rows={name: 3 * rows for name, rows in matrices[2].rows.items()})
    found = correlations(matrices)
    assert len(found) == 15
    for pair in found:
        same = pair.first_model.startswith("a") and pair.first_matrix == OUTPUT[Tying.UNTIED]
        same = same and pair.second_model.startswith("b") and pair.second_matrix == TARGET_INPUT
        assert pair.rho is not None
        assert pair.rho > 0.9999 if same else abs(pair.rho) < 0.2


def test_equal_starts_are_marked(tmp_path: Path) -> None:
    folders = [make_model_folder(tmp_path / mode.value, tying=mode.value) for mode in Tying]
    found = study(folders, StudyOptions()).correlations
    marked = {(c.first_model, c.first_matrix, c.second_model) for c in found if c.same_start}
    assert marked == {
        ("untied", "source input", "decoder"),
        ("untied", "source input", "three-way"),
        ("untied", "target input", "decoder"),
        ("decoder", "source input", "three-way"),
    }


def test_models_are_named_and_checked(tmp_path: Path) -> None:
    first, second = (make_model_folder(tmp_path / name / "model", tying="decoder") for name in ("one", "two"))
    assert [model.name for model in name_models([first])] == ["model (decoder)"]
    assert [model.name for model in name_models([first, second])] == [f"{first} (decoder)", f"{second} (decoder)"]
    with pytest.raises(UserError, match="given twice"):
        name_models([first, tmp_path / "two" / ".." / "one" / "model"])


def turned_space() -> SharedSpace:
    """Target rows are the source's plus an offset that centring takes away, in another order."""
    rows = np.random.default_rng(5).normal(size=(300, 20)).astype(np.float32)
    names = tuple(f"s{n}" for n in range(300)), tuple(f"t{n}" for n in reversed(range(300)))
    return SharedSpace({"source": names[0], "target": names[1]}, {"source": rows, "target": rows[::-1] + 10})


def test_neighbours_are_found_both_ways() -> None:
    space = turned_space()
    found = space.neighbourhood("source", "s7", 3)
    assert (found.side, found.piece, found.nearest[0].piece) == ("source", "s7", "t7")
    assert found.nearest[0].cosine == pytest.approx(1, abs=1e-5)
    assert [near.cosine for near in found.nearest] == sorted((near.cosine for near in found.nearest), reverse=True)
    assert space.neighbourhood("target", "t200", 1).nearest[0].piece == "s200"
    assert len(space.neighbourhood("target", "t200", 999).nearest) == 300


def test_alignment_tells_a_shared_space_from_chance() -> None:
    space = turned_space()
    aligned = space.alignment(1000)
    assert (aligned.num_source, aligned.num_target) == (300, 300)
    assert aligned.centred_nearest == pytest.approx(1, abs=1e-5)
    assert aligned.chance < 0.75
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in space.rows.values()]
    assert aligned.random == pytest.approx(float((unit[0] @ unit[1].T).mean()), abs=1e-6)
    assert aligned.nearest == pytest.approx(float((unit[0] @ unit[1].T).max(1).mean()), abs=1e-6)
    other = np.random.default_rng(6).normal(size=(300, 20)).astype(np.float32)
    unaligned = SharedSpace(space.pieces, {"source": space.rows["source"], "target": other}).alignment(1000)
    assert unaligned.centred_nearest == pytest.approx(unaligned.chance, abs=0.02)


@pytest.mark.parametrize(
    ("piece", "bpe", "sentencepiece"),
    [
        ("dog", True, False),
        ("dog@@", False, False),
        ("▁dog", False, True),
        ("of", False, False),
        ("▁of", False, False),
        ("don't", False, False),
        ("1984", False, False),
        ("हिन्दी", True, False),
    ],
)
def test_words(piece: str, bpe: bool, sentencepiece: bool) -> None:
    assert is_word(piece, sentencepiece=False) is bpe
    assert is_word(piece, sentencepiece=True) is sentencepiece


def test_words_of_one_language_alone() -> None:
    assert frequent_words(VOCABULARY, 1, sentencepiece=False) == [("source", "woman"), ("target", "Frau")]
    assert frequent_words(VOCABULARY, 9, sentencepiece=False)[1] == ("source", "people")
    assert sides_of(["Leute", "'s"], VOCABULARY) == [("target", "Leute"), ("source", "'s")]
    with pytest.raises(UserError, match="'wonan' is not a piece of one language alone; near it: woman"):
        sides_of(["wonan"], VOCABULARY)
    with pytest.raises(UserError, match="'both1' is a piece of both languages"):
        sides_of(["both1"], VOCABULARY)


def hand_made_study(rho_input: float, rho_output: float) -> Study:
    tied, untied = (
        ModelName(folder=Path(name), tying=tying, seed=1, name=name)
        for name, tying in (("<tied>", Tying.DECODER), ("plain", Tying.UNTIED))
    )
    found = [
        Correlation(
            first_model="<tied>",
            first_matrix=OUTPUT[Tying.DECODER],
            second_model="plain",
            second_matrix=matrix,
            rho=rho,
            num_pieces=1234,
            domain="target view",
            same_start=False,
        )
        for matrix, rho in ((TARGET_INPUT, rho_input), (OUTPUT[Tying.UNTIED], rho_output))
    ]
    return Study(
        source="en",
        target="de",
        vocabulary="",
        options=StudyOptions(),
        models=(tied, untied),
        correlations=tuple(found),
        neighbours=(Neighbours(model="<tied>", note="a < b"),),
    )


def test_the_papers_question_is_answered_either_way() -> None:
    answers = [next(hand_made_study(*rhos).readings()) for rhos in ((0.2, 0.9), (0.9, 0.2), (0.5, 0.52))]
    assert answers == [
        "The tied embedding of <tied> is more like the output embedding (rho 0.900) than the target input embedding "
        "(rho 0.200) of plain, over 1,234 pieces of the target view.",
        "The tied embedding of <tied> is more like the target input embedding (rho 0.900) than the output embedding "
        "(rho 0.200) of plain, over 1,234 pieces of the target view.",
        "The tied embedding of <tied> is about as like the output embedding (rho 0.520) as the target input embedding "
        "(rho 0.500) of plain, over 1,234 pieces of the target view.",
    ]


def test_reports_are_escaped_parts_of_a_page() -> None:
    parts = study_parts(hand_made_study(0.2, 0.9), level=3)
    page = as_html("T", parts, {})
    assert "<tied>" not in page
    assert "<h3>Neighbours across en and de: &lt;tied&gt;</h3>\n<p>a &lt; b</p>" in page
    assert "0.900" in page
    assert as_markdown("T", parts, {}).startswith("# T\n\n### Rank correlations of similarities\n\n")


def test_options_are_checked() -> None:
    for option, value in (("pieces", 2), ("neighbours", 0), ("words", -1)):
        with pytest.raises(UserError, match=f"--{option}: {value}, but the least is {value + 1}"):
            StudyOptions(**{option: value})  # type: ignore[arg-type]
