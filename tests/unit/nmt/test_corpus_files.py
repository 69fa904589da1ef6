"""Which files of a folder make up a corpus, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.data.bitext import Tmx, Tsv
from nmt.data.files import PairOfFiles, find_corpus, named_files
from nmt.data.leftout import in_words, left_out
from nmt.testsets import every_test_set, from_corpus


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train.en", "train.de", "valid.en", "valid.de"):
        (tmp_path / name).write_text("x\n")
    return tmp_path


def add(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("x\ty\n")


def test_files_with_both_sides_are_shards_like_others(folder: Path) -> None:
    add(folder, "train.more.de-en.tsv.bz2", "train.en-de.tmx", "train.a.en.xz", "train.a.de.zst", "train.en-fr.tsv")
    train = find_corpus(folder, "en", "de").splits["train"]
    assert train == [
        PairOfFiles(folder / "train.a.en.xz", folder / "train.a.de.zst"),
        PairOfFiles(folder / "train.en", folder / "train.de"),
        PairOfFiles(folder / "train.en-de.tmx", folder / "train.en-de.tmx", Tmx("en", "de")),
        PairOfFiles(folder / "train.more.de-en.tsv.bz2", folder / "train.more.de-en.tsv.bz2", Tsv(swapped=True)),
    ]
    other = find_corpus(folder, "de", "en").splits["train"]
    assert {pair.form for pair in other} == {None, Tmx("de", "en"), Tsv()}


def test_a_name_that_can_be_read_in_two_ways(folder: Path) -> None:
    add(folder, "train.en-pt-br.tsv")
    message = r"en-pt-br\.tsv: its name can be read in two ways; set a region off by '_', as en-pt_br"
    with pytest.raises(UserError, match=message):
        find_corpus(folder, "en", "de")
    (folder / "train.en-pt-br.tsv").rename(folder / "train.en-pt_br.tsv")
    (folder / "valid.en").rename(folder / "valid.pt_br-en.tsv")
    files = find_corpus(folder, "en", "pt_br")
    assert files.splits["valid"][0].form == Tsv(swapped=True)


def test_files_named_one_by_one_may_hold_both_sides(folder: Path) -> None:
    add(folder, "x.de-en.tsv", "x.tsv", "x.tmx")
    both = str(folder / "x.de-en.tsv")
    files = named_files({"train": [(both,)], "valid": [(both,)]})
    assert (files.source, files.target) == ("de", "en")
    assert files.splits["train"][0].form == Tsv()
    files = named_files({"train": [(both,)], "valid": [(both,)]}, source="en")
    assert (files.source, files.target, files.splits["valid"][0].form) == ("en", "de", Tsv(swapped=True))
    plain = {"train": [(str(folder / "x.tsv"),)], "valid": [(str(folder / "x.tmx"),)]}
    files = named_files(plain, "en", "de")
    assert [pairs[0].form for pairs in files.splits.values()] == [Tsv(), Tmx("en", "de")]
    with pytest.raises(UserError, match=r"x\.tsv: its name does not end in a language code; give the language with"):
        named_files(plain)
    en = str(folder / "train.en")
    with pytest.raises(UserError, match=r"train\.en: has no partner; --train takes two text files, source and target"):
        named_files({"train": [(en,)]})
    with pytest.raises(UserError, match=r"train\.en: is one of 3 files; --train takes two"):
        named_files({"train": [(en, en, en)]})
    assert find_corpus(folder, named={"valid": [(both,)]}).splits["valid"][0].form == Tsv(swapped=True)


def test_what_is_left_out_is_named_with_the_reason(folder: Path) -> None:
    add(
        folder, "README", "dev.en", "train.fr-es.tsv", "train.es", "train.fr", "train.tsv", "train.text", "valid.tar.gz"
    )
    add(folder, "test.de-en.tmx.gz", ".hidden", *(f"notes{number}" for number in range(8)))
    (folder / "cache").mkdir()
    reasons = left_out(folder, find_corpus(folder, "en", "de"))
    assert reasons == {
        "its name begins with none of train, valid and test": ["README", *(f"notes{number}" for number in range(8))],
        "valid text must be named valid": ["dev.en"],
        "not in en and de": ["train.es", "train.fr", "train.fr-es.tsv"],
        "its name does not end in a language": ["train.text"],
        "its name must hold both languages, as train.en-de.tsv": ["train.tsv"],
        "an archive: unpack it": ["valid.tar.gz"],
    }
    first = next(in_words(reasons))
    assert first == (
        "  left out: README, notes0, notes1, notes2, notes3 and 4 more "
        "(its name begins with none of train, valid and test)"
    )
    named = find_corpus(folder, "en", "de", {"valid": [(str(folder / "train.en"), str(folder / "train.de"))]})
    assert left_out(folder, named)["other files were named in its place"] == ["valid.de", "valid.en"]


def test_test_sets_may_be_packed_too(folder: Path) -> None:
    import bz2
    import lzma

    (folder / "test.en.xz").write_bytes(lzma.compress(b"a\n"))
    (folder / "test.de.bz2").write_bytes(bz2.compress(b"b\n"))
    one = from_corpus(folder, "en", "de")
    assert one.source is not None
    assert (one.source.lines, one.reference.lines) == (["a"], ["b"])
    assert [each.name for each in every_test_set(folder, "en", "de")] == ["test"]
