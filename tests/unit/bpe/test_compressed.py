"""Compressed text: known by its first bytes, the same lines out of every kind, and one line for what is damaged."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bpe.chunks import ChunkReader
from bpe.compressed import compression_of
from bpe.errors import UserError
from bpe.textfiles import read_lines

TEXT = "".join(f"Zeile {number} – größer\r\n" for number in range(5_000)).encode()
LINES = TEXT.decode().removesuffix("\r\n").split("\r\n")


def zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        compressed: bytes = importlib.import_module("compression.zstd").compress(data)
    else:
        compressed = pytest.importorskip("zstandard").compress(data)
    return compressed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", PACKERS)
def test_lines_are_the_same_in_every_kind(kind: str, tmp_path: Path) -> None:
    pack = PACKERS[kind]
    assert compression_of(pack(TEXT)[:10]) == compression_of(pack(b"")[:10]) == kind
    assert list(read_lines(written(tmp_path / "a.txt", pack(TEXT)))) == LINES
    assert list(read_lines(written(tmp_path / "none", pack(b"")))) == []
    parts = written(tmp_path / "parts", pack(TEXT[:5000]) + pack(b"") + pack(TEXT[5000:]))
    assert list(read_lines(parts)) == LINES
    assert b"".join(chunk.text for chunk in ChunkReader([str(parts)])) == TEXT


@pytest.mark.parametrize("kind", PACKERS)
def test_damage_is_one_line_after_what_could_be_read(kind: str, tmp_path: Path) -> None:
    packed = PACKERS[kind](os.urandom(300_000).hex().encode())
    for name, data in (("short", packed[: len(packed) // 2]), ("changed", packed[:30] + b"x" * 900 + packed[930:])):
        path = written(tmp_path / name, data)
        with pytest.raises(UserError, match=rf"{name}: truncated or damaged {kind} data after line 0 \(.+\)"):
            list(read_lines(path))
        with pytest.raises(UserError, match=rf"{name}: truncated or damaged {kind} data after line 0"):
            list(ChunkReader([str(path)]))


def test_text_that_only_begins_like_packed_data_is_text(tmp_path: Path) -> None:
    assert list(read_lines(written(tmp_path / "a.bz2", b"BZh9 is how bzip2 begins\n"))) == ["BZh9 is how bzip2 begins"]
    assert [compression_of(start) for start in (b"", b"B", b"text\n")] == [None] * 3


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is built in")
def test_zstandard_without_its_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = written(tmp_path / "a.zst", b"\x28\xb5\x2f\xfd\x00")
    with pytest.raises(UserError) as raised:
        list(read_lines(path))
    assert str(raised.value).startswith(f"{path}: is Zstandard data, which needs the package zstandard (")
    assert str(raised.value).endswith("; pip install zstandard, or unpack the file")
