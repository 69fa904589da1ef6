"""YAML and --set: round trips, types, unknown keys, and which layer wins."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bpe.errors import UserError
from nmt.config import Config, ModelConfig, PathsConfig, PrepConfig, TrainingConfig, Word2VecConfig
from nmt.configfile import build_config, flatten, known_keys, parse_assignments, plain, read_yaml, to_yaml


def through_yaml(config: Config, path: Path) -> Config:
    path.write_text(to_yaml(config), encoding="utf-8")
    return build_config(read_yaml(path))


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(prep=PrepConfig(source="no", target="on", joint_bpe=0, sentencepiece=500)),  # YAML 1.1 reads no as false
        Config(training=TrainingConfig(learning_rate=1e-5, adam_beta2=1 - 1e-9, max_minutes=0.1, tensorboard=False)),
        *(
            Config(paths=PathsConfig(model=name))
            for name in ("2024", "1e-3", "null", "~", "", " a: b # c ", "y", "Größe\u2028\t", "x\ny", "'\"", "\udcff")
        ),
    ],
    ids=lambda config: repr(config.paths.model) if config.paths.model != "model" else None,
)
def test_a_configuration_survives_its_yaml(config: Config, tmp_path: Path) -> None:
    assert through_yaml(config, tmp_path / "config.yaml") == config


def test_a_translation_models_yaml_says_nothing_of_other_models() -> None:
    assert not {"lm", "word2vec"} & plain(Config()).keys()
    assert plain(Config(word2vec=Word2VecConfig(negatives=7)))["word2vec"]["negatives"] == 7


def test_the_yaml_names_every_key() -> None:
    assert flatten(dataclasses.asdict(Config()), "").keys() == known_keys().keys()


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("training.lerning_rate", "did you mean 'training.learning_rate'?"),
        ("learning_rate", "did you mean 'training.learning_rate' or 'word2vec.learning_rate'?"),
        ("model.hiddensize", "did you mean 'model.hidden_size'?"),
        ("trainig.seed", "did you mean 'training.seed'?"),
        ("training.dropout", "did you mean 'model.dropout' or 'lm.dropout'?"),
        ("dropout", "did you mean 'model.dropout' or 'lm.dropout'?"),
        ("training.droput", "did you mean 'model.dropout' or 'lm.dropout'?"),
        ("training.embedding_size", "did you mean 'model.embedding_size' or 'lm.embedding_size'?"),
        ("model.learning_rate", "did you mean 'training.learning_rate' or 'word2vec.learning_rate'?"),
        ("training.beam", "did you mean 'search.beam'?"),
        ("model.threads", "did you mean 'runtime.threads'?"),
        ("beam", "did you mean 'search.beam'?"),
        ("model.seed", "did you mean 'training.seed' or 'search.seed'?"),
        ("max_length", "did you mean 'prep.max_length' or 'training.max_length' or 'search.max_length'?"),
        ("search.max_lenght", "did you mean 'search.max_length'?"),
        ("trainingseed", "did you mean 'training.seed'?"),
        ("zzz.qqq", "sections are lm, model, paths, prep, runtime, search, serve, training, word2vec"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(key: str, near: str, tmp_path: Path) -> None:
    section, _, name = key.rpartition(".")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{section}: {{{name}: 1}}\n" if section else f"{name}: 1\n")
    for attempt in (lambda: parse_assignments([f"{key}=1"]), lambda: read_yaml(recipe)):
        with pytest.raises(UserError) as raised:
            attempt()
        assert f"unknown key {key!r}" in str(raised.value)
        assert near in str(raised.value)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("training.learning_rate=1", 1.0),
        ("training.learning_rate=1e-3", 0.001),
        ("training.learning_rate=0.5", 0.5),
        ("training.seed=7", 7),
        ("training.tensorboard=false", False),
        ("prep.sentencepiece=null", None),
        ("prep.sentencepiece=500", 500),
        ("prep.source=null", None),
        ("prep.source=de", "de"),
        ("prep.source=no", "no"),
        ("paths.model=2024", "2024"),
        ("paths.model=a=b", "a=b"),
        ("paths.model='a: b'", "a: b"),
    ],
)
def test_a_value_is_taken_in_the_type_of_its_field(assignment: str, value: object) -> None:
    (found,) = parse_assignments([assignment]).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.learning_rate=true", "training.learning_rate is True, a bool; it must be float"),
        ("training.learning_rate=fast", "training.learning_rate is 'fast', a str; it must be float"),
        ("training.learning_rate=", "training.learning_rate is None, a NoneType; it must be float"),
        ("training.seed=1.0", "training.seed is 1.0, a float; it must be int"),
        ("training.seed=true", "training.seed is True, a bool; it must be int"),
        ("training.seed=null", "training.seed is None, a NoneType; it must be int"),
        ("training.tensorboard=1", "training.tensorboard is 1, a int; it must be bool"),
        ("prep.sentencepiece=many", "prep.sentencepiece is 'many', a str; it must be int or nothing"),
        ("model.tying=null", "model.tying is None, a NoneType; it must be str"),
        ("training.seed=[1]", "training.seed is [1], a list; it must be int"),
        ("paths.model=[1", "--set paths.model: '[1' is not a YAML value"),
        ("training.seed", "--set: 'training.seed' is not KEY=VALUE"),
    ],
)
def test_a_value_of_another_type_is_refused(assignment: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_assignments([assignment])
    assert message in str(raised.value)


def test_the_last_layer_wins_key_by_key() -> None:
    layers: list[dict[str, Any]] = [
        {"training.seed": 2, "model.hidden_size": 3},
        {"training.seed": 4, "search.beam": 5},
        {"search.beam": 6},
    ]
    config = build_config(*layers)
    assert (config.training.seed, config.model.hidden_size, config.search.beam) == (4, 3, 6)
    assert config.model == ModelConfig(hidden_size=3)
    assert build_config(*reversed(layers)).training.seed == 2


def refusal(text: bytes, path: Path) -> str:
    path.write_bytes(text)
    with pytest.raises(UserError) as raised:
        read_yaml(path)
    return str(raised.value).removeprefix(str(path))


def test_a_recipe_may_be_empty_or_hold_an_empty_section(tmp_path: Path) -> None:
    """A section whose keys are all commented out changes nothing."""
    recipe = tmp_path / "recipe.yaml"
    for text in ("", "# nothing\n", "training:\n  # seed: 3\nmodel:\n  hidden_size: 7\n"):
        recipe.write_text(text)
        assert build_config(read_yaml(recipe)).training == TrainingConfig()


def test_a_recipe_may_come_from_windows(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes(b"\xef\xbb\xbftraining:\r\n  seed: 3\r\n")
    assert read_yaml(recipe) == {"training.seed": 3}


def test_mistakes_in_a_recipe_name_file_and_line_or_key(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    assert refusal(b"training:\n  seed: 1\n seed: 2\n", path).startswith(":3: not valid YAML (")
    assert refusal(b"training:\n  seed: 1\n  seed: \xff\n", path).startswith(":3: invalid UTF-8")
    assert refusal(b"training:\n  seed: 1\n  seed: 2\n", path).startswith(":3: not valid YAML (seed is there twice)")
    assert refusal(b"training: {seed: 1}\nmodel: {}\ntraining: {}\n", path).startswith(":3: not valid YAML (training")
    assert refusal(b"training: {[1]: 2}\n", path).startswith(":1: not valid YAML (")
    assert refusal(b"- 1\n", path) == ": a recipe is a mapping of sections, not list"
    assert refusal(b"training: 3\n", path).startswith(": unknown key 'training'")
    assert refusal(b"nonsense:\n", path).startswith(": unknown key 'nonsense'")
    assert refusal(b"prep: {source: no}\n", path).startswith(
        ": prep.source is False, a bool; it must be str or nothing"
    )
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")


def test_code_in_a_recipe_is_not_run(tmp_path: Path) -> None:
    text = b"paths: {model: !!python/object/apply:os.getcwd []}\n"
    assert refusal(text, tmp_path / "recipe.yaml").startswith(":1: not valid YAML (")
