"""Keys and rates."""

from __future__ import annotations

import pytest

from bpe.errors import UserError
from nmt.config import ServeConfig
from nmt.serve.access import MAX_CLIENTS, Access, read_keys
from nmt.serve.errors import Refused


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def refusal(access, key="", address="1.2.3.4"):
    with pytest.raises(Refused) as caught:
        access.check(key, address)
    return caught.value


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# keys\none\n\ntwo 2  # a minute\n", encoding="utf-8")
    return str(path)


def test_rates_fill_again_and_are_each_clients_own():
    clock = Clock()
    access = Access(ServeConfig(rate=3), clock)
    for _ in range(3):
        access.check("", "a")
    refused = refusal(access, address="a")
    assert (refused.status, refused.headers) == (429, {"Retry-After": "20"})
    access.check("", "b")
    clock.now += 20
    access.check("", "a")
    assert refusal(access, address="a").status == 429


def test_a_key_has_its_own_rate(keys):
    access = Access(ServeConfig(rate=1, keys=keys), Clock())
    for address in "ab":
        access.check("two", address)
    assert refusal(access, "two").status == 429
    access.check("one", "a")
    assert refusal(access, "one").status == 429
    access.check("", "a")


def test_a_key_that_is_not_known_or_missing(keys):
    access = Access(ServeConfig(keys=keys), Clock())
    access.check("", "a")
    assert refusal(access, "three").status == 403
    required = Access(ServeConfig(keys=keys, require_key=True), Clock())
    assert refusal(required).status == 400
    required.check("one", "a")


def test_keys_without_a_file_count_for_nothing():
    Access(ServeConfig()).check("any", "a")


def test_only_so_many_clients_are_remembered():
    access = Access(ServeConfig(rate=1), Clock())
    for number in range(MAX_CLIENTS + 10):
        access.check("", str(number))
    assert len(access._buckets) == MAX_CLIENTS


@pytest.mark.parametrize(
    ("text", "problem"), [("", "has no keys"), ("a b", ":1: no line"), ("a\nb 1 2", ":2: no line")]
)
def test_a_wrong_file_of_keys_is_refused(tmp_path, text, problem):
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=problem):
        read_keys(path)


def test_requiring_keys_wants_a_file_of_them():
    with pytest.raises(UserError, match="--keys"):
        ServeConfig(require_key=True)
