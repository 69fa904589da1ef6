"""The process: listens, says where, finishes what was begun when it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from bpe.errors import UserError
from nmt.config import ServeConfig

KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 5
"After its deadline every request has been answered."
BACKLOG = 2048
SWITCH_SECONDS = 0.0005
"After which a thread that runs Python lets another: the one that searches wants to go on after each of its products."
MANY_FILES, OTHER_FILES = 65_536, 128
"Connections where they have no limit of ours; files that are open beside connections, and a reserve of them."


def run_server(app: Starlette, config: ServeConfig, announce: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM. announce: is told the address, once requests are answered there."""
    listening = _listen(config.host, config.port)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    settings = uvicorn.Config(
        app,
        http=_protocol(config.receive_timeout),
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        limit_concurrency=_connections(config.connection_limit),
        timeout_graceful_shutdown=math.ceil(config.timeout) + GRACE_SECONDS if config.timeout else None,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    with listening:
        _Server(settings, lambda: announce(address)).run([listening])


def _connections(limit: int) -> int | None:
    """How many connections may be open: the limit, or what the system allows, which is asked for more."""
    try:
        import resource
    except ImportError:  # not on Windows
        return limit or None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = (limit or MANY_FILES) + OTHER_FILES
        soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        most = soft - OTHER_FILES
        return min(limit, most) if limit else most
    return limit or None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
        return listening
    except OSError as error:
        hint = "name another with --host or --port, or end what listens there"
        raise UserError(f"cannot be listened on ({error.strerror})", where=f"{host}:{port}", hint=hint) from None


class _Server(uvicorn.Server):
    """Says when it answers, and ends quietly when it was told to."""

    def __init__(self, settings: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(settings)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends at SIGINT and SIGTERM; uvicorn would send itself the signal again when all is done."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _protocol(receive_timeout: float) -> type[asyncio.Protocol]:
    """HTTP whose connections are closed where no request's head has come in time. 0: they are not."""

    class Punctual(H11Protocol):
        """See above."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if receive_timeout:
                self._timer = self.loop.call_later(receive_timeout, self._late)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None:
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _late(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Punctual
