"""nmt-train --from: another model's weights on new data, in every mode; exact when continued; misfits are refused.

--mix and --embeddings go through the same runs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nmt.cli import prep, train
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import BEST, load_bundle, read_manifest
from nmt.models.architectures import ARCHITECTURES
from nmt.tasks.translation.start import fingerprint_of
from nmt.text.pipeline import SIDES
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary
from nmt.training.loop import Trainer
from nmt.tying import Tying
from tests.integration.test_convert_command import from_dl4mt, write_model
from tests.integration.test_train_command import assert_same_run
from tests.prep_corpus import write_pairs
from tests.tiny_corpus import make_corpus, make_prepared
from tests.tiny_model import make_model_of

CPU = torch.device("cpu")
SETTINGS = [
    "--threads", "1", "--device", "cpu", "--batch-tokens", "200", "--quiet",
    "--set", "training.save_every=100", "--set", "training.validate_every=4", "--set", "training.tensorboard=false",
    "--set", "training.ema=0.9", "--set", "training.precision=float32", "--set", "training.warmup_updates=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("old"), pairs=200)


@pytest.fixture(scope="module")
def model(old: Path) -> Path:
    return make_model_of(old, old.with_name("model"))


@pytest.fixture(scope="module")
def new(model: Path) -> Path:
    """Other text, with a word that the model's text has not, under the model's vocabulary grown by it."""
    folder = model.with_name("new")
    corpus = make_corpus(folder / "corpus", pairs=150, seed=4)
    for language, word in (("en", "Qatar"), ("de", "Katar")):
        with open(corpus / f"train.{language}", "a", encoding="utf-8") as stream:
            stream.write(f"{word} {word}.\n" * 12)
    like = ["--like", str(model), "--extend", "--quiet"]
    assert prep.main(["--corpus", str(corpus), "--prepared", str(folder / "prepared"), *like]) == 0
    return folder / "prepared"


def arguments(model: Path, new: Path, folder: Path, *more: str) -> list[str]:
    return ["--from", str(model), "--prepared", str(new), "--model", str(folder), *SETTINGS, *more]


@pytest.mark.parametrize("tying", [mode.value for mode in Tying])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_update_from_every_kind_of_model(
    old: Path, new: Path, tmp_path: Path, architecture: str, tying: str
) -> None:
    """So small a step that the weights are those of the model to start from, new rows aside."""
    start = make_model_of(old, tmp_path / "start", tying=tying, architecture=architecture)
    step = ["--max-updates", "1", "--set", "training.learning_rate=1e-9"]
    assert train.main(arguments(start, new, tmp_path / "model", *step)) == 0
    before, after = load_bundle(start, CPU), load_bundle(tmp_path / "model", CPU)
    assert after.config.model == before.config.model
    assert after.config.search == before.config.search
    first, last = (dict(each.model.named_parameters()) for each in (before, after))
    for name, value in first.items():
        if not name.startswith("embeddings."):
            torch.testing.assert_close(last[name], value, rtol=0, atol=1e-6)
    for piece in before.vocabulary.side("source")[::5]:
        rows = [each.source_view.from_union(np.array(each.vocabulary.id_of(piece))) for each in (before, after)]
        tables = [each.model.embeddings.source_input for each in (before, after)]
        torch.testing.assert_close(tables[1][int(rows[1])], tables[0][int(rows[0])], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def uninterrupted(model: Path, new: Path, old: Path) -> Path:
    folder = model.with_name("whole")
    mix = ["--mix", f"{old}=0.5", "--max-updates", "16"]
    assert train.main(arguments(model, new, folder, *mix)) == 0
    return folder


def test_continued_it_is_the_same_run(uninterrupted: Path, model: Path, new: Path, old: Path, tmp_path: Path) -> None:
    """With --from again, without it, and where the model to start from is gone; old text is mixed in all the time."""
    gone = shutil.copytree(model, tmp_path / "gone")
    mix = ["--mix", f"{old}=0.5"]
    folder = tmp_path / "model"
    assert train.main(arguments(gone, new, folder, *mix, "--max-updates", "5")) == 0
    shutil.rmtree(gone)
    assert train.main(arguments(gone, new, folder, *mix, "--max-updates", "9")) == 0
    assert train.main(["--prepared", str(new), "--model", str(folder), *SETTINGS, "--max-updates", "16"]) == 0
    for name in ("weights", "optimizer"):
        one, other = (load_file(each / "last" / f"{name}.safetensors") for each in (uninterrupted, folder))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_the_ledger_says_what_a_run_starts_from(
    model: Path, new: Path, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here a single weights file; nothing is trained, and nothing is left behind."""
    mix = ["--mix", f"{old}=0.25", f"{new}=1", "--dry-run"]
    assert train.main(arguments(model / BEST, new, tmp_path / "model", *mix)) == 0
    said = capsys.readouterr().out
    assert f"from {model} ({fingerprint_of(model)[:8]}): update 7; optimizer and schedule are new" in said
    grown = vocabulary_of(new).size - vocabulary_of(old).size
    assert f"  union: {vocabulary_of(old).size} rows kept, {grown} new: means of their parts' rows" in said
    pairs = len(PreparedCorpus.open(new).split("train"))
    assert f"  mixed in: {old}=0.25, {round(0.25 * pairs)} pairs" in said
    assert f"  mixed in: {new}=1, {pairs} pairs" in said
    assert not (tmp_path / "model").exists()


def test_the_manifest_says_what_came_from_where(uninterrupted: Path, model: Path, old: Path) -> None:
    manifest, start = read_manifest(uninterrupted), load_bundle(model, CPU)
    told = manifest["from"]
    assert told["fingerprint"] == fingerprint_of(model)
    assert told["update"] == "7"
    assert told["vocabulary"] == start.vocabulary.fingerprint
    assert told["data"] == read_manifest(model)["data"]["fingerprint"]
    grown = load_bundle(uninterrupted, CPU).vocabulary.size - start.vocabulary.size
    assert told["rows"]["source"] == {"kept": start.vocabulary.size, "new": grown, "mean_of_all": 0}
    assert manifest["mix"] == [{"folder": "prepared", "weight": 0.5, "fingerprint": manifest["mix"][0]["fingerprint"]}]


def test_a_run_killed_before_its_first_save_goes_on_from_the_same_weights(
    model: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state before the first update is saved."""

    def killed(self: Trainer) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            train.command(arguments(model, new, tmp_path / "model", "--max-updates", "4"))
    assert json.loads((tmp_path / "model/last/state.json").read_text(encoding="utf-8"))["update"] == 0
    again = ["--prepared", str(new), "--model", str(tmp_path / "model"), *SETTINGS, "--max-updates", "4"]
    assert train.main(again) == 0
    assert train.main(arguments(model, new, tmp_path / "whole", "--max-updates", "4")) == 0
    assert_same_run(tmp_path / "model", tmp_path / "whole")


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    capsys.readouterr()
    assert train.main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_what_does_not_fit_is_refused(
    model: Path, new: Path, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    said = refused(capsys, arguments(model, new, folder, "--tying", "decoder"))
    assert f"model.tying: is 'three-way' in {model}, and cannot become 'decoder'" in said
    assert f"nmt-convert --tying decoder {model}" in said
    said = refused(capsys, arguments(model, new, folder, "--set", "model.hidden_size=9"))
    assert "model.hidden_size: is 8 in" in said
    said = refused(capsys, arguments(model, new, folder, "--architecture", "transformer"))
    assert "model.architecture: is 'rnn' in" in said
    assert "is the model to start from itself" in refused(capsys, arguments(model, new, model, "--force"))
    assert (model / BEST).exists()
    grown = make_model_of(new, tmp_path / "grown")
    said = refused(capsys, arguments(grown, old, folder))
    assert "its vocabulary lacks" in said
    assert f"nmt-prep --like {grown}" in said
    other = make_prepared(tmp_path / "other", pairs=300, seed=9)
    assert "its bpe subwords are others" in refused(capsys, arguments(model, other, folder))
    assert not folder.exists()


def test_a_run_goes_on_with_what_it_began_with(
    uninterrupted: Path, model: Path, new: Path, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(uninterrupted, tmp_path / "model")
    other = make_model_of(old, tmp_path / "other", seed=3)
    mix = ["--mix", f"{old}=0.5"]
    assert "as it is now" in refused(capsys, arguments(other, new, folder, *mix))
    said = refused(capsys, arguments(model, new, folder, "--mix", f"{old}=0.6"))
    assert "training.mix: other data is mixed in than the run began with; this run has prepared=0.5" in said
    own = tmp_path / "own"
    assert train.main(["--prepared", str(old), "--model", str(own), *SETTINGS, "--max-updates", "1",
                       "--set", "model.hidden_size=4", "--set", "model.embedding_size=4"]) == 0  # fmt: skip
    assert "this run did not start from" in refused(capsys, arguments(model, old, own))


def vocabulary_of(prepared: Path) -> Vocabulary:
    return PreparedCorpus.open(prepared).vocabulary


def write_vectors(path: Path, rows: dict[str, list[float]], width: int) -> Path:
    lines = [f"{len(rows)} {width}", *(f"{word} {' '.join(map(str, values))} " for word, values in rows.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("tying", [mode.value for mode in Tying])
def test_rows_start_from_vectors(old: Path, tmp_path: Path, tying: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With so small a step that they are still the vectors after it."""
    both, target = (part[0] for part in (vocabulary_of(old).both, vocabulary_of(old).target_only))
    vectors = {both: [1.5, -2, 0.25, 4], target: [0.5, 0, 0, -1], "nowhere": [9, 9, 9, 9]}
    file = write_vectors(tmp_path / "vectors.txt", vectors, 4)
    words = ["--prepared", str(old), "--model", str(tmp_path / "model"), *SETTINGS, "--tying", tying]
    words += ["--set", "model.embedding_size=4", "--set", "model.hidden_size=4", "--max-updates", "1"]
    words += ["--embeddings", str(file), "--set", "training.learning_rate=1e-9"]
    words.remove("--quiet")
    assert train.main(words) == 0
    said = capsys.readouterr().err
    assert f"rows from {file}: 2 vectors of root mean square" in said
    bundle = load_bundle(tmp_path / "model", CPU)
    matrices, vocabulary = bundle.model.embeddings, bundle.vocabulary
    counts = ["union: 2 of"] if tying == "three-way" else ["source: 1 of", "target: 2 of"]
    assert all(count in said for count in counts)
    for word, view, tables in (
        (both, bundle.source_view, [matrices.source_input]),
        (both, bundle.target_view, [matrices.target_input, matrices.output]),
        (target, bundle.target_view, [matrices.target_input, matrices.output]),
    ):
        row = int(view.from_union(np.array(vocabulary.id_of(word))))
        assert row >= NUM_SPECIALS
        for table in tables:
            torch.testing.assert_close(table[row], torch.tensor(vectors[word], dtype=torch.float32), rtol=0, atol=1e-6)
    assert read_manifest(tmp_path / "model")["embeddings"]["vectors"] == 2
    other = write_vectors(tmp_path / "other.txt", {both: [1, 1, 1, 1]}, 4)
    words[words.index(str(file))] = str(other)
    words[words.index("--max-updates") + 1] = "2"
    assert "this run did not start from" in refused(capsys, words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 5\nBerlin 1 2 3 4 5\n", ":1: vectors of 5 numbers, where rows have 4"),
        ("Berlin 1 2 3 4\n", ":1: the first line is not the number of words and their size"),
        ("2 4\nBerlin 1 2 3 4\n", ": 1 words, where the first line says 2"),
        ("1 4\nBerlin 1 2 3\n", ":2: 3 numbers, where the first line says 4"),
        ("1 4\nBerlin 1 2 3 nan\n", ":2: holds a number that is not finite"),
        ("1 4\nBerlin 1 2 3 x\n", ":2: holds something that is no number"),
        ("1 4\nnowhere 1 2 3 4\n", "has no word that is a piece of the vocabulary"),
        ("", ":1: the first line is not the number of words"),
    ],
)
def test_vectors_that_are_none_are_refused(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text(text.replace("Berlin", vocabulary_of(old).both[0]), encoding="utf-8")
    words = ["--prepared", str(old), "--model", str(tmp_path / "model"), *SETTINGS, "--embeddings", str(file)]
    message = message.replace("Berlin", vocabulary_of(old).both[0])
    assert message in refused(capsys, [*words, "--set", "model.embedding_size=4"])
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_no_model_is_told_by_its_own_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for start, problem in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "not a model folder")):
        told = refused(capsys, arguments(start, tmp_path / "prepared", tmp_path / "model"))
        assert f"{start}: {problem}" in told
        assert "name a model folder, or a weights file in one, with --from" in told


@pytest.mark.parametrize("tying", [mode.value for mode in Tying])
def test_an_imported_model_is_trained_further(tmp_path: Path, tying: str) -> None:
    """DL4MT's, whose words are pieces already and whose matrices have rows without one; it learns a word, too."""
    write_model(tmp_path, tying, extra_rows=2)
    assert from_dl4mt(tmp_path) == 0
    imported = load_bundle(tmp_path / "out", CPU)
    write_pairs(tmp_path / "corpus", "train", [("the c@@ at mouse", "die Ka@@ tze mouse"), ("at", "at die")] * 20,
                ("source", "target"))  # fmt: skip
    write_pairs(tmp_path / "corpus", "valid", [("the mouse", "die mouse")] * 3, ("source", "target"))
    files = {split: [str(tmp_path / f"corpus/{split}.{side}") for side in SIDES] for split in ("train", "valid")}
    text = [word for split, names in files.items() for word in (f"--{split}", *names)]
    like = ["--like", str(tmp_path / "out"), "--extend", "--set", "prep.check_sides=false", "--quiet"]
    assert prep.main([*text, *like, "--prepared", str(tmp_path / "prepared")]) == 0
    step = ["--max-updates", "1", "--set", "training.learning_rate=1e-9"]
    assert train.main(arguments(tmp_path / "out", tmp_path / "prepared", tmp_path / "model", *step)) == 0
    trained = load_bundle(tmp_path / "model", CPU)
    assert "mouse" in trained.vocabulary.both
    converted = read_manifest(tmp_path / "out")["data"]["converted"]
    assert read_manifest(tmp_path / "model")["from"]["converted"] == converted
    old, new = (bundle.model.embeddings for bundle in (imported, trained))
    assert new.output.shape[0] == old.output.shape[0] + 1
    for piece in ("die", "at", "Ka@@"):
        rows = [int(bundle.target_view.from_union(np.array(bundle.vocabulary.id_of(piece))))
                for bundle in (imported, trained)]  # fmt: skip
        torch.testing.assert_close(new.output[rows[1]], old.output[rows[0]], rtol=0, atol=1e-6)
