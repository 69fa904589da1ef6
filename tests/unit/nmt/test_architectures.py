"""The table of architectures, and what asks it: configuration, flags, networks, start values."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bpe.errors import UserError
from nmt.cli.common import FLAGS
from nmt.config import Config, ModelConfig
from nmt.configfile import build_config, plain, read_yaml, to_yaml
from nmt.models.architectures import ARCHITECTURES, applies, owners
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.table import NETWORKS
from nmt.tying import Tying

NAMES = tuple(ARCHITECTURES)
SIZES = VocabularySizes(7, 6, 9)


def test_both_tables_hold_the_same() -> None:
    assert NETWORKS.keys() == ARCHITECTURES.keys()


def test_every_key_is_one_of_the_models() -> None:
    keys = {field.name for field in dataclasses.fields(ModelConfig)}
    for architecture in ARCHITECTURES.values():
        assert {*architecture.keys, *architecture.sizes} <= keys


@pytest.mark.parametrize("name", NAMES)
def test_the_flag_names_it_and_the_model_says_what_it_is(name: str) -> None:
    assert name in str(FLAGS["model.architecture"]["help"])
    model = build_empty(ModelConfig(architecture=name), SIZES, torch.device("meta"))
    assert model.architecture == name


@pytest.mark.parametrize("name", NAMES)
def test_only_keys_that_it_has_are_written_and_they_read_back(name: str, tmp_path) -> None:
    config = Config(model=ModelConfig(architecture=name))
    written = plain(config)["model"]
    assert all(applies(key, name) for key in written)
    assert {*ARCHITECTURES[name].keys, *ARCHITECTURES[name].sizes} <= written.keys()
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert build_config(read_yaml(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize("name", NAMES)
def test_a_key_of_another_architecture_is_refused(name: str) -> None:
    for field in dataclasses.fields(ModelConfig):
        if not applies(field.name, name):
            other = field.default * 2 + 2 if isinstance(field.default, int | float) else "another"
            with pytest.raises(UserError) as caught:
                ModelConfig(architecture=name, **{field.name: not field.default if field.default is True else other})
            problem = f"is of {' and '.join(owners(field.name))} models, and model.architecture is {name}"
            assert str(caught.value) == f"model.{field.name}: {problem}; leave it out"


@pytest.mark.parametrize("mode", [mode.value for mode in Tying])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_start(name: str, mode: str) -> None:
    model = build_empty(ModelConfig(architecture=name, tying=mode), SIZES, torch.device("meta"))
    starts = NETWORKS[name].starts(model, "scaled")
    assert {*starts} == {*model.parameters()}
