"""Memory that is refused, as one line that says what to lower."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bpe.errors import UserError
from nmt.device import out_of_memory


@contextlib.contextmanager
def enough_memory(problem: str, *, where: str, hint: str) -> Iterator[None]:
    """Raise a UserError with these words where the machine or the device refuses memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(problem, where=where, hint=hint) from None
