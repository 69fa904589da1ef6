"""The five word similarity sets of Press & Wolf (2017), Table 2: two words and what people say of them, a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bpe.textfiles import read_lines
from nmt.corpora.records import TEXT, Corpus, ExpectedFile, Pair, RemoteFile, SplitText

COMMIT = "94b3dd9fdbac7ed08dbee7179cd5ee464acf0594"
ADDRESS = f"https://raw.githubusercontent.com/mfaruqui/eval-word-vectors/{COMMIT}/data/word-sim"

FILES: dict[str, tuple[int, int, str]] = {
    "EN-SIMLEX-999": (999, 18_024, "405394ffb7d25f6d0e3c041f87c9f27d29dc6b047506769953e85c4523b11685"),
    "EN-VERB-143": (144, 3_320, "7259e19961c81912aa4c72de0102e480b2ad2bb9f4ce97d036fbde8e1a403001"),
    "EN-MEN-TR-3k": (3_000, 53_593, "888b13580faa362c7b11da0a670258cf1b1eb4bf0ecbcd418918729a3bd3f43a"),
    "EN-RW-STANFORD": (2_034, 49_851, "5108d54dfc746f44f9c3d7e31d2857c37cf71430bc1594175a61a3b89bb0ae1f"),
    "EN-MTurk-771": (771, 19_628, "04dc297c9e86b6fa7cf8ef0e4ba2e2c8d3399ec68d92fb7a53c0b4aae27198b5"),
}
"Set -> pairs, bytes and SHA-256 of the repository's file."


def files(pair: Pair) -> tuple[RemoteFile, ...]:
    """A file for each set."""
    return tuple(
        RemoteFile(name=f"{name}.txt", url=f"{ADDRESS}/{name}.txt", size=size, sha256=sha256)
        for name, (_, size, sha256) in FILES.items()
    )


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """Line by line; each ends in a line feed, which some of the repository's do not."""
    for name in FILES:
        yield SplitText(name=name, pairs=((line,) for line in read_lines(paths[f"{name}.txt"])))


CORPUS = Corpus(
    name="word-similarity",
    title="Word similarity sets: SimLex-999, Verb-143, MEN, Rare Words, MTurk-771",
    purpose="scoring vectors of words (nmt-reproduce table2)",
    licence="the repository's is MIT; each set asks to be cited",
    citation="SimLex-999: Hill, Reichart, Korhonen, Computational Linguistics 41, 2015 (J15-4004); Verb-143: Baker, "
    "Reichart, Korhonen, EMNLP 2014 (D14-1034); MEN: Bruni, Tran, Baroni, JAIR 49, 2014; Rare Words: Luong, Socher, "
    "Manning, CoNLL 2013 (W13-3512); MTurk-771: Halawi, Dror, Gabrilovich, Koren, KDD 2012",
    source=f"https://github.com/mfaruqui/eval-word-vectors at {COMMIT}, data/word-sim",
    pairs=(TEXT,),
    files=files,
    splits=tuple(FILES),
    build=build,
    outputs={TEXT: {f"{name}.txt": ExpectedFile(lines=lines, words=3 * lines) for name, (lines, *_) in FILES.items()}},
    notes="Verb-143 has 144 pairs there. Written as NAME.txt, beside what else the folder holds.",
)
