"""Chunks: whole lines, as soon as they come, numbered, from any inputs."""

import gzip
import os
import random

import pytest

import bpe.chunks
from bpe.chunks import Chunk, ChunkReader, split_at_bad_line
from bpe.errors import UserError


def written(path, data):
    path.write_bytes(data)
    return str(path)


@pytest.fixture
def piped(monkeypatch):
    """Standard input as a pipe; returns what writes into it."""
    source, target = os.pipe()
    with open(source) as stdin, open(target, "wb", buffering=0) as pipe:
        monkeypatch.setattr("sys.stdin", stdin)
        yield pipe


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 18])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_chunks_are_whole_lines_with_their_numbers(size, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(bpe.chunks, "CHUNK_BYTES", size)
    draw = random.Random(size)
    data = "".join("x" * draw.choice([0, 1, 5, 300]) + "\n" for _ in range(50)).encode() + b"last"
    expected = 1
    texts = []
    for chunk in ChunkReader([written(tmp_path / "text", pack(data))]):
        assert (chunk.number, chunk.line) == (expected, expected)
        assert chunk.text.endswith(b"\n") or chunk.text.endswith(b"last")
        expected += chunk.text.count(b"\n")
        texts.append(chunk.text)
    assert b"".join(texts) == data
    assert len(texts) == 1 if size > len(data) else len(texts) > 10


def test_files_follow_one_another_and_lines_are_not_joined(tmp_path):
    names = [written(tmp_path / name, data) for name, data in (("a", b"1\n2"), ("b", b""), ("c", b"3\n"), ("d", b"4"))]
    assert list(ChunkReader(names)) == [
        Chunk(b"1\n2\n", names[0], 1, 1),
        Chunk(b"3\n", names[2], 1, 3),
        Chunk(b"4", names[3], 1, 4),
    ]
    assert list(ChunkReader([names[1]])) == []


def test_what_was_written_to_a_pipe_is_read_before_more_is_written(piped):
    chunks = ChunkReader(["-"])
    for line in (b"one\n", b"\n", b"two\nthree\n"):
        piped.write(line)
        assert next(chunks).text == line
        assert chunks.would_wait()
    piped.write(b"fo")
    piped.write(b"ur\nfi")
    assert next(chunks).text == b"four\n"
    piped.write(b"ve")
    piped.close()
    assert not chunks.would_wait()
    assert next(chunks) == Chunk(b"five", "standard input", 6, 6)
    assert next(chunks, None) is None


def test_pieces_of_a_pipe_are_gathered_to_a_chunk(piped):
    for _ in range(100):
        piped.write(b"some words\n")
    piped.close()
    assert len(list(ChunkReader(["-"]))) == 1


def test_the_share_that_was_read_is_known_of_files_only(tmp_path, piped, monkeypatch):
    monkeypatch.setattr(bpe.chunks, "CHUNK_BYTES", 20_000)
    names = [written(tmp_path / name, b"123456789\n" * 10_000) for name in "ab"]
    reader = ChunkReader(names)
    shares = [reader.share() for _ in reader]
    assert shares == sorted(shares)
    assert len(shares) >= 10
    assert 0 < shares[0] < 0.2
    assert 0.3 < shares[len(shares) // 2] < 0.7
    assert shares[-1] == reader.share() == 1.0
    packed = ChunkReader([written(tmp_path / "c", gzip.compress(os.urandom(10_000).hex().encode()))])
    assert [packed.share() for _ in packed][-1] == 1.0
    assert ChunkReader([*names, "-"]).share() is None
    assert ChunkReader([written(tmp_path / "empty", b"")]).share() is None


def test_damaged_gzip_data_is_named_after_the_lines_before_the_damage(tmp_path):
    data = b"".join(b"%d\n" % number for number in random.Random(1).choices(range(1 << 40), k=5000))
    chunks = ChunkReader([written(tmp_path / "a.gz", gzip.compress(data)[:-500])])
    text = next(chunks).text
    assert data.startswith(text)
    assert len(text) > len(data) / 2
    with pytest.raises(UserError) as raised:
        next(chunks)
    place = f"truncated or damaged gzip data after line {text.count(10)}"
    assert str(raised.value).startswith(f"{tmp_path}/a.gz: {place}")


def test_missing_files_folders_and_a_closed_input_are_named_at_once(tmp_path, monkeypatch):
    first = written(tmp_path / "a", b"x\n")
    with pytest.raises(UserError, match=r"none: no such file"):
        ChunkReader([first, str(tmp_path / "none")])
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        list(ChunkReader([str(tmp_path)]))
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="standard input: is closed"):
        ChunkReader(["-"])


@pytest.mark.parametrize(
    ("text", "before", "line", "byte"),
    [
        (b"a\nb\n\xff\nc\n", b"a\nb\n", 12, 1),
        (b"a\xc3", b"", 10, 2),
        ("ä\nö".encode() + b"\xf6\r\n", "ä\n".encode(), 11, 3),
    ],
)
def test_the_first_bad_line_is_named(text, before, line, byte):
    chunk, error = split_at_bad_line(Chunk(text, "file", 10, 99))
    assert chunk == Chunk(before, "file", 10, 99)
    assert str(error).startswith(f"file:{line}: invalid UTF-8: ")
    assert f" at byte {byte} of the line" in str(error)
