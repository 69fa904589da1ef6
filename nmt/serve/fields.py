"""What a request says: its body, JSON or a form, as fields; and the fields of a translation, checked."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from nmt.config import ServeConfig
from nmt.serve.errors import Refused

BYTES_PER_CHARACTER, OTHER_BYTES, NO_LIMIT_BYTES = 12, 1 << 16, 1 << 26
"A character takes 12 bytes at most, in JSON as two \\uXXXX; what is around the texts; where characters have no limit."
MAX_FIELDS = 1000
AUTO = "auto"
SURROGATES = re.compile("[\ud800-\udfff]")

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it tells of every broken form

Fields = dict[str, Any]
"By name: texts, and in JSON whatever JSON has."


async def read_fields(request: Request, config: ServeConfig) -> Fields:
    """The fields of a body. Raises Refused where it is too long, too slow, or not what its type says."""
    body = await _body(request, config)
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if kind == "multipart/form-data" and "boundary" in parameters:
        return await _multipart(request, body)
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        try:
            pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        except ValueError:
            raise Refused(400, "Invalid request: the form cannot be read as UTF-8") from None
        return dict(pairs)
    return _json(body)


async def _body(request: Request, config: ServeConfig) -> bytes:
    limit = BYTES_PER_CHARACTER * config.char_limit + OTHER_BYTES if config.char_limit else NO_LIMIT_BYTES
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(config.receive_timeout or None):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise Refused(413, f"Invalid request: more than {limit:,} bytes", {"Connection": "close"})
                parts.append(part)
    except TimeoutError:
        problem = f"the request took longer than {config.receive_timeout:g} seconds to come"
        raise Refused(408, problem, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Refused(400, "the request broke off") from None
    return b"".join(parts)


def _json(body: bytes) -> Fields:
    try:
        fields = json.loads(body.decode("utf-8")) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Refused(400, "Invalid request: neither JSON in UTF-8 nor a form") from None
    if not isinstance(fields, dict):
        raise Refused(400, "Invalid request: the JSON is no object")
    return {name: _whole(value) for name, value in fields.items()}


def _whole(value: Any) -> Any:
    """A text, or a list's texts, with U+FFFD for the half characters that only JSON can spell."""
    if isinstance(value, list):
        return [_whole(one) if isinstance(one, str) else one for one in value]
    return SURROGATES.sub("\ufffd", value) if isinstance(value, str) else value


async def _multipart(request: Request, body: bytes) -> Fields:
    async def stream() -> AsyncIterator[bytes]:
        yield body

    try:
        parser = MultiPartParser(request.headers, stream(), max_files=0, max_fields=MAX_FIELDS, max_part_size=len(body))  # type: ignore[arg-type]
        return {name: value for name, value in (await parser.parse()).multi_items() if isinstance(value, str)}
    except (MultiPartException, ValueError, KeyError):
        raise Refused(400, "Invalid request: the form cannot be read") from None


def text_field(fields: Fields, name: str) -> str:
    """A field that must be a text. Raises Refused where it is missing or no text."""
    value = fields.get(name)
    if value is None or value == "":
        raise Refused(400, f"Invalid request: missing {name} parameter")
    if not isinstance(value, str):
        raise Refused(400, f"Invalid request: {name} must be a text")
    return value


@dataclass(frozen=True, kw_only=True)
class TranslationRequest:
    """What a translation request asks for."""

    texts: list[str]
    batch: bool
    "Whether it was a list, so that the answer is one."
    source: str
    target: str
    html: bool
    alternatives: int
    model: str | None

    @property
    def characters(self) -> int:
        """Of all texts."""
        return sum(map(len, self.texts))


def asked(fields: Fields, config: ServeConfig) -> TranslationRequest:
    """The fields of /translate. Raises Refused where one is missing, wrong or over its limit."""
    texts, batch = texts_of(fields, config)
    form = fields.get("format") or "text"
    if form not in ("text", "html"):
        raise Refused(400, "Invalid request: format must be text or html")
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise Refused(400, "Invalid request: model must be a name")
    return TranslationRequest(
        texts=texts,
        batch=batch,
        source=text_field(fields, "source"),
        target=text_field(fields, "target"),
        html=form == "html",
        alternatives=_alternatives(fields.get("alternatives"), config.alternatives_limit),
        model=model or None,
    )


def texts_of(fields: Fields, config: ServeConfig) -> tuple[list[str], bool]:
    """The texts of q, and whether it was a list. Raises Refused where it is missing or over a limit."""
    given = fields.get("q")
    batch = isinstance(given, list)
    texts: list[Any] = given if isinstance(given, list) else [given]
    if given is None:
        raise Refused(400, "Invalid request: missing q parameter")
    if not all(isinstance(text, str) for text in texts):
        raise Refused(400, "Invalid request: q must be a text or a list of texts")
    if config.batch_limit and len(texts) > config.batch_limit:
        raise Refused(400, f"Invalid request: request ({len(texts)}) exceeds batch limit ({config.batch_limit})")
    characters = sum(map(len, texts))
    if config.char_limit and characters > config.char_limit:
        raise Refused(400, f"Invalid request: request ({characters}) exceeds text limit ({config.char_limit})")
    return texts, batch


def _alternatives(value: Any, limit: int) -> int:
    if value is None or value == "":
        return 0
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        number = int(value)
    if number is None or number < 0:
        raise Refused(400, "Invalid request: alternatives must be a whole number, 0 or more")
    if number > limit:
        raise Refused(400, f"Invalid request: alternatives ({number}) exceeds the limit ({limit})")
    return number
