"""scripts/bench translate with our own search alone, on sizes that take seconds; its parts. No time is asserted."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from bpe.command import run
from bpe.errors import UserError
from nmt.config import ModelConfig
from nmt.layers.tying import unique_parameters
from nmt.models.build import VocabularySizes, build_empty
from scripts.benchmarks import environments, translate
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.environments import PEERS, Edit, Peer
from scripts.benchmarks.model_cost import OURS, SIZES, Sizes, cost
from scripts.benchmarks.peers_translate import with_ratios
from scripts.benchmarks.transformer_cost import TransformerSizes, transformer_cost
from scripts.benchmarks.translate_text import LONGEST, SHORTEST, made_up, of_file
from tests.in_process import call
from tests.tiny_model import make_model_folder

TINY = "--embedding 8 --hidden 12 --vocabulary 60 --sentences 6 --batch 4 --alone 3 --beam 2 --length 5 --rounds 1"


def benchmark(words: list[str]) -> int:
    """scripts/bench in this process."""
    return run("scripts/bench", main, words)


def test_our_own_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, variants = tmp_path / "found.json", ("float32", "float32+shortlist")
    translate.main([*TINY.split(), "--threads", "1", "--peers", "--variants", *variants, "--json", str(path)])
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["command"] in capsys.readouterr().out
    assert report["options"]["vocabulary"] == [60]
    assert report["missing"] == {}
    speed, models = report["tables"]
    assert [row["tool"] for row in speed["rows"]] == ["ours, float32", "ours, float32+shortlist"]
    for row in speed["rows"]:
        assert row["pieces_per_second"] == pytest.approx(6 * row["sentences_per_second"])  # five and </s>
        assert row["sentences_per_second"] == pytest.approx(6 / row["seconds"])
        for figure in ("alone_median", "alone_95", "import_seconds", "load_seconds", "peak_bytes"):
            assert row[figure] > 0
    sizes = Sizes(embedding=8, hidden=12)
    assert models["rows"][0]["parameters"] == cost(OURS, 63, sizes).parameters


def test_a_transformer_and_ctranslate2_with_its_weights(tmp_path: Path) -> None:
    peers = ["ctranslate2"] if importlib.util.find_spec("ctranslate2") else []
    path, sizes = tmp_path / "found.json", "--architecture transformer --layers 2 --heads 2 --feedforward 12"
    words = [*TINY.split(), *sizes.split(), "--threads", "1", "--variants", "float32", "--json", str(path)]
    translate.main([*words, "--peers", *peers])
    report = json.loads(path.read_text(encoding="utf-8"))
    speed, models = report["tables"]
    of_model = transformer_cost(OURS, 63, TransformerSizes(embedding=8, layers=2, heads=2, feedforward=12))
    assert report["missing"] == {}
    assert [row["parameters"] for row in models["rows"]] == [of_model.parameters] * (3 if peers else 1)
    if peers:
        ours, other, _ = speed["rows"]
        assert other["tool"] == "ctranslate2, float32"
        assert ours["of_ctranslate2"] == pytest.approx(ours["sentences_per_second"] / other["sentences_per_second"])
        assert "of_ctranslate2" not in other


@pytest.mark.numeric
def test_variants_of_a_trained_model(tmp_path: Path) -> None:
    make_model_folder(tmp_path / "model")
    (tmp_path / "source").write_text("abc d.\nfed\nhe, he\n")
    (tmp_path / "reference").write_text("abc d.\nfed\nhe, he\n")
    files = "--model model --source source --reference reference --rounds 1 --threads 1 --alone 2"
    variants = "--variants float32 bf16 float32+shortlist"
    done = call(benchmark, ["translate", *files.split(), *variants.split(), "--json", "found.json"], tmp_path)
    assert done.returncode == 0
    assert "no shortlist in model" in done.stdout.decode()
    (table,) = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["tables"]
    assert [row["variant"] for row in table["rows"]] == ["float32", "bf16"]
    first = table["rows"][0]
    assert (first["speed_up"], first["bleu_gained"], first["same_lines"]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--rounds 0", "must be at least 1"),
        ("--model nowhere", "needs --source and --reference"),
        ("--reference nowhere", "needs --model"),
        ("--peers marian", "invalid choice: 'marian'"),
        ("--architecture transformer --peers joeynmt", "no transformer of joeynmt is measured"),
    ],
)
def test_mistakes_are_told(words: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        translate.arguments(words.split())


@pytest.mark.parametrize(("embedding", "hidden", "rows"), [(500, 1000, 90_000), (256, 512, 8003), (3, 5, 7)])
def test_our_cost_is_that_of_our_model(embedding: int, hidden: int, rows: int) -> None:
    config = ModelConfig(embedding_size=embedding, hidden_size=hidden)
    model = build_empty(config, VocabularySizes(rows, rows, rows), torch.device("meta"))
    counted = unique_parameters(model)
    found = cost(OURS, rows, Sizes(embedding=embedding, hidden=hidden))
    assert found.parameters == sum(parameter.numel() for parameter in counted.values())
    products = {name: parameter.numel() for name, parameter in counted.items() if parameter.dim() > 1}
    once = products["initial.weight"] + products["decoder.attention.energy_weight"]
    assert found.per_source_piece + found.per_output_piece == sum(products.values()) - once


@pytest.mark.parametrize("tool", ["fairseq", "opennmt", "joeynmt"])
def test_cost_of_a_peer_grows_with_its_vocabulary_by_its_embeddings(tool: str) -> None:
    width = SIZES[tool].embedding
    less, more = cost(tool, 8004), cost(tool, 8005)
    assert more.per_output_piece - less.per_output_piece == width
    assert more.parameters - less.parameters in (width, width + 1)  # with an output bias
    assert more.per_source_piece == less.per_source_piece


def test_parameters_of_the_peers_as_they_count_them() -> None:
    counted = {"fairseq": 10_320_128, "opennmt": 8_437_572, "joeynmt": 11_710_976}
    assert {tool: cost(tool, 8004).parameters for tool in counted} == counted


def test_made_up_sentences_are_sorted_and_know_every_word(tmp_path: Path) -> None:
    text = made_up(tmp_path, 100, 50)
    words = set(text.words.read_text().split())
    sentences = [line.split() for line in text.sentences.read_text().splitlines()]
    lengths = [len(sentence) for sentence in sentences]
    assert (len(words), len(sentences), sum(lengths)) == (100, 50, text.num_pieces)
    assert lengths == sorted(lengths, reverse=True)
    assert SHORTEST <= lengths[-1] < lengths[0] == text.longest <= LONGEST
    assert {word for sentence in sentences for word in sentence} <= words


def test_vocabulary_of_a_file_is_filled_up(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("a b\n\nc a w1 d\n")
    text = of_file(tmp_path, 8, 10, given)
    words = text.words.read_text().split()
    assert words[:5] == ["a", "b", "c", "w1", "d"]
    assert len(set(words)) == 8
    assert text.sentences.read_text() == "c a w1 d\na b\n"
    with pytest.raises(UserError, match="5 different pieces in 2 sentences, the vocabulary has 4"):
        of_file(tmp_path, 4, 10, given)


def test_ratios_are_to_the_fastest_peer_and_to_joeynmt() -> None:
    rows = [
        {"tool": "ours, float32", "sentences_per_second": 30.0, "alone_median": 0.1},
        {"tool": "fairseq", "sentences_per_second": 20.0, "alone_median": 0.4},
        {"tool": "joeynmt", "sentences_per_second": 5.0, "alone_median": 0.2},
    ]
    ours = with_ratios(rows)[0]
    assert (ours["of_fastest_peer"], ours["of_joeynmt"]) == (1.5, 6)
    assert (ours["alone_of_fastest_peer"], ours["alone_of_joeynmt"]) == (2, 2)
    assert "of_joeynmt" not in with_ratios(rows[:2])[0]


def test_a_peer_that_cannot_be_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(peer: str, folder: Path) -> None:
        environments._run(peer, sys.executable, "-c", "raise SystemExit('ERROR: no such version')")

    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(environments, "_install", fail)
    monkeypatch.setitem(PEERS, "none", Peer(package="none==1", requirements=()))
    pythons, missing = environments.available(["none"])
    assert pythons == {}
    assert missing == {"none": "none cannot be installed: ERROR: no such version"}


def test_a_repair_that_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.py").write_text("a = 1\nb = 2\n")
    edit = Edit(path="file.py", old="b = 2\n", new="")
    monkeypatch.setitem(PEERS, "none", Peer(package="none==1", requirements=(), edits=(edit,)))
    environments._edit("none", tmp_path)
    assert (tmp_path / "file.py").read_text() == "a = 1\n"
    with pytest.raises(UserError, match=r"none cannot be installed: file\.py is not the file"):
        environments._edit("none", tmp_path)
