"""Which files of a folder make up a corpus, whatever their languages are called, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.corpora.writer import RECORD
from nmt.evaluate.testsets import every_test_set, from_corpus
from nmt.prepare.bitext import Tmx, Tsv
from nmt.prepare.files import CorpusFiles, PairOfFiles, find_corpus, named_files
from nmt.prepare.leftout import in_words, left_out


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).touch()
    return root


def names_of(files: CorpusFiles) -> dict[str, list[str]]:
    return {split: [path.name for pair in pairs for path in pair.paths()] for split, pairs in files.splits.items()}


@pytest.mark.parametrize(
    "tag", ["es-419", "sr@latin", "zh-Hans-CN", "zho_Hans", "pt_BR", "fra", "FR", "ca@valencia", "xx", "de-1996"]
)
def test_any_tag_names_a_language(tag: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "train.EN", f"train.{tag}", "valid.EN", f"valid.{tag}.gz", f"train.2.{tag}.gz")
    (folder / "train.2.EN").touch()
    expected = {
        "train": ["train.2.EN", f"train.2.{tag}.gz", "train.EN", f"train.{tag}"],
        "valid": ["valid.EN", f"valid.{tag}.gz"],
    }
    for source, target in ((None, None), ("EN", None), (None, tag), ("EN", tag)):
        found = find_corpus(folder, source, target)
        assert (found.source, found.target) == ("EN", tag)  # English is the source by whatever name
        assert names_of(found) == expected
    assert find_corpus(folder, tag).target == "EN"
    assert left_out(folder, found) == {}


def test_a_language_may_be_asked_for_by_another_name(tmp_path: Path) -> None:
    """What it is called is then as the user says, and the files are those that are there."""
    folder = folder_of(tmp_path, *(f"{split}.{tag}" for split in ("train", "valid") for tag in ("en", "fr", "zh-Hans")))
    for source, target, expected in (
        ("eng", "fra", "train.en train.fr"),
        (None, "zho_Hans", None),
        ("FR", "zh", "train.fr train.zh-Hans"),
        ("cmn_Hans", "en_Latn", "train.zh-Hans train.en"),
    ):
        if expected is None:
            with pytest.raises(UserError, match=r"several language pairs \(en-zh-Hans, fr-zh-Hans\)"):
                find_corpus(folder, source, target)
            continue
        found = find_corpus(folder, source, target)
        assert (found.source, found.target) == (source, target)
        assert names_of(found)["train"] == expected.split()
    with pytest.raises(UserError, match="no training text for en and zh_TW"):
        find_corpus(folder, "en", "zh_TW")


def test_two_names_of_one_language_are_two_languages(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{split}.{tag}" for split in ("train", "valid") for tag in ("en", "fr", "fra")))
    assert names_of(find_corpus(folder, "en", "fra"))["train"] == ["train.en", "train.fra"]
    with pytest.raises(UserError, match="no training text for FR and en"):
        find_corpus(folder, "en", "FR")


def test_training_text_that_is_not_read_is_named_where_there_is_none(tmp_path: Path) -> None:
    folder_of(tmp_path, "train.english", "train.de_clean", "valid.en")
    with pytest.raises(UserError, match=r"no training text; not read, .*: train.de_clean, train.english; it needs"):
        find_corpus(tmp_path)
    (tmp_path / "train.de").touch()
    with pytest.raises(UserError, match=r"one language only \(languages there: de\); not read, .* train.english"):
        find_corpus(tmp_path)


def test_files_named_one_by_one_tell_their_languages(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.zh-Hans-CN.gz", "b.sr@latin", "c.txt")
    source, target, text = (str(tmp_path / name) for name in ("a.zh-Hans-CN.gz", "b.sr@latin", "c.txt"))
    found = named_files({"train": [(source, target)], "valid": [(source, target)]})
    assert (found.source, found.target, found.folder) == ("zh-Hans-CN", "sr@latin", None)
    with pytest.raises(UserError, match="does not end in a language code"):
        named_files({"train": [(source, text)], "valid": [(source, target)]})


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
        folder,
        "README",
        "dev.en",
        "train.fr-es.tsv",
        "train.es",
        "train.fr",
        "train.tsv",
        "train.text",
        "valid.tar.gz",
        "test.more.en",
        "test.more.fr",
        "train.de_clean",
        "test.0",
    )
    add(folder, "test.de-en.tmx.gz", ".hidden", *(f"notes{number}" for number in range(8)))
    (folder / "cache").mkdir()
    (folder / RECORD).write_text("{}")
    reasons = left_out(folder, find_corpus(folder, "en", "de"))
    assert reasons == {
        "its name begins with none of train, valid and test": ["README", *(f"notes{number}" for number in range(8))],
        "valid text must be named valid": ["dev.en"],
        "not in en and de": ["test.more.fr", "train.es", "train.fr", "train.fr-es.tsv"],
        "its name does not end in a language tag (BCP 47, ISO 639, FLORES)": ["test.0", "train.de_clean", "train.text"],
        "there is no such file in the other language": ["test.more.en"],
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
