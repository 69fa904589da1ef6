"""The configuration: every field documented and bounded, every recipe and flag naming a field that is there."""

from __future__ import annotations

import ast
import dataclasses
import typing
from pathlib import Path

import pytest

import nmt.config
from bpe.errors import UserError
from nmt.cli.common import FLAGS, make_parser, overrides
from nmt.config import Config, ModelConfig, PrepConfig, RuntimeConfig, SearchConfig, TrainingConfig
from nmt.configfile import build_config, known_keys, read_yaml
from nmt.tying import Tying

ROOT = Path(__file__).resolve().parents[3]
SECTIONS = typing.get_type_hints(Config)


def test_every_default_is_within_its_own_limits() -> None:
    config = Config()
    for name, section in SECTIONS.items():
        assert getattr(config, name) == section()
    assert build_config() == config


def test_every_section_is_frozen_and_takes_keywords_only() -> None:
    for section in (Config, *SECTIONS.values()):
        assert all(field.kw_only for field in dataclasses.fields(section)), section
        assert section.__dataclass_params__.frozen, section


def test_every_field_is_documented_under_itself() -> None:
    sources = [
        path for path in Path(nmt.config.__file__).parent.glob("*.py") if path.stem not in ("__init__", "checks")
    ]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources]
    sections = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    assert {node.name for node in sections} == {section.__name__ for section in SECTIONS.values()}
    for section in sections:
        for field, under in zip(section.body, section.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign):
                documented = isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant)
                assert documented, f"{section.name}: no string under {ast.unparse(field.target)}"
        assert not isinstance(section.body[-1], ast.AnnAssign), f"{section.name}: no string under its last field"


def test_every_field_has_a_default_and_a_plain_type() -> None:
    for key, kind in known_keys().items():
        section, name = key.split(".")
        field = next(f for f in dataclasses.fields(SECTIONS[section]) if f.name == name)
        assert field.default is not dataclasses.MISSING, key
        assert kind in (str, int, float, bool, str | None, int | None, tuple[str, ...]), key


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        (PrepConfig, "joint_bpe", -1, "prep.joint_bpe: -1 is out of range: it must be 0 or more"),
        (
            PrepConfig,
            "tokenizer",
            "mosses",
            "prep.tokenizer: unknown value 'mosses'; choose one of reversible, moses, none",
        ),
        (PrepConfig, "sentencepiece", 3, "prep.sentencepiece: 3 is out of range"),
        (PrepConfig, "max_ratio", 0.5, "prep.max_ratio: 0.5 is out of range"),
        (ModelConfig, "tying", "two-way", "choose one of untied, decoder, three-way"),
        (ModelConfig, "dropout", 1.0, "model.dropout: 1.0 is out of range: it must be at least 0 and below 1"),
        (ModelConfig, "dropout", float("nan"), "model.dropout: nan is out of range"),
        (ModelConfig, "hidden_size", 0, "model.hidden_size: 0 is out of range: it must be 1 or more"),
        (TrainingConfig, "learning_rate", 0.0, "training.learning_rate: 0.0 is out of range: it must be above 0"),
        (TrainingConfig, "batch_tokens", 0, "above 0 where training.batch_sentences is 0"),
        (TrainingConfig, "seed", -1, "training.seed: -1 is out of range: it must be 0 or more"),
        (TrainingConfig, "validate_every", 0, "training.validate_every: 0 is out of range: it must be 1 or more"),
        (TrainingConfig, "validation_metric", "loss", "choose one of bleu, cost"),
        (SearchConfig, "beam", 0, "search.beam: 0 is out of range: it must be 1 or more"),
        (RuntimeConfig, "device", "gpu", "choose one of auto, cpu, cuda, mps"),
    ],
)
def test_a_value_out_of_its_limits_is_named_with_key_and_limit(
    section: type, name: str, value: object, message: str
) -> None:
    with pytest.raises(UserError) as raised:
        section(**{name: value})
    assert message in str(raised.value)


def test_the_modes_of_the_configuration_are_those_of_the_code() -> None:
    for mode in Tying:
        assert ModelConfig(tying=mode.value).tying == mode.value


RECIPES = sorted(ROOT.glob("configs/**/*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_recipe_builds(recipe: Path) -> None:
    values = read_yaml(recipe)
    config = build_config(values)
    for key, value in values.items():
        section, name = key.split(".")
        assert getattr(getattr(config, section), name) == value


def test_the_recipe_of_table_8_is_the_papers() -> None:
    """DL4MT's attention model: sizes, Adadelta of step 1, clipping at 1, length 50, 80 sentences, no dropout."""
    config = build_config(read_yaml(ROOT / "configs/table8/paper.yaml"))
    training, model = config.training, config.model
    assert (model.embedding_size, model.hidden_size, model.dropout) == (500, 1000, 0.0)
    assert (training.optimizer, training.learning_rate, training.clip_norm) == ("adadelta", 1.0, 1.0)
    assert (training.schedule, training.warmup_updates, training.label_smoothing) == ("constant", 0, 0.0)
    assert (training.max_length, training.batch_sentences, training.max_updates) == (50, 80, 300_000)
    assert (training.validation_metric, training.normalization) == ("cost", "sentences")


def test_every_flag_sets_a_key_that_is_there_in_its_type() -> None:
    keys = known_keys()
    for key, options in FLAGS.items():
        assert key in keys, key
        assert str(options["flag"]).startswith("--")
        kinds = typing.get_args(keys[key]) or (keys[key],)
        kind = bool if options.get("action") == "store_true" else options.get("type", str)
        assert kind in kinds, key


def test_a_flag_wins_over_set_and_set_over_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("training: {seed: 2, max_updates: 2}\nsearch: {beam: 2}\n")
    parser = make_parser("nmt-x", "", ("training.seed", "training.max_updates", "search.beam"))
    arguments = ["--seed", "4", "--config", str(recipe), "--set", "training.seed=3", "--set", "training.max_updates=3"]
    config = build_config(overrides(parser.parse_args(arguments)))
    assert (config.training.seed, config.training.max_updates, config.search.beam) == (4, 3, 2)
