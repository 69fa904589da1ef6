"""Which files of a folder are a corpus, whatever their languages are called, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.data.files import CorpusFiles, find_corpus, named_files
from nmt.data.leftout import left_out


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
    assert left_out(folder, found) == []


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


def test_what_is_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    used = ["train.en", "train.de", "valid.en", "valid.de", "test.en", "test.de"]
    others = [
        "train.txt",
        "train.de.BAK",
        "train.de_clean",
        "valid.old",
        "dev.en",
        "train.fr",
        "test.more.en",
        "readme",
    ]
    others += ["test.more.fr", "training.en", *(f"test.{number}" for number in range(5))]
    folder = folder_of(tmp_path, *used, *others)
    assert left_out(folder, find_corpus(folder, "en", "de")) == [
        "dev.en: names begin with train, valid or test",
        "test.0, test.1, test.2, test.3, test.4 and 4 more: "
        "the name does not end in a language tag (BCP 47, ISO 639, FLORES)",
        "test.more.en: there is no such file in the other language",
        "test.more.fr, train.fr: neither en nor de",
    ]
    named = find_corpus(folder, "en", "de", {"test": [(str(__file__), str(__file__))]})
    assert "test.de, test.en, test.more.en: --test names other files" in left_out(folder, named)


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
