"""What a continued run may change, and that the user is told of it where the key is documented."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nmt.config.training
from bpe.errors import UserError
from nmt.config import Config, TrainingConfig
from nmt.configfile import Values, build_config, flatten
from nmt.tasks.translation.task import TranslationTask
from nmt.training.session import FIXED_KEYS, Request, changed_keys, lead
from tests.tiny_corpus import make_prepared

OTHERS: dict[str, object] = {
    "optimizer": "adadelta",
    "schedule": "cosine",
    "normalization": "sentences",
    "validation_metric": "cost",
}
OTHERS |= {"mix": ("prepared=1",), "validation_set": "news", "record_tying_against": "untied"}
OTHERS |= {"tie_gradient_scale": ("output=0.5",), "tie_keep": "source", "cuda_graphs": "off"}
"Another value of what is neither a number nor a switch."


def another(name: str, value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 or 0.5
    return OTHERS[name]


def with_values(values: Values) -> Config:
    return build_config({"training.precision": "float32"}, values)


FIELDS = [field.name for field in dataclasses.fields(TrainingConfig) if field.name != "precision"]


@pytest.mark.parametrize("name", FIELDS)
def test_every_key_is_fixed_or_its_change_is_said(name: str) -> None:
    before = with_values({})
    old = getattr(before.training, name)
    new = another(name, old)
    after = with_values({f"training.{name}": new})
    if name not in FIXED_KEYS:
        assert changed_keys(before, after) == [f"training.{name} {old!r} -> {new!r}"]
        return
    with pytest.raises(UserError) as raised:
        changed_keys(before, after)
    assert str(raised.value) == (
        f"model: this run has training.{name} = {old!r}, which cannot become {new!r} half way; name another folder "
        "with --model, or start over with --force"
    )


def test_the_precision_is_fixed_and_auto_means_what_it_was() -> None:
    before = with_values({})
    assert changed_keys(before, with_values({"training.precision": "auto"})) == []
    with pytest.raises(UserError, match=r"training.precision = 'float32', which cannot become 'bf16'"):
        changed_keys(before, with_values({"training.precision": "bf16"}))


def test_the_model_is_fixed_and_where_it_runs_is_not() -> None:
    before = with_values({})
    with pytest.raises(UserError, match=r"model.dropout = 0.3, which cannot become 0.1"):
        changed_keys(before, with_values({"model.dropout": 0.1}))
    elsewhere: Values = {"paths.model": "there", "runtime.threads": 2, "prep.joint_bpe": 5}
    assert changed_keys(before, with_values(elsewhere)) == []
    assert flatten(dataclasses.asdict(before), "")["prep.joint_bpe"] != 5


def documented(class_name: str) -> Iterator[tuple[str, str]]:
    """The fields of a section with the text under them."""
    for section in ast.parse(inspect.getsource(nmt.config.training)).body:
        if isinstance(section, ast.ClassDef) and section.name == class_name:
            for field, under in zip(section.body, section.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(under, ast.Expr):
                    yield ast.unparse(field.target), ast.literal_eval(under.value)


def test_the_documentation_of_each_key_says_whether_it_is_fixed() -> None:
    found = {name for name, text in documented("TrainingConfig") if "Fixed" in text}
    assert found == set(FIXED_KEYS)


def test_the_page_on_training_names_the_fixed_keys() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/training.md").read_text(encoding="utf-8")
    section = page.partition("## What a run can change")[2]
    rows = [line.split("|")[2] for line in section.split("\n") if line.startswith("| ")][1:]
    named = {name.removeprefix("training.") for row in rows for name in re.findall(r"`([a-z_0-9.]+)`", row)}
    assert named - {"model"} == set(FIXED_KEYS)


def test_the_first_worker_tells_the_others_what_to_do_before_all_connect_their_devices(tmp_path: Path) -> None:
    """Connecting waits for every worker, and the others wait for word."""
    said: list[str] = []

    class Two:
        first, size = True, 2

        def send(self, data: bytes) -> None:
            said.append("told" if b"config" in data else "nothing")

        def device(self, name: str) -> None:
            said.append("connected")
            raise UserError("enough")

    values: Values = {"paths.prepared": str(make_prepared(tmp_path, pairs=60)), "paths.model": str(tmp_path / "model")}
    with pytest.raises(UserError, match="enough"):
        lead(Request(values), TranslationTask, Two())  # type: ignore[arg-type]
    assert said == ["told", "connected"]
    assert not (tmp_path / "model" / "manifest.json").exists()
