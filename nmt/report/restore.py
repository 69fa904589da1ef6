"""Records written as JSON -> the dataclasses they were, by their annotations."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def restored(kind: type[T], value: Any) -> T:
    """What `dataclasses.asdict` made of a `kind`, through JSON and back. Fields that `kind` has not are left out.

    Raises KeyError, TypeError or ValueError where something is missing or is not what the annotations say.
    """
    made: T = _restored(kind, value)
    return made


def _restored(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        fields = [field for field in dataclasses.fields(kind) if field.init]
        return kind(**{field.name: _restored(hints[field.name], value[field.name]) for field in fields})
    origin, inner = get_origin(kind), get_args(kind)
    if origin in _MAKERS:
        return _MAKERS[origin](inner, value)
    if kind is Any or origin is Literal:
        return value
    if kind is float:
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind):
        return value
    if (isinstance(kind, type) and issubclass(kind, Path | str)) or hasattr(kind, "__members__"):
        return kind(value)
    raise TypeError(f"{value!r} is no {kind}")


def _sequence(make: Callable[[list[Any]], Any]) -> Callable[[tuple[Any, ...], Any], Any]:
    return lambda inner, value: make([_restored(inner[0], each) for each in value])


def _mapping(inner: tuple[Any, ...], value: Any) -> dict[Any, Any]:
    return {key: _restored(inner[1], each) for key, each in value.items()}


def _either(inner: tuple[Any, ...], value: Any) -> Any:
    """None, or the first kind that takes the value."""
    if value is None and type(None) in inner:
        return None
    errors = []
    for kind in inner:
        try:
            return _restored(kind, value)
        except (KeyError, TypeError, ValueError) as error:
            errors.append(error)
    raise errors[0]


_MAKERS: dict[Any, Callable[[tuple[Any, ...], Any], Any]] = {
    list: _sequence(list),
    tuple: _sequence(tuple),
    dict: _mapping,
    Union: _either,
    types.UnionType: _either,
}
