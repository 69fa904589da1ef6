"""What a client did wrong, or must wait for: a status and one sentence, answered as {"error": sentence}."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """A request that is not carried out. headers: of the answer, such as Retry-After."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})
