"""The API in OpenAPI's words."""

from __future__ import annotations

from typing import Any

import nmt
from nmt.serve.models import Models

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
LANGUAGE = {"type": "object", "properties": {"confidence": NUMBER, "language": TEXT}}
ERROR = {"type": "object", "properties": {"error": TEXT}}
MEANINGS = {
    "400": "Something is missing, wrong or over a limit",
    "403": "The key is not known",
    "408": "The request came too slowly",
    "413": "The request is too long",
    "429": "Too many requests; Retry-After says when to try again",
    "504": "The translation took too long",
}


def specification(models: Models) -> dict[str, Any]:
    """An OpenAPI document."""
    translated = _object(
        translatedText=_text_or_list(), alternatives={"type": "array", "items": {}}, detectedLanguage={}
    )
    found = {"type": "array", "items": LANGUAGE}
    language = _object(code=TEXT, name=TEXT, targets={"type": "array", "items": TEXT})
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "nmt-serve",
            "version": nmt.__version__,
            "description": "Machine translation with LibreTranslate's API.",
        },
        "paths": {
            "/translate": {
                "post": _posted(
                    "Translate a text or a list of texts", _translate_fields(models, _text_or_list()), translated
                )
            },
            "/explain": {
                "post": _posted("Translate a text, and tell how", _translate_fields(models, TEXT), _explained())
            },
            "/detect": {"post": _posted("Tell the language of a text", _object(("q",), q=TEXT, api_key=TEXT), found)},
            "/languages": {"get": _got("The languages and what each is translated into", _list(language))},
            "/models": {"get": _got("The models by name", _list(_object(name=TEXT, source=TEXT, target=TEXT)))},
            "/frontend/settings": {"get": _got("What a page needs to know", {"type": "object"})},
            "/health": {"get": _got("Whether the server answers", _object(status=TEXT))},
        },
    }


def _explained() -> dict[str, Any]:
    word: dict[str, Any] = {"text": TEXT, "start": NUMBER, "end": NUMBER}
    attention = _list({"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2})
    written = word | {"probability": NUMBER, "doubt": NUMBER, "attention": attention}
    return _object(
        translatedText=TEXT,
        alternatives=_list(TEXT),
        detectedLanguage=LANGUAGE,
        model=TEXT,
        seconds=NUMBER,
        sourceWords=_list(_object(**word)),
        words=_list(_object(**written)),
    )


def _translate_fields(models: Models, text: dict[str, Any]) -> dict[str, Any]:
    return _object(
        ("q", "source", "target"),
        q=text,
        source=TEXT | {"enum": ["auto", *models.sources]},
        target=TEXT | {"enum": list(dict.fromkeys(one.target for one in models.served))},
        format=TEXT | {"enum": ["text", "html"], "default": "text"},
        alternatives={"type": "integer", "minimum": 0, "default": 0},
        api_key=TEXT,
        model=TEXT | {"enum": [one.name for one in models.served]},
    )


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return found | {"required": list(required)} if required else found


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _text_or_list() -> dict[str, Any]:
    return {"oneOf": [TEXT, _list(TEXT)]}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _got(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "OK", "content": _content(answer)}}}


def _posted(summary: str, fields: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    body = _content(fields) | {"application/x-www-form-urlencoded": {"schema": fields}}
    errors = {status: {"description": meaning, "content": _content(ERROR)} for status, meaning in MEANINGS.items()}
    found = _got(summary, answer)
    return found | {"requestBody": {"required": True, "content": body}, "responses": found["responses"] | errors}
