"""WikiText-2: words of Wikipedia's good articles, rare ones as <unk>; unpacked and not changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nmt.corpora.archives import zip_lines
from nmt.corpora.records import TEXT, Corpus, ExpectedFile, Pair, RemoteFile, SplitText

ARCHIVE = "wikitext-2-v1.zip"
SPLITS = ("train", "valid", "test")


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """The archive, from its author's own server: the address of the paper answers no more."""
    return (
        RemoteFile(
            name=ARCHIVE,
            url=f"https://wikitext.smerity.com/{ARCHIVE}",
            sha256="92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
            checksum_source="published by JuliaText's CorpusLoaders",
        ),
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """Line by line, as the archive has them."""
    for split in SPLITS:
        yield SplitText(name=split, pairs=zip_lines(paths[ARCHIVE], f"wikitext-2/wiki.{split}.tokens"))


OUTPUTS = {
    "train.txt": ExpectedFile(lines=36_718, words=2_051_910),
    "valid.txt": ExpectedFile(
        lines=3_760, words=213_886, sha256="f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"
    ),
    "test.txt": ExpectedFile(
        lines=4_358, words=241_211, sha256="d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"
    ),
}

CORPUS = Corpus(
    name="wikitext-2",
    title="WikiText-2, word level",
    purpose="language models on a text that may be passed on: 2 million words",
    licence="CC BY-SA 3.0 (text of Wikipedia)",
    citation="Merity, Xiong, Bradbury, Socher: Pointer Sentinel Mixture Models, ICLR 2017 (arXiv:1609.07843)",
    source="https://wikitext.smerity.com",
    pairs=(TEXT,),
    files=files,
    splits=SPLITS,
    build=build,
    outputs={TEXT: OUTPUTS},
    notes="Words that are there fewer than three times are <unk>; 33,278 types with the end of a line. Empty lines and "
    "the spaces at both ends of a line are the original's.",
)
