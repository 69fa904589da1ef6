"""Text in one language by name: small archives of the real shapes, fetched from a folder."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.cli import data
from nmt.corpora import bbc, catalogue, imdb, ptb, text8, wikitext, wordsimilarity, writer
from nmt.corpora.fetch import fetch
from nmt.corpora.obtain import DownloadSettings
from nmt.corpora.records import TEXT, Corpus, ExpectedFile, RemoteFile
from nmt.corpora.running import sentences_of


def zipped(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def built(corpus: Corpus, downloads: Mapping[str, bytes], folder: Path) -> dict[str, bytes]:
    """What a fetch of these downloads writes, by file; the catalogue's checksums are of the real ones and set aside."""
    mirror = folder / "mirror"
    mirror.mkdir()
    for name, content in downloads.items():
        (mirror / name).write_bytes(content)
    files = tuple(RemoteFile(name=name, url="https://x/") for name in downloads)
    small = replace(corpus, files=lambda pair: files, outputs={})
    source = DownloadSettings(cache=folder / "cache", mirror=str(mirror), quiet=True)
    assert {file.name for file in corpus.files(TEXT)} == set(downloads)
    result = fetch(small, small.resolve(None, None), folder / "corpus", source)
    assert [file.name for file in result.files] == list(corpus.written(TEXT))
    return {file.name: (folder / "corpus" / file.name).read_bytes() for file in result.files}


def test_wikitext_is_unpacked_and_not_changed(tmp_path: Path) -> None:
    splits = {"train": b" \n = Title = \n \n a <unk> \xc2\xa0 b \n", "valid": b" x \n", "test": b" \n"}
    archive = zipped({f"wikitext-2/wiki.{name}.tokens": content for name, content in splits.items()})
    assert built(wikitext.CORPUS, {wikitext.ARCHIVE: archive}, tmp_path) == {
        f"{name}.txt": content for name, content in splits.items()
    }
    record = json.loads((tmp_path / "corpus" / "corpus.json").read_text())["corpora"]["wikitext-2"]
    assert record["pair"] == ["txt"]
    assert record["files"]["train.txt"]["lines"] == 4


def test_ptb_is_not_changed(tmp_path: Path) -> None:
    splits = {"train": b" aer <unk> N \n no it was n't \n", "valid": b" x \n", "test": b" y \n"}
    found = built(ptb.CORPUS, {f"ptb.{name}.txt": content for name, content in splits.items()}, tmp_path)
    assert found == {f"{name}.txt": content for name, content in splits.items()}


def test_text8_is_cut_by_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text8, "TRAIN_CHARACTERS", 12)
    monkeypatch.setattr(writer, "LONG_LINE", 5)
    found = built(text8.CORPUS, {"text8.zip": zipped({"text8": b" anarchism originated as"})}, tmp_path)
    assert found == {"train.txt": b" anarchism o\n", "test.txt": b"riginated as\n"}
    record = json.loads((tmp_path / "corpus" / "corpus.json").read_text())["corpora"]["text8"]
    assert {name: file["words"] for name, file in record["files"].items()} == {"train.txt": 2, "test.txt": 2}


def test_text8_of_several_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"text8\.zip: is not one line"):
        built(text8.CORPUS, {"text8.zip": zipped({"text8": b"a\nb\n"})}, tmp_path)


def drawn(name: str) -> float:
    """The rule of the splits, again: the first eight bytes of the name's SHA-256 as a share of all numbers."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 2**64


def test_imdb_halves_its_test_reviews_and_drops_what_is_there_twice(tmp_path: Path) -> None:
    reviews = {f"aclImdb/test/pos/{number}_9.txt": f"Review {number}." for number in range(40)}
    reviews |= {"aclImdb/train/neg/0_1.txt": "It's bad.<br /><br />Really Bad!", "aclImdb/train/unsup/0_0.txt": "So so"}
    reviews |= {"aclImdb/test/neg/7_2.txt": "So so", "aclImdb/test/neg/8_2.txt": "Review 3."}
    others = {"aclImdb/train/pos/notes.txt": "no", "aclImdb/README": "no"}
    archive = tarred({name: text.encode() for name, text in (reviews | others).items()})
    found = built(imdb.CORPUS, {imdb.ARCHIVE: archive}, tmp_path)
    assert found["train.txt"].decode() == "it's bad .\nreally bad !\nso so\n"
    held = {
        name: text for name, text in sorted(reviews.items()) if name.startswith("aclImdb/test/") and text != "So so"
    }
    first: dict[str, str] = {}
    for split in ("valid", "test"):
        for name, text in held.items():
            if (drawn(name) < 0.5) == (split == "valid"):
                first.setdefault(text, split)
    for split in ("valid", "test"):
        lines = found[f"{split}.txt"].decode().splitlines()
        assert sorted(lines) == sorted(text.lower()[:-1] + " ." for text, of in first.items() if of == split)
        assert len(lines) > 10


def test_bbc_is_split_by_article(tmp_path: Path) -> None:
    articles = {f"bbc/tech/{number:03}.txt": f"Title {number}\n\nFirst one. Second \xa35." for number in range(300)}
    articles["bbc/tech/299.txt"] = articles["bbc/tech/000.txt"]
    members = {name: text.encode("latin-1") for name, text in articles.items()} | {"bbc/README.TXT": b"no"}
    found = built(bbc.CORPUS, {bbc.ARCHIVE: zipped(members)}, tmp_path)
    wanted: dict[str, str] = {"train.txt": "", "valid.txt": "", "test.txt": ""}
    for number in range(299):
        place = drawn(f"bbc/tech/{number:03}.txt")
        split = "valid" if place < 0.05 else "test" if place < 0.1 else "train"
        wanted[f"{split}.txt"] += f"title {number}\nfirst one .\nsecond £ 5 .\n"
    assert {name: text.decode() for name, text in found.items()} == wanted
    assert all(wanted.values())


def test_word_similarity_sets_end_in_line_feeds(tmp_path: Path) -> None:
    downloads = {f"{name}.txt": b"old\tnew\t1.58\r\nbig\tlarge\t9" for name in wordsimilarity.FILES}
    found = built(wordsimilarity.CORPUS, downloads, tmp_path)
    assert found == dict.fromkeys(downloads, b"old\tnew\t1.58\nbig\tlarge\t9\n")


def test_sentences_of_running_text() -> None:
    text = (
        'He said: "I don\'t know 3.5 of\nthem..." Then (in 1,000 well-known\u00a0cases) he left.  She\tlaughed!<br />No'
    )
    assert list(sentences_of(text)) == [
        "he said : \" i don't know 3.5 of",
        'them . . . " then ( in 1,000 well-known cases ) he left .',
        "she laughed !",
        "no",
    ]
    assert list(sentences_of(" \n<br/> ")) == []


def test_damaged_archives(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wikitext-2-v1\.zip: the archive has no member wikitext-2/wiki\.train"):
        built(wikitext.CORPUS, {wikitext.ARCHIVE: zipped({"x": b""})}, tmp_path)
    for corpus, name in ((wikitext, wikitext.ARCHIVE), (bbc, bbc.ARCHIVE), (imdb, imdb.ARCHIVE)):
        place = tmp_path / name
        place.mkdir()
        with pytest.raises(UserError, match=f"{name}: damaged archive"):
            built(corpus.CORPUS, {name: b"no archive at all"}, place)


TINY = replace(
    ptb.CORPUS,
    name="tiny",
    files=lambda pair: (RemoteFile(name="tiny.txt", url="https://x/"),),
    splits=("train",),
    build=lambda pair, paths: iter([ptb.SplitText(name="train", pairs=[("one two",), ("three",)])]),
    outputs={TEXT: {"train.txt": ExpectedFile(lines=2, words=3)}},
)


@pytest.fixture
def source(tmp_path: Path) -> DownloadSettings:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "tiny.txt").write_text("x")
    return DownloadSettings(cache=tmp_path / "cache", mirror=str(tmp_path / "mirror"), quiet=True)


def test_it_lies_beside_parallel_text_and_replaces_only_its_own(tmp_path: Path, source: DownloadSettings) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "train.en").write_text("mine\n")
    fetch(TINY, TEXT, folder, source)
    assert fetch(TINY, TEXT, folder, source).already
    assert (folder / "train.en").read_text() == "mine\n"
    (folder / "corpus.json").unlink()
    with pytest.raises(UserError, match=r"tiny would replace train.txt; --force replaces"):
        fetch(TINY, TEXT, folder, source)
    pair = ("en", "de")
    parallel = replace(
        TINY,
        name="parallel",
        pairs=(pair,),
        build=lambda pair, paths: iter([ptb.SplitText(name="train", pairs=[("a", "b")])]),
        outputs={},
    )
    fetch(parallel, pair, folder, source, force=True)
    assert (folder / "train.txt").read_text() == "one two\nthree\n"
    assert (folder / "train.en").read_text() == "a\n"


def test_words_are_counted_and_checked(tmp_path: Path, source: DownloadSettings) -> None:
    wrong = replace(TINY, outputs={TEXT: {"train.txt": ExpectedFile(lines=2, words=4)}})
    with pytest.raises(UserError, match="the text built has 3 words, expected 4"):
        fetch(wrong, TEXT, tmp_path / "corpus", source)
    (file,) = fetch(TINY, TEXT, tmp_path / "corpus", source).files
    assert (file.lines, file.words) == (2, 3)


def test_languages_are_refused_and_shown_as_text(
    tmp_path: Path, source: DownloadSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(catalogue.CORPORA, "tiny", TINY)
    monkeypatch.chdir(tmp_path)
    assert data.main(["fetch", "tiny", "--src", "en", "--from", "mirror"]) == 2
    assert "tiny is text in one language; leave out --src and --tgt" in capsys.readouterr().err
    assert data.main(["fetch", "tiny", "--from", "mirror"]) == 0
    out = capsys.readouterr().out
    assert "tiny text is in corpus/" in out
    assert "train.txt  2 lines, 3 words  sha256" in out
    assert "This corpus has no valid and no test." in out
    assert data.main(["show", "ptb"]) == 0
    assert "train.txt  42,068 lines, 887,521 words  sha256 fcea919f" in capsys.readouterr().out
