"""Plain text -> words and numbers, block by block."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bpe.errors import UserError
from nmt.word2vec import words as module
from nmt.word2vec.words import read_words


def made(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8", newline="")
    return paths


def test_words_lines_and_counts(tmp_path: Path) -> None:
    paths = made(tmp_path, "b a\tb\r\n\n a c b a", "b\u00a0d a\n")
    text = read_words(paths, min_count=2, quiet=True)
    assert text.words == ("a", "b")
    assert text.counts.tolist() == [4, 3]
    assert [text.words[word] for word in text.ids] == ["b", "a", "b", "a", "b", "a", "a"]
    assert text.lines.tolist() == [0, 0, 0, 2, 2, 2, 3]
    assert text.num_read == 9
    everything = read_words(paths, min_count=1, quiet=True)
    assert set(everything.words) == {"a", "b", "c", "b\u00a0d"}


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_blocks_of_any_size_give_the_same(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(1)
    lines = [" ".join(draw.choices(["a", "bb", "ccc", "dé", "É"], k=draw.randint(0, 9))) for _ in range(40)]
    (path,) = made(tmp_path, "\n".join(lines))
    monkeypatch.setattr(module, "BLOCK_BYTES", size)
    text = read_words([path], min_count=1, lowercase=True, quiet=True)
    running = [(word.lower(), number) for number, line in enumerate(lines) for word in line.split()]
    assert [(text.words[word], line) for word, line in zip(text.ids, text.lines, strict=True)] == running
    counts = Counter(word for word, _ in running)
    assert dict(zip(text.words, text.counts.tolist(), strict=True)) == counts
    assert list(text.words) == sorted(counts, key=lambda word: (-counts[word], word.encode()))


def test_compressed_text(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a b a\n"))
    assert read_words([tmp_path / "a.gz"], min_count=1, quiet=True).words == ("a", "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a b\na \xff b\n", r"0.txt:2: invalid UTF-8: byte 0xff"),
        (b"", "0 of 0 words are there 2 times or more; it takes two; give more text, or a smaller --min-count"),
        (b"a a b\n", "1 of 2 words are there 2 times or more"),
        (b"\x1f\x8b\x08rest", "truncated or damaged gzip data"),
    ],
)
def test_text_that_will_not_do(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_words([tmp_path / "0.txt"], min_count=2, quiet=True)


def test_missing_file_and_endless_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_words([tmp_path / "none"], min_count=1, quiet=True)
    monkeypatch.setattr(module, "LONGEST_WORD", 5)
    monkeypatch.setattr(module, "BLOCK_BYTES", 4)
    (tmp_path / "long").write_bytes(b"a b abcdefghijk c")
    with pytest.raises(UserError, match="a word of more than 5 bytes; is it text"):
        read_words([tmp_path / "long"], min_count=1, quiet=True)


def test_arrays_are_small(tmp_path: Path) -> None:
    (path,) = made(tmp_path, "a b a b")
    text = read_words([path], min_count=1, quiet=True)
    assert text.ids.dtype == text.lines.dtype == np.int32
