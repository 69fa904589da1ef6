"""WMT: the training data of 2014 (EN-FR) and 2015 (EN-DE), and the news test sets, from their public archives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from nmt.corpora.archives import ArchiveMember, parallel
from nmt.corpora.records import Builder, Corpus, ExpectedFile, Pair, RemoteFile, SplitText

TFDS = "published by tensorflow-datasets 4.9.9, url_checksums"
SACREBLEU = "published by sacreBLEU 2.6.0, sacrebleu/dataset"
LICENCE = "no explicit licence; WMT releases its data for research use"
EN_DE, EN_FR = ("en", "de"), ("en", "fr")


def published(url: str, size: int, sha256: str) -> RemoteFile:
    """A file that tensorflow-datasets publishes size and SHA-256 of."""
    name = url.rsplit("/", 1)[1]
    return RemoteFile(name=name, url=url, size=size, sha256=sha256, checksum_source=TFDS)


EUROPARL = published(
    "https://www.statmt.org/wmt13/training-parallel-europarl-v7.tgz",
    657_632_379,
    "0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7",
)
COMMONCRAWL = published(
    "https://www.statmt.org/wmt13/training-parallel-commoncrawl.tgz",
    918_311_367,
    "c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5",
)
UN = published(
    "https://www.statmt.org/wmt13/training-parallel-un.tgz",
    2_365_634_246,
    "29141b5c1eba149a94f7a59d3b1a834b2e47fe0f8758d68dcd77a3d3f497ee47",
)
GIGA = published(
    "https://www.statmt.org/wmt10/training-giga-fren.tar",
    2_595_102_720,
    "3ff8319f6919393520559bfbc7ad6a747ec81b3abc7be9993b338d4b017b4d9a",
)
NEWS_V9 = published(
    "https://www.statmt.org/wmt14/training-parallel-nc-v9.tgz",
    80_418_416,
    "cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485",
)
NEWS_V10 = published(
    "https://www.statmt.org/wmt15/training-parallel-nc-v10.tgz",
    125_136_590,
    "11e053e7ea29e87e69a1ad05e61cb559820947ecec144ea8c1d6cf05017c9602",
)
DEV = published(
    "https://data.statmt.org/wmt19/translation-task/dev.tgz",
    38_654_961,
    "7a7deccf82ebb05ba508dba5eb21356492224e8f630ec4f992132b029b4b25e7",
)
FULL_2014 = RemoteFile(
    name="test-full.tgz",
    url="https://www.statmt.org/wmt14/test-full.tgz",
    md5="a8cd784e006feb32ac6f3d9ec7eb389a",
    checksum_source=SACREBLEU,
)
FILTERED_2014 = RemoteFile(
    name="test-filtered.tgz",
    url="https://www.statmt.org/wmt14/test-filtered.tgz",
    md5="84c597844c1542e29c2aff23aaee4310",
    checksum_source=SACREBLEU,
)
TEST_2015 = RemoteFile(
    name="test.tgz",
    url="https://www.statmt.org/wmt15/test.tgz",
    md5="67e3beca15e69fe3d36de149da0a96df",
    checksum_source=SACREBLEU,
)


def both(archive: RemoteFile, pattern: str, pair: Pair) -> tuple[ArchiveMember, ArchiveMember]:
    """The two sides of a bitext: {foreign} is the language that is not English, {code} the side's own."""
    left, right = (pattern.format(foreign=pair[1], code=code) for code in pair)
    return ArchiveMember(archive=archive.name, path=left), ArchiveMember(archive=archive.name, path=right)


def newstest2013(pair: Pair) -> tuple[ArchiveMember, ArchiveMember]:
    """3,000 lines, plain text."""
    return both(DEV, "dev/newstest2013.{code}", pair)


def newstest2014(
    pair: Pair, archive: RemoteFile = FULL_2014, folder: str = "test-full"
) -> tuple[ArchiveMember, ArchiveMember]:
    """English -> foreign: source and reference, as sacreBLEU reads them."""
    base = f"{folder}/newstest2014-{pair[1]}en"
    return (
        ArchiveMember(archive=archive.name, path=f"{base}-src.en.sgm"),
        ArchiveMember(archive=archive.name, path=f"{base}-ref.{pair[1]}.sgm"),
    )


def newstest2015(pair: Pair) -> tuple[ArchiveMember, ArchiveMember]:
    """2,169 lines, EN-DE."""
    base = f"test/newstest2015-en{pair[1]}"
    return (
        ArchiveMember(archive=TEST_2015.name, path=f"{base}-src.en.sgm"),
        ArchiveMember(archive=TEST_2015.name, path=f"{base}-ref.{pair[1]}.sgm"),
    )


def training(pair: Pair) -> list[tuple[ArchiveMember, ArchiveMember]]:
    """The bitexts of the training data, in the order in which they are written."""
    shared = [
        both(EUROPARL, "training/europarl-v7.{foreign}-en.{code}", pair),
        both(COMMONCRAWL, "commoncrawl.{foreign}-en.{code}", pair),
    ]
    if pair == EN_DE:
        return [*shared, both(NEWS_V10, "news-commentary-v10.{foreign}-en.{code}", pair)]
    return [
        *shared,
        both(UN, "un/undoc.2000.{foreign}-en.{code}", pair),
        both(NEWS_V9, "training/news-commentary-v9.{foreign}-en.{code}", pair),
        both(GIGA, "giga-fren.release2.fixed.{code}.gz", pair),
    ]


def build_training(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """train, without pairs that lack a side; valid (newstest2013); the test sets."""
    texts = (parallel(left, right, paths, drop_blank=True) for left, right in training(pair))
    yield SplitText(name="train", pairs=chain.from_iterable(texts))
    yield SplitText(name="valid", pairs=parallel(*newstest2013(pair), paths))
    if pair == EN_DE:
        yield SplitText(name="test", pairs=parallel(*newstest2015(pair), paths))
        yield SplitText(name="newstest2014", pairs=parallel(*newstest2014(pair), paths))
    else:
        yield SplitText(name="test", pairs=parallel(*newstest2014(pair), paths))


def text_2013(split: str, pair: Pair) -> dict[str, ExpectedFile]:
    """Lines and checksums of newstest2013, of another public plain-text copy."""
    sums = {
        "en": "ace268a1d9724ca76f6d8e5c720ffdc08f01bdce45630ed8b269dc7918e1c16e",
        "de": "d7ea35ab91ff3709e03ad9cb6bf5b4f2cc775cd2d72efd5254c4aec5e69663ca",
        "fr": "909b63be5df3eb8c13e1d5967bf3f0adfdb9f6ed5e638c5bffff563ee2ff7f41",
    }
    return {f"{split}.{code}": ExpectedFile(lines=3000, sha256=sums[code], strict=False) for code in pair}


def text_2014(split: str, pair: Pair) -> dict[str, ExpectedFile]:
    """The same of the full newstest2014. Its English side differs between the language pairs."""
    english = {
        "de": "7294bccf2879a97b3706b95c9595f1459617a8ee7130d5d8581c910e69736971",
        "fr": "9a12cb6e8efb3509ebede627e4a9c83ee64935509d561ff70f4b7bd5f93f6096",
    }
    foreign = {
        "de": "ae5d110486bc33d7175e9e28c7d0051eb3e5fcd2166dd93371089852c091a20e",
        "fr": "2bd07dc204f965bf88e90adb6223a8cb850f9bf9840df6af1f4945195936656e",
    }
    return {
        f"{split}.en": ExpectedFile(lines=3003, sha256=english[pair[1]], strict=False),
        f"{split}.{pair[1]}": ExpectedFile(lines=3003, sha256=foreign[pair[1]], strict=False),
    }


def lines_only(split: str, pair: Pair, lines: int) -> dict[str, ExpectedFile]:
    """A test set of which only the line count is known."""
    return {f"{split}.{code}": ExpectedFile(lines=lines) for code in pair}


def single(
    name: str,
    reader: Builder,
    files: tuple[RemoteFile, ...],
    outputs: Mapping[Pair, Mapping[str, ExpectedFile]],
    notes: str,
) -> Corpus:
    """One test set as a corpus of its own; its file is named after it."""
    return Corpus(
        name=name,
        title=f"WMT news test set {name}",
        purpose="a test set of news, to score a model on",
        licence=LICENCE,
        citation=CITATIONS[name[8:12]],
        source=", ".join(file.url for file in files),
        pairs=tuple(outputs),
        files=lambda pair: files,
        splits=(name,),
        build=reader,
        outputs=outputs,
        notes=notes,
    )


def build_2013(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """newstest2013 alone."""
    yield SplitText(name="newstest2013", pairs=parallel(*newstest2013(pair), paths))


def build_2014(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """The full newstest2014 alone."""
    yield SplitText(name="newstest2014", pairs=parallel(*newstest2014(pair), paths))


def build_2014_filtered(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """The official newstest2014 alone."""
    members = newstest2014(pair, FILTERED_2014, "test")
    yield SplitText(name="newstest2014-filtered", pairs=parallel(*members, paths))


def build_2015(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """newstest2015 alone."""
    yield SplitText(name="newstest2015", pairs=parallel(*newstest2015(pair), paths))


CITATIONS = {
    "2013": "Bojar et al.: Findings of the 2013 Workshop on Statistical Machine Translation, WMT 2013 (W13-2201)",
    "2014": "Bojar et al.: Findings of the 2014 Workshop on Statistical Machine Translation, WMT 2014 (W14-3302)",
    "2015": "Bojar et al.: Findings of the 2015 Workshop on Statistical Machine Translation, WMT 2015 (W15-3001)",
}

NEWSTESTS = (
    single(
        "newstest2013",
        build_2013,
        (DEV,),
        {pair: text_2013("newstest2013", pair) for pair in (EN_DE, EN_FR)},
        "3,000 lines; the usual validation set.",
    ),
    single(
        "newstest2014",
        build_2014,
        (FULL_2014,),
        {pair: text_2014("newstest2014", pair) for pair in (EN_DE, EN_FR)},
        "The full set: 3,003 lines (sacreBLEU's wmt14/full), the usual test set. The official EN-DE set of "
        "2,737 lines (sacreBLEU's wmt14) is newstest2014-filtered; scores on the two cannot be compared.",
    ),
    single(
        "newstest2014-filtered",
        build_2014_filtered,
        (FILTERED_2014,),
        {EN_DE: lines_only("newstest2014-filtered", EN_DE, 2737)},
        "The official EN-DE set: 2,737 lines (sacreBLEU's wmt14). The full set of 3,003 lines is newstest2014; scores "
        "on the two cannot be compared.",
    ),
    single(
        "newstest2015",
        build_2015,
        (TEST_2015,),
        {EN_DE: lines_only("newstest2015", EN_DE, 2169)},
        "2,169 lines (sacreBLEU's wmt15).",
    ),
)

COUNTS = "The number of training pairs is the one Hugging Face's wmt14 and wmt15 have, built from the same archives."

WMT14 = Corpus(
    name="wmt14-en-fr",
    title="WMT 2014 EN-FR: Europarl v7, Common Crawl, UN, News Commentary v9, 10^9",
    purpose="Table 8's EN-FR at full size (very large)",
    licence=LICENCE,
    citation=CITATIONS["2014"],
    source="https://www.statmt.org/wmt14/translation-task.html",
    pairs=(EN_FR,),
    files=lambda pair: (EUROPARL, COMMONCRAWL, UN, NEWS_V9, GIGA, DEV, FULL_2014),
    splits=("train", "valid", "test"),
    build=build_training,
    outputs={EN_FR: text_2013("valid", EN_FR) | text_2014("test", EN_FR)},
    approximate_pairs={EN_FR: 40_836_715},
    notes="valid is newstest2013, test is newstest2014 (3,003 lines). All of the data: Cho et al. (2014) and Table 8 "
    "use a selection from it, which is not part of this catalogue. Pairs that lack a side are left "
    f"out. {COUNTS}",
)

WMT15 = Corpus(
    name="wmt15-en-de",
    title="WMT 2015 EN-DE: Europarl v7, Common Crawl, News Commentary v10",
    purpose="Table 8's EN-DE (large)",
    licence=LICENCE,
    citation=CITATIONS["2015"],
    source="https://www.statmt.org/wmt15/translation-task.html",
    pairs=(EN_DE,),
    files=lambda pair: (EUROPARL, COMMONCRAWL, NEWS_V10, DEV, TEST_2015, FULL_2014),
    splits=("train", "valid", "test", "newstest2014"),
    build=build_training,
    outputs={
        EN_DE: text_2013("valid", EN_DE) | lines_only("test", EN_DE, 2169) | text_2014("newstest2014", EN_DE),
    },
    approximate_pairs={EN_DE: 4_522_998},
    notes="valid is newstest2013, test is newstest2015 (2,169 lines), beside it newstest2014 (the full 3,003 lines). "
    f"Pairs that lack a side are left out. {COUNTS}",
)

CORPORA = (WMT14, WMT15, *NEWSTESTS)
