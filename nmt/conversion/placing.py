"""Where a result is put: a folder that is free, made beside its place and renamed into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bpe.errors import UserError
from nmt.scratch import put_in_place, scratch_folder


def check_free(folder: Path, flag: str) -> None:
    """Raise a UserError unless a folder can be made there. flag: that named it."""
    if folder.exists() and not folder.is_dir():
        raise UserError("is a file, not a folder", where=folder, hint=f"name another with {flag}")
    if folder.exists() and any(folder.iterdir()):
        raise UserError("is not empty", where=folder, hint=f"name another folder with {flag}")


@contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of the given one when the block ends well."""
    folder = folder.resolve()
    with scratch_folder(folder) as scratch:
        place = scratch / "made"
        place.mkdir()
        yield place
        put_in_place(place, folder)
