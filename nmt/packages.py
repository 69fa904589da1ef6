"""Packages that only some text needs."""

from __future__ import annotations

from types import ModuleType

from bpe.errors import UserError


class MissingPackage(UserError):
    """A package that the text needs is not installed."""


def import_package(name: str, needed_for: str, *, extra: str = "") -> ModuleType:
    """Import an optional package, or a MissingPackage that says how to get it. extra: of ours that brings it."""
    try:
        return __import__(name)
    except ImportError as error:
        hint = f"pip install 'nmt-three-way[{extra}]'" if extra else f"pip install {name}"
        raise MissingPackage(f"{needed_for} needs the package {name} ({error})", hint=hint) from None
