"""Plain text -> words that are frequent enough, and the running text as their numbers.

Words are what ASCII white space separates, a sentence is a line. A text may be one line of any length: it is read block
by block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpe.compressed import DamagedData
from bpe.errors import UserError
from bpe.progress import Progress
from bpe.textfiles import open_binary

BLOCK_BYTES = 1 << 20
LONGEST_WORD = 1 << 20
"Bytes; more without a space is no text of words."


@dataclass(frozen=True, kw_only=True)
class WordText:
    """A text in numbers.

    words: most frequent first, equals in the order of their bytes. counts: [V], how often each is in the text.
    ids: [M], the running text without rarer words. lines: [M], the number of the line that each stands in.
    """

    words: tuple[str, ...]
    counts: np.ndarray
    ids: np.ndarray
    lines: np.ndarray
    num_read: int
    "Words read, rare ones included."


def read_words(paths: Sequence[Path], *, min_count: int, lowercase: bool = False, quiet: bool = False) -> WordText:
    """The text of the files, one after the other.

    min_count: a word that is seen less often is left out, as if it were not there. lowercase: of all letters.
    Errors: UserError for a file that is missing, damaged or not UTF-8, and where fewer than two words are left.
    """
    counter: Counter[bytes] = Counter()
    with Progress("counting words", unit="words", quiet=quiet) as progress:
        for sentence, _ in sentences(paths, lowercase=lowercase):
            counter.update(sentence)
            progress.advance(len(sentence))
    kept = sorted((word for word, count in counter.items() if count >= min_count), key=lambda w: (-counter[w], w))
    if len(kept) < 2:
        raise UserError(
            f"{len(kept)} of {len(counter):,} words are there {min_count} times or more; it takes two",
            where=", ".join(map(str, paths)),
            hint="give more text, or a smaller --min-count",
        )
    counts = np.array([counter[word] for word in kept], dtype=np.int64)
    ids, lines = _encode(paths, kept, int(counts.sum()), lowercase, quiet)
    words = tuple(word.decode("utf-8") for word in kept)
    return WordText(words=words, counts=counts, ids=ids, lines=lines, num_read=counter.total())


def _encode(
    paths: Sequence[Path], words: Sequence[bytes], total: int, lowercase: bool, quiet: bool
) -> tuple[np.ndarray, np.ndarray]:
    """ids and lines of WordText, [total] each."""
    number = {word: index for index, word in enumerate(words)}
    ids, lines = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
    end = 0
    with Progress("encoding", total, unit="words", quiet=quiet) as progress:
        for sentence, line in sentences(paths, lowercase=lowercase):
            found = [number[word] for word in sentence if word in number]
            ids[end : end + len(found)] = found
            lines[end : end + len(found)] = line
            end += len(found)
            progress.advance(len(found))
    assert end == total, (end, total)
    return ids, lines


def sentences(paths: Sequence[Path], *, lowercase: bool = False) -> Iterator[tuple[list[bytes], int]]:
    """Words of a line, or of the next part of a long one, and the number of the line among all files' lines."""
    before = 0
    for path in paths:
        here = 0
        for block in _blocks(path):
            text = _checked(block, path, here + 1)
            raw = text.lower().encode("utf-8") if lowercase else block
            for index, line in enumerate(raw.split(b"\n")):
                if words := line.split():
                    yield words, before + here + index
            here += block.count(b"\n")
        before += here + 1


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces that end after white space, the last one wherever the file does."""
    rest = b""
    with open_binary(path) as stream:
        try:
            while block := stream.read(BLOCK_BYTES):
                block = rest + block
                cut = 1 + max(block.rfind(space) for space in (b" ", b"\n", b"\t"))
                rest = block[cut:]
                if len(rest) > LONGEST_WORD:
                    raise UserError(f"a word of more than {LONGEST_WORD:,} bytes", where=path, hint="is it text?")
                if cut:
                    yield block[:cut]
        except DamagedData as damage:
            raise damage.at(path, "") from None
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    if rest:
        yield rest


def _checked(block: bytes, path: Path, first_line: int) -> str:
    """The block as text, or a UserError that names the line."""
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + block.count(b"\n", 0, error.start)
        raise UserError(
            f"invalid UTF-8: byte 0x{block[error.start]:02x}",
            where=f"{path}:{line}",
            hint="convert the file to UTF-8 (iconv -f ENCODING -t UTF-8) or remove the line",
        ) from None
