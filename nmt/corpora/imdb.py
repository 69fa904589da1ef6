"""IMDB's large movie review dataset as lines for language models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nmt.corpora.archives import decoded, tar_documents
from nmt.corpora.heldout import bucket
from nmt.corpora.records import TEXT, Corpus, ExpectedFile, Pair, RemoteFile, SplitText
from nmt.corpora.running import sentences_of

ARCHIVE = "aclImdb_v1.tar.gz"
REVIEW = re.compile(r"aclImdb/(train/(pos|neg|unsup)|test/(pos|neg))/\d+_\d+\.txt")


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """The archive."""
    return (
        RemoteFile(
            name=ARCHIVE,
            url=f"https://ai.stanford.edu/~amaas/data/sentiment/{ARCHIVE}",
            size=84_125_825,
            sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            checksum_source="published by TensorFlow Datasets",
        ),
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """train: the reviews of train/ by their names. valid and test: those of test/, by the hash of their names.

    A review that was there before, word for word, is left out.
    """
    reviews = {name: decoded(raw) for name, raw in tar_documents(paths[ARCHIVE], REVIEW).items()}
    groups: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for name in reviews:
        held_out = "valid" if bucket(name) < 0.5 else "test"
        groups["train" if name.startswith("aclImdb/train/") else held_out].append(name)
    seen: set[str] = set()
    for split, names in groups.items():
        texts = [reviews[name] for name in names]
        new = [text for text in dict.fromkeys(texts) if text not in seen]
        seen |= set(new)
        yield SplitText(name=split, pairs=((line,) for text in new for line in sentences_of(text)))


OUTPUTS = {
    "train.txt": ExpectedFile(sha256="1e9283421fb9ce470c7bb9e8b90408b5780e2479ccb690c4816d8a48008309eb", strict=False),
    "valid.txt": ExpectedFile(sha256="e24598df1167d4254991e2e287a4091bdeb1707bd98b2f3fb16fb30e075c2dd9", strict=False),
    "test.txt": ExpectedFile(sha256="afb0afd9ba75fe418c1c9e11a232823a2e67e8a9068d8716f1ac712bf56b7036", strict=False),
}
"Built from another public copy of the unpacked archive."

CORPUS = Corpus(
    name="imdb",
    title="Large Movie Review Dataset 1.0 (IMDB)",
    purpose="language models of reviews, 100,000 of them",
    licence="none stated; the reviews are their authors', offered for research",
    citation="Maas, Daly, Pham, Huang, Ng, Potts: Learning Word Vectors for Sentiment Analysis, ACL 2011 (P11-1015)",
    source="https://ai.stanford.edu/~amaas/data/sentiment",
    pairs=(TEXT,),
    files=files,
    splits=("train", "valid", "test"),
    build=build,
    outputs={TEXT: OUTPUTS},
    approximate_pairs={TEXT: 762_129},
    notes="A sentence a line, words and marks apart, small letters (nmt/corpora/running.py). The splits of Miyamoto & "
    "Cho (2016) are not published; these are ours: train/ (pos, neg, unsup) is train, test/ is halved into valid and "
    "test by the SHA-256 of the file's name; what is there twice, word for word, is there once. From another copy: "
    "762,129 + 149,472 + 144,998 lines, 19,459,593 + 3,248,317 + 3,154,635 words.",
)
