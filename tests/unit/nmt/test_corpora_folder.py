"""The corpus folder: nothing is overwritten unasked, everything written is checked and recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bpe.errors import UserError
from bpe.locks import exclusive
from nmt.corpora.catalogue import CORPORA, find
from nmt.corpora.fetch import fetch
from nmt.corpora.obtain import DownloadSettings
from nmt.corpora.records import Corpus, ExpectedFile, Pair, RemoteFile, SplitText, megabytes
from nmt.corpora.writer import LOCK, UNFINISHED

PAIR = ("en", "de")
TEXT = b"one\teins\ntwo\tzwei\n"


def build(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
    """train: the columns; test: the first row."""
    rows = [tuple(line.split("\t")) for line in paths["pairs.tsv"].read_text(encoding="utf-8").splitlines()]
    for name, chosen in (("train", rows), ("test", rows[:1])):
        yield SplitText(name=name, pairs=[(row[0], row[1]) for row in chosen])


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


TINY = Corpus(
    name="tiny",
    title="Two lines",
    purpose="tests",
    licence="CC0",
    citation="nobody",
    source="here",
    pairs=(PAIR, ("en", "fr")),
    files=lambda pair: (RemoteFile(name="pairs.tsv", url="http://x/", sha256=hashlib.sha256(TEXT).hexdigest()),),
    splits=("train", "test"),
    build=build,
    outputs={PAIR: {"train.en": ExpectedFile(lines=2, sha256=sha256("one\ntwo\n")), "test.de": ExpectedFile(lines=1)}},
)


@pytest.fixture
def source(tmp_path: Path) -> DownloadSettings:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "pairs.tsv").write_bytes(TEXT)
    return DownloadSettings(cache=tmp_path / "cache", mirror=str(tmp_path / "mirror"), quiet=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_files_and_record(tmp_path: Path, source: DownloadSettings) -> None:
    folder = tmp_path / "corpus"
    result = fetch(TINY, PAIR, folder, source)
    assert not result.already
    assert names(folder) == ["corpus.json", "test.de", "test.en", "train.de", "train.en"]
    assert (folder / "train.de").read_bytes() == b"eins\nzwei\n"
    entry = json.loads((folder / "corpus.json").read_text())["corpora"]["tiny"]
    assert entry["licence"] == "CC0"
    assert entry["files"]["train.en"] == {"lines": 2, "words": 2, "sha256": sha256("one\ntwo\n")}
    assert entry["downloads"]["pairs.tsv"]["sha256"] == hashlib.sha256(TEXT).hexdigest()


def test_again_is_recognised_and_verified(tmp_path: Path, source: DownloadSettings) -> None:
    folder = tmp_path / "corpus"
    first = fetch(TINY, PAIR, folder, source)
    said: list[bool] = []
    again = fetch(TINY, PAIR, folder, source, announce=lambda: said.append(True))
    assert again.already
    assert again.files == first.files
    assert said == []
    (folder / "test.en").write_text("mine\n")
    with pytest.raises(UserError, match=r"test.en: was fetched from tiny and has been changed since.*--force"):
        fetch(TINY, PAIR, folder, source)
    assert (folder / "test.en").read_text() == "mine\n"


def test_other_text_is_never_overwritten_unasked(tmp_path: Path, source: DownloadSettings) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("train.cs", "test.de.gz", "valid.en", "notes.txt", "train.en.bak"):
        (folder / name).write_text("mine\n")
    with pytest.raises(UserError, match=r"tiny would replace test.de.gz, train.cs; --force replaces all"):
        fetch(TINY, PAIR, folder, source)
    assert len(names(folder)) == 5
    fetch(TINY, PAIR, folder, source, force=True)
    kept = ["notes.txt", "train.en.bak", "valid.en"]
    assert names(folder) == sorted(["corpus.json", "test.de", "test.en", "train.de", "train.en", *kept])


def test_other_pair_of_the_same_corpus_replaces_the_first(tmp_path: Path, source: DownloadSettings) -> None:
    folder = tmp_path / "corpus"
    fetch(TINY, PAIR, folder, source)
    with pytest.raises(UserError, match=r"would replace test.de \(tiny\), test.en \(tiny\)"):
        fetch(TINY, ("en", "fr"), folder, source)
    fetch(TINY, ("en", "fr"), folder, source, force=True)
    assert names(folder) == ["corpus.json", "test.en", "test.fr", "train.en", "train.fr"]


@pytest.mark.parametrize("again", [False, True])
def test_what_a_killed_fetch_left_goes_and_a_living_one_is_left_alone(
    again: bool, tmp_path: Path, source: DownloadSettings
) -> None:
    folder = tmp_path / "corpus"
    if again:
        fetch(TINY, PAIR, folder, source)
    (folder / UNFINISHED).mkdir(parents=True)
    (folder / UNFINISHED / "train.en").write_text("half")
    (folder / ".corpus.json.k3_x9ab2.part").write_text("half")
    with exclusive(folder / LOCK):
        if again:
            assert fetch(TINY, PAIR, folder, source).already
        else:
            with pytest.raises(UserError, match="corpus: another nmt-data is at work in this folder; wait for it"):
                fetch(TINY, PAIR, folder, source)
        assert (folder / UNFINISHED / "train.en").exists()
    assert fetch(TINY, PAIR, folder, source).already == again
    assert names(folder) == ["corpus.json", "test.de", "test.en", "train.de", "train.en"]


def test_corpora_of_other_splits_live_side_by_side(tmp_path: Path, source: DownloadSettings) -> None:
    folder = tmp_path / "corpus"
    fetch(TINY, PAIR, folder, source)

    def extra(pair: Pair, paths: Mapping[str, Path]) -> Iterator[SplitText]:
        yield SplitText(name="news", pairs=[("a", "b")])

    fetch(replace(TINY, name="news", splits=("news",), build=extra, outputs={}), PAIR, folder, source)
    assert {"train.en", "news.en", "news.de"} <= set(names(folder))
    assert set(json.loads((folder / "corpus.json").read_text())["corpora"]) == {"tiny", "news"}
    assert fetch(TINY, PAIR, folder, source).already


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (ExpectedFile(lines=3), "the text built has 2 lines, expected 3"),
        (ExpectedFile(lines=2, sha256="0" * 64), "the text built has SHA-256 [0-9a-f]{64}, expected 0000"),
    ],
)
def test_text_that_is_not_what_the_catalogue_says(
    tmp_path: Path, source: DownloadSettings, expected: ExpectedFile, message: str
) -> None:
    folder = tmp_path / "corpus"
    fetch(TINY, PAIR, folder, source)
    wrong = replace(TINY, outputs={PAIR: {"train.en": expected}})
    with pytest.raises(UserError, match=message):
        fetch(wrong, PAIR, folder, source, force=True)
    assert names(folder) == ["corpus.json", "test.de", "test.en", "train.de", "train.en"]
    assert (folder / "train.en").read_text() == "one\ntwo\n", "what was there is there still"


def test_difference_from_another_public_copy_is_a_remark(tmp_path: Path, source: DownloadSettings) -> None:
    loose = replace(TINY, outputs={PAIR: {"train.en": ExpectedFile(lines=2, sha256="0" * 64, strict=False)}})
    result = fetch(loose, PAIR, tmp_path / "corpus", source)
    assert result.remarks == [f"train.en differs from another public copy of the same text (SHA-256 {'0' * 64})"]
    assert fetch(loose, PAIR, tmp_path / "corpus", source).already


def test_wrong_download_writes_nothing(tmp_path: Path, source: DownloadSettings) -> None:
    (tmp_path / "mirror" / "pairs.tsv").write_bytes(b"other")
    with pytest.raises(UserError, match="wrong SHA-256"):
        fetch(TINY, PAIR, tmp_path / "corpus", source)
    assert not (tmp_path / "corpus").exists()


def test_foreign_record_and_file_in_place_of_the_folder(tmp_path: Path, source: DownloadSettings) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not a folder"):
        fetch(TINY, PAIR, tmp_path / "file", source)
    (tmp_path / "corpus").mkdir()
    for record in (
        "[]",
        '{"corpora": {"tiny": {}}}',
        '{"corpora": {"tiny": {"pair": ["en"], "files": {"train.en": 1}}}}',
    ):
        (tmp_path / "corpus" / "corpus.json").write_text(record)
        with pytest.raises(UserError, match="not a record written by nmt-data"):
            fetch(TINY, PAIR, tmp_path / "corpus", source)


def test_resolve() -> None:
    assert TINY.resolve("de", "en") == PAIR
    assert TINY.resolve(None, "fr") == ("en", "fr")
    assert TINY.resolve("eng", "fra_Latn") == ("en", "fr")
    assert find("homeassistant").resolve(None, "zho_Hans") == ("en", "zh-Hans")
    for codes, message in (
        ((None, None), "several language pairs: en-de, en-fr; choose with --src and --tgt"),
        (("en", "cs"), "has no pair en-cs; it has en-de, en-fr"),
        (("en", "en"), "source and target are both 'en'"),
    ):
        with pytest.raises(UserError, match=message):
            TINY.resolve(*codes)
    assert find("multi30k").resolve("de", None) == ("de", "fr")


def test_catalogue_is_complete() -> None:
    for corpus in CORPORA.values():
        assert corpus.licence
        assert corpus.citation
        for pair in corpus.outputs if corpus.name == "homeassistant" else corpus.pairs:
            for file in corpus.files(pair):
                assert file.url.startswith("https://") or file.pip or file.apt or file.sha256
                assert file.checksum_source
                assert len(file.sha256) == 64 or len(file.md5) == 32
            for name in corpus.written(pair):
                known = corpus.expected(pair, name).lines or corpus.approximate_pairs.get(pair)
                assert known, f"{corpus.name} {name} has no line count"
            assert set(corpus.outputs[pair]) <= set(corpus.written(pair))


def test_unknown_name_suggests() -> None:
    with pytest.raises(UserError, match="no corpus named 'mutli30k'; did you mean multi30k"):
        find("mutli30k")


def test_sizes() -> None:
    assert [megabytes(size) for size in (12, 21_077, 1_400_000, 67_607_712, 2_595_102_720)] == [
        "12 B",
        "21 kB",
        "1.4 MB",
        "68 MB",
        "2.6 GB",
    ]
