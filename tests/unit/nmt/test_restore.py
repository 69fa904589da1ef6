"""Records come back from JSON as what they were."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from nmt.report.restore import restored
from nmt.tying import Tying


@dataclass(frozen=True)
class Inner:
    """A record in a record."""

    number: float
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Every kind of field that reports have."""

    mode: Tying
    folder: Path
    side: Literal["source", "target"]
    count: int
    inner: Inner
    several: list[Inner]
    by_name: dict[str, Inner]
    perhaps: Inner | None = None
    anything: Any = None


def as_json(record: Any) -> Any:
    return json.loads(json.dumps(dataclasses.asdict(record), default=str))


def test_a_record_comes_back() -> None:
    inner = Inner(1.0, ("a", "b"))
    record = Outer(
        mode=Tying.THREE_WAY,
        folder=Path("a/b"),
        side="source",
        count=3,
        inner=inner,
        several=[inner, Inner(2.5, ())],
        by_name={"x": inner},
        perhaps=inner,
        anything={"k": [1, None]},
    )
    body = as_json(record) | {"mode": "three-way", "more": "left out"}
    assert restored(Outer, body) == record
    assert restored(Outer, body | {"perhaps": None}) == dataclasses.replace(record, perhaps=None)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"mode": "four-way"}, ValueError),
        ({"count": "3"}, TypeError),
        ({"inner": {"number": "x", "words": []}}, ValueError),
        ({"inner": {"number": 1.0}}, KeyError),
        ({"perhaps": {"number": 1.0}}, KeyError),
    ],
)
def test_what_is_no_such_record_is_an_error(changes: dict[str, Any], error: type[Exception]) -> None:
    inner = Inner(1.0, ())
    record = Outer(
        mode=Tying.UNTIED, folder=Path("a"), side="target", count=1, inner=inner, several=[], by_name={}, perhaps=inner
    )
    with pytest.raises(error):
        restored(Outer, as_json(record) | {"mode": "untied"} | changes)
