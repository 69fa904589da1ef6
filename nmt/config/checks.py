"""What values are checked by, so that a wrong one is one line that names its key."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, ClassVar, NoReturn, Protocol

from bpe.errors import UserError
from nmt.models.architectures import Architectures, applies, owners


class OfArchitecture(Protocol):
    """A section whose keys go by its architecture."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def architecture(self) -> str:
        """Its name in a table of `nmt.models.architectures`."""


def require(condition: bool, key: str, value: object, limit: str) -> None:
    """Raise a UserError naming the key, its value and what it must be."""
    if not condition:
        raise UserError(f"{value!r} is out of range: it must be {limit}", where=key)


def refuse(key: str, value: object, why: str, hint: str = "leave it out") -> NoReturn:
    """Raise a UserError for a value that makes no sense beside the others."""
    raise UserError(f"is {value!r}: {why}", where=key, hint=hint)


def choice(key: str, value: str, allowed: Collection[str]) -> None:
    """Raise a UserError unless `value` is one of the allowed words."""
    if value not in allowed:
        raise UserError(f"unknown value {value!r}", where=key, hint=f"choose one of {', '.join(allowed)}")


def require_own_keys(section: OfArchitecture, name: str, table: Architectures) -> None:
    """Raise a UserError where a key is set that the section's architecture does not have."""
    for key in dataclasses.fields(section):
        if not applies(key.name, section.architecture, table) and getattr(section, key.name) != key.default:
            problem = f"is of {' and '.join(owners(key.name, table))} models, and {name}.architecture is"
            raise UserError(f"{problem} {section.architecture}", where=f"{name}.{key.name}", hint="leave it out")
