"""The server: the section serve."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bpe.errors import UserError
from nmt.config.checks import require


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """nmt-serve: where it listens and what it bears. A limit, time or rate of 0: there is none."""

    host: str = "127.0.0.1"
    "Address to listen on; the default is reached from this machine only, 0.0.0.0 from everywhere."
    port: int = 5000
    "Port to listen on; 0: a free one, which is said."
    char_limit: int = 20_000
    "Characters of a request, all its texts together, markup included."
    batch_limit: int = 128
    "Texts of a request."
    alternatives_limit: int = 4
    "Further translations of a text that a request may ask for, at most the beam less one; 0: it may not."
    queue_limit: int = 256
    "Requests in work or waiting; one more is answered 429, with when to try again."
    timeout: float = 60.0
    "Seconds that a request may take: then its search is given up."
    receive_timeout: float = 15.0
    "Seconds in which a request must have come, its head and then its body: what is slower is cut off."
    connection_limit: int = 4096
    "Open connections; one more is answered 503."
    searches: int = 2
    """Searches side by side, each with its share of `runtime.threads` and of the texts; at most one a thread.

    One on a GPU.
    """
    batch_wait: float = 3.0
    "Milliseconds that a text waits for others to be translated with, where nothing is being searched."
    rate: int = 0
    "Requests a minute of one key or, without a key, of one address; a key's line in the file of keys may say another."
    keys: str | None = None
    "File of keys, one a line, each with its own rate behind it if it has one."
    require_key: bool = False
    "Translate for those with a key only."
    cors: tuple[str, ...] = ()
    "Origins whose pages may use the server, such as https://example.org, or *; none: only its own page."

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65_535, "serve.port", self.port, "0 to 65535")
        require(self.searches >= 1, "serve.searches", self.searches, "1 or more")
        for name in ("char_limit", "batch_limit", "alternatives_limit", "queue_limit", "connection_limit", "rate"):
            require(getattr(self, name) >= 0, f"serve.{name}", getattr(self, name), "0 or more")
        for name in ("timeout", "receive_timeout", "batch_wait"):
            finite = 0 <= getattr(self, name) < math.inf
            require(finite, f"serve.{name}", getattr(self, name), "0 or more and finite")
        if self.require_key and not self.keys:
            raise UserError("no key is known", where="serve.require_key", hint="name the file of keys with --keys")
