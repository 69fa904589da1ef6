"""Who may ask how often: keys from a file, and rates of keys and addresses."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.config import ServeConfig
from nmt.serve.errors import Refused

MAX_CLIENTS = 10_000
"Whose rates are remembered; the one that asked longest ago is forgotten first."
MINUTE = 60.0


def _hash(key: str) -> bytes:
    """What is looked up in the key's place, so that how long it takes tells nothing of the keys there are."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_keys(path: Path) -> dict[bytes, int | None]:
    """Hashes of keys and their rates, None: the common one. Lines: KEY, or KEY and requests a minute; # comments."""
    keys: dict[bytes, int | None] = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split("#")[0].split()
        if not fields:
            continue
        rate = fields[1] if len(fields) == 2 else None
        if len(fields) > 2 or not (rate is None or (rate.isascii() and rate.isdigit() and len(rate) < 10)):
            hint = "write KEY, or KEY and its requests a minute"
            raise UserError("no line of a file of keys", where=f"{path}:{number}", hint=hint)
        keys[_hash(fields[0])] = None if rate is None else int(rate)
    if not keys:
        raise UserError("has no keys", where=path, hint="write one a line")
    return keys


@dataclass
class _Bucket:
    """What a client may still ask at once, as of a time."""

    left: float
    since: float


class Access:
    """Knows keys, and counts what each client asked. For one thread."""

    def __init__(self, config: ServeConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._keys = read_keys(Path(config.keys)) if config.keys else {}
        self._buckets: OrderedDict[bytes | str, _Bucket] = OrderedDict()

    @property
    def has_keys(self) -> bool:
        """Whether there are keys."""
        return bool(self._keys)

    def known(self, key: str) -> bool:
        """Whether it is one of the keys."""
        return _hash(key) in self._keys

    def check(self, key: str, address: str) -> None:
        """Count a request of a key ("": none) and an address. Raises Refused where it may not be carried out."""
        client: bytes | str = address
        rate: int | None = None
        if key and self._keys:
            client = _hash(key)
            if client not in self._keys:
                raise Refused(403, "Invalid API key")
            rate = self._keys[client]
        elif self._config.require_key:
            raise Refused(400, "Please give an API key (api_key): this server translates with a key only")
        self._count(client, self._config.rate if rate is None else rate)

    def _count(self, client: bytes | str, rate: int) -> None:
        """A bucket for each client that fills at its rate and holds a minute's requests."""
        if not rate:
            return
        now = self._clock()
        bucket = self._buckets.pop(client, None) or _Bucket(rate, now)
        bucket.left = min(rate, bucket.left + (now - bucket.since) * rate / MINUTE)
        bucket.since = now
        self._buckets[client] = bucket
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            wait = math.ceil((1 - bucket.left) * MINUTE / rate)
            raise Refused(429, f"Too many requests: {rate} a minute", {"Retry-After": str(max(1, wait))})
        bucket.left -= 1
