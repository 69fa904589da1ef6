"""Clients of a server, all in one event loop, with as little of their own work as can be: raw HTTP over sockets."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

HOST = "127.0.0.1"
SOCKET_LINGER = struct.pack("ii", 1, 0)
"Closing sends a reset, as a process that dies does."


@dataclass
class Answers:
    """What came back."""

    seconds: float = 0.0
    each: list[float] = field(default_factory=list)
    "Seconds of each request."
    texts: dict[int, str] = field(default_factory=dict)
    "Translations, by the number of the line."
    statuses: Counter[int] = field(default_factory=Counter)
    "0: the server closed the connection without an answer."


def request(path: str, body: bytes, kind: str = "application/json") -> bytes:
    """A POST in bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def translate_request(line: str, source: str, target: str) -> bytes:
    """One of /translate."""
    return request("/translate", json.dumps({"q": line, "source": source, "target": target}).encode())


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body; (0, b""): the connection was closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")),
            None,
        )
        body = await reader.read() if length is None else await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b""
    return int(head.split()[1]), body


async def ask_all(port: int, requests: Sequence[bytes], clients: int) -> Answers:
    """Every request by the next of some clients that is free, each with a connection of its own that it keeps."""
    found, numbers = Answers(), iter(range(len(requests)))

    async def client() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for number in numbers:
            begun = time.perf_counter()
            writer.write(requests[number])
            status, body = await read_answer(reader)
            found.each.append(time.perf_counter() - begun)
            found.statuses[status] += 1
            if status == 200:
                found.texts[number] = json.loads(body)["translatedText"]
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(min(clients, len(requests)))))
    found.seconds = time.perf_counter() - begun
    return found


async def vanish(port: int, requests: Sequence[bytes], at_once: int, seed: int = 1) -> None:
    """Send each request, or a part of it, on a connection of its own, and break it off a moment later."""
    draws, numbers = random.Random(seed), iter(range(len(requests)))

    async def client() -> None:
        for number in numbers:
            _, writer = await asyncio.open_connection(HOST, port)
            data = requests[number]
            writer.write(data[: draws.choice((0, len(data) // 2, len(data)))])
            await asyncio.sleep(draws.random() * 0.05)
            if draws.random() < 0.5:
                writer.transport.abort()
            else:
                writer.close()

    await asyncio.gather(*(client() for _ in range(at_once)))


async def send_nonsense(port: int, count: int, at_once: int, seed: int = 1) -> Counter[int]:
    """Malformed requests of many kinds; how each was answered."""
    draws, statuses, numbers = random.Random(seed), Counter[int](), iter(range(count))

    async def client() -> None:
        for _ in numbers:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(_nonsense(draws))
            if writer.can_write_eof():
                writer.write_eof()
            status, _ = await read_answer(reader)
            statuses[status] += 1
            writer.close()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return statuses


def _nonsense(draws: random.Random) -> bytes:
    noise = draws.randbytes(draws.randint(1, 60))
    fields = {"q": "a", "source": "en", "target": "de"}
    wrong = draws.choice(["q", "source", "target", "alternatives", "format", "api_key", "model"])
    value = draws.choice([None, 3, -1, 1e300, [], {}, [None], "\ud800", "x" * 100, True, ["a"] * 10_000])
    form = "application/x-www-form-urlencoded"
    return draws.choice(
        (
            noise + b"\r\n\r\n",
            b"GET " + noise.hex().encode() + b" HTTP/1.1\r\n\r\n",
            request("/translate", noise),
            request("/translate", noise, form),
            request("/translate", b"--x\r\n" + noise, "multipart/form-data; boundary=x"),
            request("/translate", json.dumps(fields | {wrong: value}).encode()),
            request("/translate", b"[" * 5000),
            request("/detect", json.dumps({"q": value}).encode()),
            request("/" + noise.hex(), b"{}"),
            b"POST /translate HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
            b"POST /translate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 100_000 + b"\r\n\r\n",
        )
    )


async def send_slowly(port: int, count: int, data: bytes, pause: float) -> Counter[int]:
    """A byte at a time, until each connection is closed; how each was answered."""
    statuses = Counter[int]()

    async def client(length: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        answer = asyncio.ensure_future(read_answer(reader))
        for place in range(length):
            if answer.done():
                break
            writer.write(data[place : place + 1])
            await asyncio.sleep(pause)
        status, _ = await answer
        statuses[status] += 1
        writer.close()

    await asyncio.gather(*(client(len(data)) for _ in range(count)))
    return statuses
