"""last/: read back equal, whole at every moment, and never another model's."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import nmt.training.checkpoint as module
from bpe.errors import UserError
from nmt.config import ModelConfig
from nmt.folder.weights import weight_metadata, weight_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import TranslationModel
from nmt.training.checkpoint import (
    Checkpoint,
    check_belongs,
    find_checkpoint,
    forget,
    is_begun,
    load_checkpoint,
    mark_begun,
    remove_beside,
    save_checkpoint,
)
from nmt.training.progress import TrainingProgress
from nmt.tying import Tying

CARRIED = {"state": torch.full((2, 3), 1 / 7)}
"What a task carries from one update to the next."


def model_of(tying: Tying = Tying.THREE_WAY, hidden: int = 3) -> TranslationModel:
    config = ModelConfig(tying=tying.value, embedding_size=2, hidden_size=hidden)
    return build_model(config, VocabularySizes(source=6, target=6, union=6))


def checkpoint_of(model: TranslationModel, update: int = 7, *, average: bool = True) -> Checkpoint:
    weights = weight_tensors(model)
    optimizer = {f"{name}.exp_avg": torch.full_like(tensor, 1 / 3) for name, tensor in weights.items()}
    progress = TrainingProgress(
        update=update, epoch=2, batch=3, target_tokens=10**12, seconds=0.1 + 0.2, best_score=-1 / 3
    )
    kept = {name: tensor * 0.5 for name, tensor in weights.items()} if average else {}
    carried = dict(CARRIED) if average else {}
    return Checkpoint(weights, optimizer, kept, carried, weight_metadata(model, update=update), progress)


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    for kind in ("weights", "optimizer", "average", "carried"):
        left, right = getattr(one, kind), getattr(other, kind)
        assert left.keys() == right.keys(), kind
        assert all(torch.equal(left[name], right[name]) for name in left), kind
    assert one.progress == other.progress
    assert one.metadata == other.metadata


@pytest.mark.parametrize("average", [True, False])
def test_what_is_saved_is_read_back_to_the_bit(average: bool, tmp_path: Path) -> None:
    saved = checkpoint_of(model_of(), average=average)
    save_checkpoint(tmp_path / "last", saved)
    assert_equal(load_checkpoint(tmp_path / "last"), saved)
    assert os.listdir(tmp_path) == ["last"]


def test_progress_without_a_validation_is_read_back(tmp_path: Path) -> None:
    saved = dataclasses.replace(checkpoint_of(model_of()), progress=TrainingProgress())
    save_checkpoint(tmp_path / "last", saved)
    assert load_checkpoint(tmp_path / "last").progress == TrainingProgress()


def killed_before_call(number: int, name: str, owner: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let call `number` (from 1) of a function raise what no handler of ours catches, as a kill would end it."""
    plain: Callable[..., object] = getattr(owner, name)
    calls = []

    def call(*arguments: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == number:
            raise SystemExit
        return plain(*arguments, **more)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    ("owner", "name", "number", "update"),
    [
        (module, "save_tensors", 1, 1),
        (module, "save_tensors", 3, 1),
        (module, "write_text", 1, 1),
        (Path, "rename", 1, 1),
        (Path, "rename", 2, 1),
        (module.shutil, "rmtree", 3, 2),
    ],
)
def test_a_run_killed_while_it_saves_leaves_the_old_or_the_new_one_whole(
    owner: object, name: str, number: int, update: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model = tmp_path / "last", model_of()
    save_checkpoint(folder, checkpoint_of(model, 1))
    killed_before_call(number, name, owner, monkeypatch)
    with pytest.raises(SystemExit):
        save_checkpoint(folder, checkpoint_of(model, 2))
    monkeypatch.undo()
    found = find_checkpoint(folder)
    assert found == folder
    assert_equal(load_checkpoint(found), checkpoint_of(model, update))
    save_checkpoint(folder, checkpoint_of(model, 3))
    assert load_checkpoint(folder).progress.update == 3
    assert os.listdir(tmp_path) == ["last"]


def test_a_full_disk_is_a_user_error_and_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, model = tmp_path / "last", model_of()
    save_checkpoint(folder, checkpoint_of(model, 1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for target in ("fsync", "mkdir"):
        monkeypatch.setattr(os, target, full)
        with pytest.raises(UserError, match="no space left on the device"):
            save_checkpoint(folder, checkpoint_of(model, 2))
        monkeypatch.undo()
        assert load_checkpoint(folder).progress.update == 1
        assert os.listdir(tmp_path) == ["last"]


def test_a_run_that_has_saved_nothing_is_told_from_one_that_has(tmp_path: Path) -> None:
    folder, model = tmp_path / "last", model_of()
    assert not is_begun(folder)
    mark_begun(folder)
    assert is_begun(folder)
    assert find_checkpoint(folder) is None
    save_checkpoint(folder, checkpoint_of(model, 0))  # stopped before its first update, and saved
    assert not is_begun(folder)
    assert os.listdir(tmp_path) == ["last"]
    mark_begun(folder)  # as if it was killed before it could remove this
    assert not is_begun(folder)
    forget(folder)
    assert os.listdir(tmp_path) == []


def test_what_a_kill_left_beside_it_goes(tmp_path: Path) -> None:
    folder, model = tmp_path / "last", model_of()
    new, old = tmp_path / "last.new", tmp_path / "last.old"
    save_checkpoint(folder, checkpoint_of(model, 2))
    save_checkpoint(old, checkpoint_of(model, 1))
    new.mkdir()
    remove_beside(folder)
    assert os.listdir(tmp_path) == ["last"]
    folder.rename(old)
    remove_beside(folder)  # killed between the two renames: the older one is all there is
    assert os.listdir(tmp_path) == ["last.old"]


def test_equal_checkpoints_are_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_checkpoint(tmp_path / name, checkpoint_of(model_of()))
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "last") is None


@pytest.mark.parametrize("name", [module.WEIGHTS, module.OPTIMIZER, module.AVERAGE, module.STATE])
@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_a_damaged_file_is_named_with_the_way_on(name: str, damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "last"
    save_checkpoint(folder, checkpoint_of(model_of()))
    data = (folder / name).read_bytes()
    (folder / name).write_bytes({"cut": data[:-9], "empty": b"", "foreign": b"[1, 2]"}[damage])
    with pytest.raises(UserError) as raised:
        load_checkpoint(folder)
    assert str(raised.value).startswith(f"{folder / name}: ")
    assert str(raised.value).endswith("or start over with --force")


@pytest.mark.parametrize("change", [{"version": 99}, {"unheard_of": 1}])
def test_a_state_of_another_version_is_refused(change: dict[str, int], tmp_path: Path) -> None:
    folder = tmp_path / "last"
    save_checkpoint(folder, checkpoint_of(model_of()))
    state = json.loads((folder / module.STATE).read_text()) | change
    (folder / module.STATE).write_text(json.dumps(state))
    with pytest.raises(UserError, match="start over with --force"):
        load_checkpoint(folder)


def refused(checkpoint: Checkpoint, model: TranslationModel) -> str:
    with pytest.raises(UserError, match="belongs to another model; restore") as raised:
        check_belongs(checkpoint, model, CARRIED, Path("model/last"))
    return str(raised.value)


def test_another_models_tensors_are_refused_by_file() -> None:
    """Sizes here are equal in every mode, so that an untied matrix could be copied into a tied one in silence."""
    model = model_of()
    mine, wider = checkpoint_of(model), checkpoint_of(model_of(hidden=4))
    check_belongs(mine, model, CARRIED, Path("model/last"))
    check_belongs(dataclasses.replace(mine, optimizer={}, average={}), model, CARRIED, Path("model/last"))
    for mode in (Tying.UNTIED, Tying.DECODER):
        assert refused(checkpoint_of(model_of(mode)), model).startswith("model/last/weights.safetensors")
        assert refused(mine, model_of(mode)).startswith("model/last/weights.safetensors")
    assert refused(wider, model).startswith("model/last/weights.safetensors")
    mixed = dataclasses.replace(mine, average=wider.average)
    assert refused(mixed, model).startswith("model/last/average.safetensors")
    mixed = dataclasses.replace(mine, optimizer={"embeddings.output.exp_avg": torch.zeros(6, 2)})
    assert refused(mixed, model).startswith("model/last/optimizer.safetensors")
