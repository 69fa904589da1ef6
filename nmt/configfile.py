"""YAML recipes and `--set KEY=VALUE` -> a checked Config, and back. Unknown keys are errors with a suggestion."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import functools
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bpe.errors import UserError
from bpe.textfiles import decode_line
from nmt.config import Config, LanguageConfig, Word2VecConfig

TEXTS = tuple[str, ...]
Values = dict[str, Any]
"Dotted key -> value, as in {'training.learning_rate': 0.001}."


class RecipeLoader(yaml.SafeLoader):
    """Safe YAML in which a key stands once; YAML itself keeps the last of two in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node, or an error at the second of two equal keys."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


@functools.cache
def known_keys() -> dict[str, Any]:
    """Every dotted key with the type of its value."""
    keys: dict[str, Any] = {}
    for section in dataclasses.fields(Config):
        hints = typing.get_type_hints(_section_class(section.name))
        keys |= {f"{section.name}.{name}": hint for name, hint in hints.items()}
    return keys


def read_yaml(path: Path | str) -> Values:
    """Dotted keys and values of a recipe; errors name the file and the line or key."""
    path = Path(path)
    try:
        text = "\n".join(decode_line(line, path, n) for n, line in enumerate(path.read_bytes().split(b"\n"), 1))
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path, hint="check --config") from None
    try:
        tree = yaml.load(text, RecipeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"not valid YAML ({getattr(error, 'problem', error)})", where=where) from None
    return flatten(tree or {}, str(path))


def flatten(tree: object, where: str) -> Values:
    """{'training': {'seed': 1}} -> {'training.seed': 1}, each key checked. A section without keys changes nothing."""
    if not isinstance(tree, Mapping):
        raise UserError(f"a recipe is a mapping of sections, not {type(tree).__name__}", where=where)
    values: Values = {}
    for section, body in tree.items():
        if body is None and section in typing.get_type_hints(Config):
            continue
        if not isinstance(body, Mapping):
            check_key(str(section), where)
            raise UserError(f"section {section!r} must hold keys, not {body!r}", where=where)
        for name, value in body.items():
            key = f"{section}.{name}"
            values[key] = checked(key, value, where)
    return values


def parse_assignments(assignments: Sequence[str]) -> Values:
    """`--set` arguments KEY=VALUE, the value read as YAML; for a text, `no` and `2024` are what they look like."""
    values: Values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"{assignment!r} is not KEY=VALUE", where="--set", hint="for example training.seed=2")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"{text!r} is not a YAML value", where=f"--set {key}") from None
        if str in _accepted(check_key(key, "--set")) and isinstance(value, bool | int | float | datetime.date):
            value = text
        values[key] = checked(key, value, "--set")
    return values


def build_config(*layers: Values) -> Config:
    """Defaults overridden by each layer in turn (the last wins); every section checks its own limits."""
    merged: Values = {}
    for layer in layers:
        merged |= layer
    sections: dict[str, dict[str, Any]] = {}
    for key, value in merged.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = checked(key, value, "configuration")
    return Config(**{name: _section_class(name)(**body) for name, body in sections.items()})


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML; reading it back gives an equal Config."""
    return yaml.safe_dump(plain(config), sort_keys=False)


def plain(config: Config) -> dict[str, dict[str, Any]]:
    """Sections, keys and values, without the keys that the model's architecture does not have.

    A language model and word vectors that are the default ones, as in all configurations of translation, are left out.
    """
    sections = dataclasses.asdict(config)
    sections["model"] = {key: sections["model"][key] for key in config.model.own_keys()}
    sections["lm"] = {key: sections["lm"][key] for key in config.lm.own_keys()}
    of_others = {"lm": LanguageConfig(), "word2vec": Word2VecConfig()}
    unused = [name for name, default in of_others.items() if getattr(config, name) == default]
    return {name: section for name, section in sections.items() if name not in unused}


def check_key(key: str, where: str) -> Any:
    """The type of a key's value, or a UserError with the nearest known key."""
    keys = known_keys()
    if key in keys:
        return keys[key]
    near = " or ".join(map(repr, nearest_keys(key)))
    known = f"sections are {', '.join(sorted({name.partition('.')[0] for name in keys}))}"
    raise UserError(f"unknown key {key!r}", where=where, hint=f"did you mean {near}?" if near else known)


def nearest_keys(key: str) -> list[str]:
    """What may be meant: keys of that last name in whatever section, else of a name like it, else like the whole of it.

    Where the section is one of ours, or nearly, and has such a key, the other sections' are not meant.
    """
    keys, (section, _, name) = list(known_keys()), key.rpartition(".")
    names = {known.rpartition(".")[2] for known in keys}
    alike = [name] if name in names else difflib.get_close_matches(name, names, 1, 0.8)
    found = [known for known in keys if known.rpartition(".")[2] in alike]
    meant = difflib.get_close_matches(section, {known.partition(".")[0] for known in keys}, 1, 0.7)
    return (
        [known for known in found if known.partition(".")[0] in meant]
        or found
        or difflib.get_close_matches(key, keys, 1, 0.6)
    )


def checked(key: str, value: Any, where: str) -> Any:
    """The value in its field's type, or a UserError. 1 is good for 1.0, and '1e-3', which YAML reads as text.

    A list of texts may be one text.
    """
    accepted = _accepted(check_key(key, where))
    if type(value) in accepted or (value is None and types.NoneType in accepted):
        return value
    if TEXTS in accepted:
        texts = (value,) if isinstance(value, str) else value
        if isinstance(texts, list | tuple) and all(isinstance(one, str) for one in texts):
            return tuple(texts)
    if float in accepted and not isinstance(value, bool) and isinstance(value, int | str):
        try:
            return float(value)
        except ValueError:
            pass
    names = " or ".join("nothing" if kind is types.NoneType else kind.__name__ for kind in accepted)
    raise UserError(f"{key} is {value!r}, a {type(value).__name__}; it must be {names}", where=where)


def _accepted(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _section_class(name: str) -> Any:
    hints = typing.get_type_hints(Config)
    return hints[name]
