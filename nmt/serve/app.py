"""The application: paths, errors as JSON, counts, and the headers that every answer has."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bpe.errors import UserError
from nmt.config import ServeConfig
from nmt.packages import MissingPackage
from nmt.serve.access import Access
from nmt.serve.api import Api
from nmt.serve.errors import Refused
from nmt.serve.metrics import Metrics
from nmt.serve.models import Models
from nmt.serve.service import Service

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PAGE = ("index.html", "page.css", "words.css", "icon.svg", "page.js", "server.js", "words.js", "compare.js")
"Files of the page, each at its name; the first also at /."
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
log = logging.getLogger("nmt.serve")


def make_app(models: Models, config: ServeConfig) -> Starlette:
    """The application over some models. Raises UserError where the file of keys cannot be read."""
    service, metrics = Service(models, config), Metrics()
    api = Api(service, Access(config), metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    routes = [
        Route("/translate", api.translate, methods=["POST"]),
        Route("/explain", api.explain, methods=["POST"]),
        Route("/detect", api.detect, methods=["POST"]),
        Route("/languages", api.languages),
        Route("/models", api.models),
        Route("/frontend/settings", api.settings),
        Route("/health", api.health),
        Route("/spec", api.spec),
        Route("/metrics", api.counts),
        Route("/suggest", api.turned_off, methods=["POST"]),
        Route("/translate_file", api.turned_off, methods=["POST"]),
        *(_file(f"/{name}", name) for name in PAGE),
        _file("/", PAGE[0]),
    ]
    middleware = [Middleware(_Answers, metrics=metrics, paths=frozenset(route.path for route in routes))]
    if config.cors:
        origins, methods = list(config.cors), ["GET", "POST"]
        allowed = ["Content-Type", "Authorization"]
        middleware.append(
            Middleware(CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=allowed)
        )
    handlers = {Refused: _refused, HTTPException: _http, UserError: _user_error, Exception: _fault}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)  # type: ignore[arg-type]


def _file(path: str, name: str) -> Route:
    kind = KINDS[name.rpartition(".")[2]]
    body = Path(__file__).with_name("page").joinpath(name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(body, media_type=f"{kind}; charset=utf-8", headers={"Cache-Control": "no-cache"})

    return Route(path, answer)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)


async def _refused(_: Request, refused: Refused) -> Response:
    return _error(refused.status, refused.message, refused.headers)


async def _http(request: Request, error: HTTPException) -> Response:
    what = {404: f"there is no {request.url.path[:100]}", 405: f"{request.url.path} is not asked by {request.method}"}
    return _error(error.status_code, what.get(error.status_code, error.detail), dict(error.headers or {}))


async def _user_error(_: Request, error: UserError) -> Response:
    """What is wrong with the server, not with the request."""
    log.error("%s", error)
    return _error(501 if isinstance(error, MissingPackage) else 500, str(error))


async def _fault(_: Request, error: Exception) -> Response:
    return _error(500, "Internal error")


class _Answers:
    """Counts the answers, and gives each the headers that all have."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.answers[path, message["status"]] += 1
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, sent)
