"""What the tests of nmt-prep share: a corpus of word by word translations, and a run that must fail."""

from __future__ import annotations

import random
from pathlib import Path

from nmt.cli.prep import main

WORDS = (
    ("the", "der"), ("a", "ein"), ("dog", "Hund"), ("cat", "Katze"), ("house", "Haus"), ("man", "Mann"),
    ("runs", "rennt"), ("sleeps", "schläft"), ("eats", "isst"), ("big", "groß"), ("small", "klein"), ("green", "grün"),
    ("and", "und"), ("or", "oder"), ("in", "in"), ("on", "auf"), ("under", "unter"), ("tree", "Baum"), ("car", "Auto"),
)  # fmt: skip


def sentences(number: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of word by word translations."""
    draw = random.Random(seed)
    rows = [draw.choices(WORDS, k=draw.randint(3, 12)) for _ in range(number)]
    return [(" ".join(word[0] for word in row) + ".", " ".join(word[1] for word in row) + ".") for row in rows]


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))


def write_pairs(
    folder: Path, name: str, pairs: list[tuple[str, str]], languages: tuple[str, str] = ("en", "de")
) -> None:
    for side, language in enumerate(languages):
        write(folder / f"{name}.{language}", [pair[side] for pair in pairs])


def write_corpus(folder: Path) -> Path:
    """300 training pairs, 20 of valid and test each."""
    write_pairs(folder, "train", sentences(300))
    write_pairs(folder, "valid", sentences(20, seed=1))
    write_pairs(folder, "test", sentences(20, seed=2))
    return folder


def contents(folder: Path | str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def fails(capsys, *arguments: str) -> str:
    """Run, expect exit code 2 and one line; returns what stands after 'error: '."""
    capsys.readouterr()
    assert main(["--joint-bpe", "50", "--quiet", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err.removeprefix("nmt-prep: error: ").rstrip("\n")
