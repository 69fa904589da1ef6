"""The text that BPE tools are measured on: real text tokenised once for all of them, or a little made-up text."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import read_lines, write_lines
from nmt.prepare.files import CorpusFiles, find_corpus
from nmt.text.languages import code_of
from nmt.text.tokenization import make_tokenizer
from scripts.benchmarks.zipf import zipf_counts

QUICKSTART = Path(__file__).resolve().parents[2] / "quickstart/corpus"
QUICK_LINES, QUICK_WORDS = 400, 8
VALID_LINES = 20


@dataclass(frozen=True, kw_only=True)
class Text:
    """A tokenised file and what is in it."""

    path: Path
    about: str
    "What it was made from."
    num_lines: int
    num_words: int
    num_characters: int
    "Different ones."
    num_symbols: int
    "Different symbols before any merge: a character at the end of a word is another symbol."
    corpus: CorpusFiles | None
    "The raw text of both sides, where there are two."


def tokenise(files: Sequence[tuple[Path, str]], output: Path, about: str, corpus: CorpusFiles | None) -> Text:
    """Write all lines of (file, language) after one another, words between single spaces, and count."""
    characters: set[str] = set()
    finals: set[str] = set()
    num_lines = num_words = 0

    def lines() -> Iterator[str]:
        nonlocal num_lines, num_words
        for path, language in files:
            words_of = make_tokenizer("moses", code_of(language), normalize="moses").words
            for line in read_lines(path):
                words = words_of(line)
                num_lines += 1
                num_words += len(words)
                for word in words:
                    characters.update(word)
                    finals.add(word[-1])
                yield " ".join(words)

    write_lines(output, lines())
    if not num_words:
        raise UserError("no words in it", where=about)
    return Text(
        path=output,
        about=f"{about}, {num_lines:,} lines, {num_words:,} words of Moses' tokeniser",
        num_lines=num_lines,
        num_words=num_words,
        num_characters=len(characters),
        num_symbols=len(characters) + len(finals),
        corpus=corpus,
    )


def of_corpus(folder: Path, output: Path, about: str = "") -> Text:
    """The training text of both sides of a corpus folder, the source's first."""
    corpus = find_corpus(folder)
    pairs = corpus.splits["train"]
    files = [(pair.source, corpus.source) for pair in pairs] + [(pair.target, corpus.target) for pair in pairs]
    return tokenise(files, output, about or f"{folder} ({corpus.source}-{corpus.target})", corpus)


def of_files(paths: Sequence[Path], output: Path) -> Text:
    """Files of text; a name's ending that looks like a language code is taken for one."""
    return tokenise([(path, _language(path)) for path in paths], output, ", ".join(map(str, paths)), None)


def _language(path: Path) -> str:
    ending = re.search(r"\.([a-z]{2,3})(\.gz)?$", path.name)
    return ending[1] if ending and ending[1] not in ("txt", "gz") else "en"


def quick_corpus(folder: Path) -> Path:
    """Write a corpus of made-up words; each side has words of its own, so that they do not look equal."""
    chance = random.Random(1)
    for seed, language in enumerate(("en", "de"), 1):
        counts = zipf_counts(1_000, 10_000, seed)
        words, weights = list(counts), list(counts.values())
        for split, num_lines in (("train", QUICK_LINES), ("valid", VALID_LINES)):
            text = [" ".join(chance.choices(words, weights, k=QUICK_WORDS)) + "." for _ in range(num_lines)]
            write_lines(folder / f"{split}.{language}", text)
    return folder


def copy_corpus(corpus: CorpusFiles, folder: Path, copies: int = 1) -> Path:
    """Write plain train and valid files: the training text `copies` times over."""
    for side, language in enumerate((corpus.source, corpus.target)):
        for split, times in (("train", copies), ("valid", 1)):
            paths = [pair.paths()[side] for pair in corpus.splits[split]] * times
            write_lines(folder / f"{split}.{language}", chain.from_iterable(map(read_lines, paths)))
    return folder
