"""nmt-lm: from a text to a model that scores and draws; resumed to the bit; and what each wrong use prints."""

from __future__ import annotations

import json
import math
import random
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nmt.cli import lm, translate
from nmt.cli import train as nmt_train
from nmt.folder.language import LanguageBundle, load_language_bundle
from nmt.training.reporting import read_metrics
from tests.forked import Forked
from tests.in_process import call

WORDS = [f"w{number}" for number in range(12)]
SMALL = [
    "--threads", "1", "--device", "cpu", "--quiet",
    "--set", "lm.embedding_size=6", "--set", "lm.dropout=0.2", "--set", "lm.streams=4", "--set", "lm.unroll=5",
    "--set", "training.save_every=7", "--set", "training.log_every=5", "--set", "training.tensorboard=false",
]  # fmt: skip


def text(lines: int, seed: int) -> str:
    """Every word is followed by one of two others."""
    draw, word, said = random.Random(seed), 0, []
    for _ in range(lines):
        line = []
        for _ in range(draw.randint(1, 8)):
            word = (3 * word + draw.randint(1, 2)) % len(WORDS)
            line.append(WORDS[word])
        said.append(" ".join(line))
    return "\n".join(said) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """corpus/, lm-prepared/ of it, and lm/, trained for two epochs in one go."""
    place = tmp_path_factory.mktemp("lm")
    (place / "corpus").mkdir()
    for seed, (split, lines) in enumerate({"train": 120, "valid": 20, "test": 20}.items()):
        (place / f"corpus/{split}.txt").write_text(text(lines, seed))
    assert call(lm.main, ["prep", "--quiet"], place).returncode == 0
    assert lm.main(training(place, place / "lm")) == 0
    return place


def training(place: Path, model: Path, *more: str) -> list[str]:
    return [
        "train",
        "--prepared",
        str(place / "lm-prepared"),
        "--model",
        str(model),
        *SMALL,
        "--max-epochs",
        "2",
        *more,
    ]


@pytest.fixture(scope="module")
def bundle(folder: Path) -> LanguageBundle:
    return load_language_bundle(folder / "lm", torch.device("cpu"))


def rows(bundle: LanguageBundle, path: Path) -> list[int]:
    return [row for line in path.read_text().splitlines() for row in (*bundle.vocabulary.encode(line.split()), 0)]


def log_probs(bundle: LanguageBundle, words: list[int]) -> torch.Tensor:
    """Of every word but the first, all of it read at once from a zero state."""
    given = torch.tensor(words)
    features = bundle.model.features(given[:-1, None], bundle.model.initial_state(1)).rows
    return torch.log_softmax(bundle.model.embeddings.scores(features[:, 0]), -1).gather(1, given[1:, None])[:, 0]


def test_a_run_validates_at_the_end_of_each_epoch_and_learns(folder: Path) -> None:
    found = [record for record in read_metrics(folder / "lm/metrics.jsonl") if record["kind"] == "validation"]
    state = json.loads((folder / "lm/last/state.json").read_text())
    assert [record["epoch"] for record in found] == [1, 2]
    assert (state["epoch"], state["batch"], state["finished"]) == (2, 0, "2 epochs of 2")
    assert found[0]["update"] * 2 == found[1]["update"] == state["update"]
    assert found[1]["perplexity"] < found[0]["perplexity"] < 13
    assert found[1]["perplexity"] == pytest.approx(math.exp(found[1]["cross_entropy"]))
    for record in found:  # the mean of the epoch's progress lines, but for its last updates
        lines = [r["cross_entropy"] for r in read_metrics(folder / "lm/metrics.jsonl") if "loss" in r]
        lines = lines[: len(lines) // 2] if record["epoch"] == 1 else lines[len(lines) // 2 :]
        assert record["epoch_cross_entropy"] == pytest.approx(sum(lines) / len(lines), abs=0.05)


def wait_for(path: Path, least: int) -> None:
    for _ in range(30000):
        if path.exists() and any(record["update"] >= least for record in read_metrics(path)):
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not come to update {least}")


def test_a_run_killed_in_the_middle_of_an_epoch_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    """Killed after update 10 or a few later; the state of the streams is that of the last save."""
    wanted = training(folder, tmp_path / "model")
    slow = "import time, nmt.training.step\nbegin = nmt.training.step.Updater.begin\n"
    slow += "nmt.training.step.Updater.begin = lambda *given: (time.sleep(0.02), begin(*given))[1]"
    run = Forked(lm.main, wanted, before=slow)
    wait_for(tmp_path / "model/metrics.jsonl", 10)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    carried = load_file(tmp_path / "model/last/task.safetensors")
    assert {name: tuple(part.shape) for name, part in carried.items()} == {"state.0": (2, 4, 6), "state.1": (2, 4, 6)}
    assert all(bool(part.any()) for part in carried.values())
    assert lm.main(wanted) == 0
    for name in ("best", "last/weights", "last/task"):
        one, other = (load_file(model / f"{name}.safetensors") for model in (folder / "lm", tmp_path / "model"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_workers_share_the_streams_and_any_number_goes_on_with_the_state_of_all(folder: Path, tmp_path: Path) -> None:
    """Two workers of two streams each are one of four; what the first saves has the state of all."""
    plain = ["--set", "lm.dropout=0", "--max-updates"]
    one, two = (training(folder, tmp_path / name, *plain) for name in ("one", "two"))
    assert lm.main([*one, "11"]) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    runs = [Forked(lm.main, [*two, "6"], told | {"RANK": str(rank)}) for rank in range(2)]
    assert [run.wait(400) for run in runs] == [0, 0]
    assert lm.main([*two, "11"]) == 0
    for name in ("last/weights", "last/task"):
        left, right = (load_file(tmp_path / model / f"{name}.safetensors") for model in ("one", "two"))
        assert left.keys() == right.keys()
        for key in left:
            torch.testing.assert_close(left[key], right[key], rtol=1e-4, atol=1e-6)


def score(folder: Path, *more: object) -> str:
    found = call(lm.main, ["score", "--threads", "1", "--device", "cpu", *more], folder)
    assert found.returncode == 0, found.stderr
    return found.stdout.decode()


def test_perplexity_is_that_of_the_whole_text_and_says_how_it_was_measured(
    folder: Path, bundle: LanguageBundle
) -> None:
    words = rows(bundle, folder / "corpus/test.txt")
    expected = float(-log_probs(bundle, words).mean())
    found = json.loads(score(folder, "corpus/test.txt", "--json"))
    assert found["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert (found["words"], found["streams"], found["unit"]) == (len(words) - 1, 1, "words")
    told = f"(1 stream, state carried from zero, <eos> counted, no dropout, {len(words) - 1} words predicted)"
    assert score(folder, "corpus/test.txt") == f"perplexity {found['perplexity']:.2f} {told}\n"
    number = 3 * (len(words) // 3 - 1)
    told = f"(3 streams, state carried from zero, <eos> counted, no dropout, {number} words predicted)\n"
    assert score(folder, "corpus/test.txt", "--streams", 3).endswith(told)


def test_lines_are_scored_after_each_other_or_each_alone(folder: Path, bundle: LanguageBundle) -> None:
    words = rows(bundle, folder / "corpus/test.txt")
    printed = [line.split("\t") for line in score(folder, "corpus/test.txt", "--lines").splitlines()]
    assert [line for _, _, line in printed] == (folder / "corpus/test.txt").read_text().splitlines()
    assert sum(float(log_prob) for log_prob, _, _ in printed) == pytest.approx(
        float(log_probs(bundle, words).sum()), abs=1e-2
    )
    alone = score(folder, "corpus/test.txt", "--lines", "--each-line-alone").splitlines()[2].split("\t")
    line = [0, *bundle.vocabulary.encode(alone[2].split()), 0]
    assert float(alone[0]) == pytest.approx(float(log_probs(bundle, line).sum()), abs=1e-3)
    assert int(alone[1]) == len(line) - 1


def test_mc_dropout_is_drawn_by_the_seed(folder: Path) -> None:
    found = [score(folder, "corpus/test.txt", "--mc-dropout", 3, "--seed", seed, "--json") for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert "mean of 3 draws of dropout" in score(folder, "corpus/test.txt", "--mc-dropout", 3)


def generate(folder: Path, *more: object, given: str = "") -> list[str]:
    arguments = ["generate", "--threads", "1", "--device", "cpu", "--words", "9", *more]
    found = call(lm.main, arguments, folder, given.encode())
    assert found.returncode == 0, found.stderr
    return found.stdout.decode().splitlines()


def test_text_is_drawn_by_the_seed_and_goes_on_from_what_is_given(folder: Path, bundle: LanguageBundle) -> None:
    first, again, other = (generate(folder, "--number", 4, "--seed", seed) for seed in (1, 1, 2))
    assert first == again != other
    assert {word for line in first for word in line.split()} <= set(WORDS)
    greedy = generate(folder, "--prompts", "--temperature", "0", given="w1 w4\n")[0].split()
    assert greedy[:2] == ["w1", "w4"]
    for place in range(2, len(greedy)):
        words = [0, *bundle.vocabulary.encode(greedy[:place])]
        rows_before = bundle.model.features(torch.tensor(words)[:, None], bundle.model.initial_state(1)).rows
        best = int(bundle.model.embeddings.scores(rows_before[-1, 0]).argmax())
        assert bundle.vocabulary.name(best) == greedy[place]


def test_subwords_come_out_as_raw_text(folder: Path, tmp_path: Path) -> None:
    words = ["--corpus", str(folder / "corpus"), "--prepared", str(tmp_path / "pieces"), "--joint-bpe", "8", "--quiet"]
    assert lm.main(["prep", *words]) == 0
    place = ["train", "--prepared", str(tmp_path / "pieces"), "--model", str(tmp_path / "lm"), *SMALL]
    assert lm.main([*place, "--max-updates", "2"]) == 0
    line = generate(tmp_path, "--prompts", given="w10 w7, brand-new\n")[0]
    assert line.startswith("w10 w7, brand-new")
    assert "pieces predicted" in score(tmp_path, folder / "corpus/test.txt")


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A folder whose lm-prepared/ and lm/ may be spoilt."""
    for name in ("corpus", "lm-prepared", "lm"):
        for path in (folder / name).rglob("*"):
            if path.is_file():
                target = tmp_path / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    return tmp_path


def spoil_vocabulary(place: Path) -> None:
    """Another text's vocabulary in the model folder."""
    (place / "corpus/train.txt").write_text("other words\n" * 30)
    (place / "corpus/valid.txt").write_text("other words\n" * 30)
    (place / "corpus/test.txt").unlink()
    assert call(lm.main, ["prep", "--quiet", "--prepared", "other"], place).returncode == 0
    (place / "lm/vocabulary.json").write_bytes((place / "other/vocabulary.json").read_bytes())


def spoil_tying(place: Path) -> None:
    config = (place / "lm/config.yaml").read_text()
    (place / "lm/config.yaml").write_text(config.replace("tying: tied", "tying: untied"))


WRONG = [
    (None, ["train", "--tying", "untied"], "lm: this run has lm.tying = 'tied', which cannot become 'untied' half way"),
    (
        spoil_tying,
        ["score", "corpus/test.txt"],
        "weights tied 'tied' do not fit a model tied 'untied'; set lm.tying to",
    ),
    (
        spoil_vocabulary,
        ["score", "corpus/test.txt"],
        "lm/vocabulary.json: this vocabulary does not belong to the model",
    ),
    (spoil_vocabulary, ["train", "--prepared", "other"], "lm: was trained on other data than other holds"),
    (None, ["score", "corpus/nothing.txt"], "corpus/nothing.txt: no such file"),
    (None, ["score"], "standard input: an empty text: there is no word to predict"),
    (
        None,
        ["train", "--model", "new", "--set", "lm.unroll=500"],
        "words do not fill 4 streams of 500 steps, which take",
    ),
    (
        None,
        ["train", "--model", "new", "--set", "training.label_smoothing=0.1"],
        "training.label_smoothing: is of transl",
    ),
    (
        None,
        ["train", "--model", "new", "--tying", "three-way"],
        "lm.tying: unknown value 'three-way'; choose one of unt",
    ),
    (None, ["generate", "--temperature", "-1"], "--temperature: -1.0 is out of range: it must be 0 or more"),
    (None, ["sing"], "unknown command 'sing'; choose one of prep, train, score, generate"),
    (None, [], "no command named; choose one of prep, train, score, generate"),
]


@pytest.mark.parametrize(("spoil", "words", "told"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_wrong_use_is_one_line(spoil: object, words: list[str], told: str, copied: Path) -> None:
    if callable(spoil):
        spoil(copied)
    if words[:1] == ["train"]:
        words = ["train", *SMALL, *words[1:]]
    found = call(lm.main, words, copied)
    printed = found.stderr.decode()
    assert found.returncode == 2, printed
    assert printed.startswith("nmt-lm")
    assert told in printed
    assert printed.count("\n") == 1


def test_a_model_of_the_wrong_kind_is_told(copied: Path) -> None:
    for main, words in ((translate.main, ["--model", "lm"]), (nmt_train.main, ["--model", "lm", "--force"])):
        found = call(main, words, copied)
        assert found.returncode == 2
        told = "error: lm: holds a language model, not a translation model; nmt-lm reads it\n"
        assert found.stderr.decode().endswith(told)
    (copied / "lm/manifest.json").write_text((copied / "lm/manifest.json").read_text().replace('"task"', '"was"'))
    found = call(lm.main, ["score", "corpus/test.txt"], copied)
    assert "lm: holds a translation model, not a language model; nmt-translate reads it" in found.stderr.decode()
