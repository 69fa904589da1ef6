"""The paths of LibreTranslate's API, each a function from a request to an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nmt.device import peak_memory
from nmt.serve.access import Access
from nmt.serve.errors import Refused
from nmt.serve.fields import AUTO, Fields, TranslationRequest, asked, read_fields, texts_of
from nmt.serve.languages import name_of
from nmt.serve.metrics import CONTENT_TYPE, Metrics
from nmt.serve.service import Service
from nmt.serve.spec import specification

CLIENT_GONE = 499
"The status that is counted for a client that went away; nobody reads the answer."


class Api:
    """Answers requests with a service."""

    def __init__(self, service: Service, access: Access, metrics: Metrics) -> None:
        self.service, self.access, self.metrics = service, access, metrics
        self.config = service.config

    async def translate(self, request: Request) -> Response:
        """POST /translate."""
        wanted = asked(await self._fields(request), self.config)
        return await self._translated(request, wanted, self.service.translate)

    async def explain(self, request: Request) -> Response:
        """POST /explain, which LibreTranslate does not have."""
        wanted = asked(await self._fields(request), self.config)
        if wanted.batch or wanted.html:
            raise Refused(400, "Invalid request: what is explained is one text, and its format is text")
        return await self._translated(request, wanted, self.service.explain)

    async def _translated(
        self,
        request: Request,
        wanted: TranslationRequest,
        work: Callable[[TranslationRequest], Coroutine[Any, Any, Any]],
    ) -> Response:
        begun = time.monotonic()
        with self.service.place():
            answer = await self._unless_gone(request, work(wanted))
        self.metrics.translated(time.monotonic() - begun, wanted.characters)
        return JSONResponse(answer)

    async def detect(self, request: Request) -> Response:
        """POST /detect."""
        fields = await self._fields(request)
        texts, _ = texts_of(fields, self.config)
        with self.service.place():
            [first, *_] = await self._unless_gone(request, self.service.detect([" ".join(texts)]))
        return JSONResponse([found.fields() for found in first])

    async def _fields(self, request: Request) -> Fields:
        """A request's fields, once it is known that its client may ask."""
        fields = await read_fields(request, self.config)
        key = fields.get("api_key") or ""
        if not isinstance(key, str):
            raise Refused(400, "Invalid request: api_key must be a text")
        self.access.check(key, request.client.host if request.client else "")
        return fields

    async def _unless_gone(self, request: Request, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of work, which is given up at the deadline, and where the client goes away."""
        running, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait(
                (running, gone), timeout=self.config.timeout or None, return_when=asyncio.FIRST_COMPLETED
            )
            if running.done():
                return running.result()
            if gone.done():
                self.metrics.abandoned += 1
                raise Refused(CLIENT_GONE, "the client went away")
            raise Refused(504, f"The translation took longer than {self.config.timeout:g} seconds")
        finally:
            running.cancel()
            gone.cancel()

    async def languages(self, request: Request) -> Response:
        """GET /languages."""
        return JSONResponse(self.service.models.languages())

    async def models(self, request: Request) -> Response:
        """GET /models, which LibreTranslate does not have: what may be named as `model` in /translate."""
        return JSONResponse([one.about() for one in self.service.models.served])

    async def settings(self, request: Request) -> Response:
        """GET /frontend/settings."""
        models = self.service.models
        return JSONResponse(
            {
                "charLimit": self.config.char_limit or -1,
                "batchLimit": self.config.batch_limit or -1,
                "alternativesLimit": self.config.alternatives_limit,
                "frontendTimeout": 500,
                "apiKeys": self.access.has_keys,
                "keyRequired": self.config.require_key,
                "suggestions": False,
                "filesTranslation": False,
                "supportedFilesFormat": [],
                "language": {
                    "source": {"code": AUTO, "name": "Auto Detect"},
                    "target": {"code": models.served[0].target, "name": name_of(models.served[0].target)},
                },
            }
        )

    async def health(self, request: Request) -> Response:
        """GET /health."""
        return JSONResponse({"status": "ok"})

    async def spec(self, request: Request) -> Response:
        """GET /spec."""
        return JSONResponse(specification(self.service.models))

    async def turned_off(self, request: Request) -> Response:
        """What LibreTranslate can have and this server has not."""
        raise Refused(403, f"{request.url.path} is not available on this server")

    async def counts(self, request: Request) -> Response:
        """GET /metrics. Where keys are required, one is, as a bearer token."""
        if self.config.require_key:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self.access.known(token.strip()):
                raise Refused(401, "give a key as bearer token", {"WWW-Authenticate": "Bearer"})
        gauges = {
            "nmt_requests_in_work": self.service.num_requests,
            "nmt_sentences_in_search": self.service.pool.num_at_work,
            "nmt_peak_memory_bytes": peak_memory(self.service.models.served[0].device),
        }
        return Response(self.metrics.text(gauges), media_type=CONTENT_TYPE)


async def _gone(request: Request) -> None:
    """Returns when the client has closed its connection. The body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
