"""nmt-prep on text with everything wrong: said and counted by default, dropped where asked, and read in every form."""

from __future__ import annotations

import bz2
import html
import json
import lzma
from pathlib import Path

import pytest

import nmt.prepare.executors as executors
import nmt.prepare.shards as parts
from nmt.cli.prep import main
from nmt.data.corpus import PreparedCorpus, checksum
from nmt.prepare import manifest as manifests
from tests.prep_corpus import contents, fails, sentences, write, write_corpus, write_pairs

VALID = sentences(20, seed=1)
WRONG = [
    *VALID[:3],
    (VALID[4][0], "anders gesagt"),
    ("OK then", "OK then"),
    ("it &apos;s a dog &#124;", "es &apos;s ein Hund"),
    ("a dog\x07", "ein Hund"),
    ("a " + "x" * 60, "ein y"),
    ("12 34 56 dog", "12 34 56 78"),
    ("", "leer"),
]
FOUND = {"held_out": 3, "held_out_source": 4, "identical": 1, "entities": 1, "unprintable": 1}


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_corpus(tmp_path / "corpus")
    write_pairs(folder, "train", sentences(300) + WRONG)
    return folder


def prepared(*arguments: str, folder: str = "prepared") -> PreparedCorpus:
    assert main(["--joint-bpe", "50", "--threads", "1", "--quiet", "--prepared", folder, *arguments]) == 0
    return PreparedCorpus.open(folder)


def test_by_default_all_is_said_and_only_what_always_was_is_dropped(corpus, capsys):
    assert main(["--joint-bpe", "50", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    for line in (
        "found 3 of 310 (1.0%): the pair stands in valid or test too (--drop held-out)",
        "found 4 of 310 (1.3%): the source stands in valid or test too (--drop held-out-source)",
        "found 1 of 310 (0.3%): source and target are the same (--drop identical)",
        "found 1 of 310 (0.3%): HTML or Moses entities (--drop entities)",
        "found 1 of 310 (0.3%): characters that do not print (--drop unprintable)",
        "dropped 1 of 310 (0.3%): a side is empty",
    ):
        assert line in printed
    manifest = PreparedCorpus.open("prepared").manifest
    train = manifest["splits"]["train"]
    assert train["found"] == FOUND
    assert train["dropped"] == {"empty": 1, "too_long": 0, "ratio": 1}
    assert train["pairs"] == 308
    assert train["shifts"] == manifest["splits"]["valid"]["shifts"] == []
    assert manifest["splits"]["valid"]["found"] == {}
    assert manifest["reasons"].keys() == train["dropped"].keys()


def test_what_is_asked_for_is_dropped_under_its_first_reason(corpus):
    drop = ["--drop", "held-out", "held-out-source", "identical", "entities", "unprintable"]
    limits = ["--max-word-length", "50", "--min-alphabetic", "0.4", "--min-length", "3", "--deduplicate"]
    cleaned = prepared(*drop, *limits)
    train = cleaned.manifest["splits"]["train"]
    expected = {"held_out": 3, "held_out_source": 1, "identical": 1, "entities": 1, "unprintable": 1}
    expected |= {"long_word": 1, "alphabetic": 1}
    assert {reason: count for reason, count in train["dropped"].items() if reason in expected} == expected
    assert train["dropped"]["empty"] == 1
    assert list(train["dropped"]) == list(cleaned.manifest["reasons"])
    assert train["found"] == FOUND | {"long_word": 1, "alphabetic": 1}
    assert train["pairs_read"] == 310 == train["pairs"] + sum(train["dropped"].values())
    # the words of dropped pairs are not learned from either
    write_pairs(corpus, "train", sentences(300))
    clean = prepared(*limits, folder="clean")
    assert clean.fingerprint == cleaned.fingerprint
    assert cleaned.manifest["options"]["drop"] == sorted(drop[1:])


def test_pairs_with_fewer_pieces(corpus):
    train = prepared("--min-length", "4").manifest["splits"]["train"]
    short = train["dropped"]["too_short"]
    assert short > 0
    assert train["dropped"]["empty"] == 1
    assert sum(train["source_lengths"][:4]) == sum(train["target_lengths"][:4]) == 0
    assert train["pairs"] == 309 - short


def test_entities_become_characters_on_both_sides_of_all_splits(corpus):
    escaped = [(html.escape(f"a 'dog' & {one}"), html.escape(f"ein „Hund“ <x> {other}")) for one, other in VALID]
    plain = [(html.unescape(one), html.unescape(other)) for one, other in escaped]
    for name in ("train", "valid", "test"):
        write_pairs(corpus, name, escaped)
    turned = prepared("--unescape-entities", "--set", "prep.check_sides=false")
    for split in turned.manifest["splits"].values():
        assert split["found"]["entities"] == 20
    for name in ("train", "valid", "test"):
        write_pairs(corpus, name, plain)
    assert prepared("--set", "prep.check_sides=false", folder="plain").fingerprint == turned.fingerprint
    assert turned.raw_lines("valid", "target") == [pair[1] for pair in plain]


def test_the_same_text_in_every_form_is_the_same_data(corpus):
    plain = prepared()
    for name, pairs in (("train", sentences(300) + WRONG), ("valid", VALID), ("test", sentences(20, seed=2))):
        for side, language in enumerate(("en", "de")):
            data = (corpus / f"{name}.{language}").read_bytes()
            pack, ending = ((lzma.compress, "xz"), (bz2.compress, "bz2"))[side]
            write(Path(f"packed/{name}.{language}.{ending}"), [])
            Path(f"packed/{name}.{language}.{ending}").write_bytes(pack(data))
        write(Path(f"tsv/{name}.de-en.tsv"), [f"{target}\t{source}" for source, target in pairs])
        units = "".join(
            f'<tu><tuv xml:lang="en"><seg>{html.escape(source)}</seg></tuv>'
            f'<tuv xml:lang="de"><seg>{html.escape(target)}</seg></tuv></tu>'
            for source, target in pairs
            if "\x07" not in source
        )
        write(Path(f"tmx/{name}.en-de.tmx"), [f"<tmx><body>{units}<tu/></body></tmx>"])
    assert prepared("--corpus", "packed", folder="b").fingerprint == plain.fingerprint
    from_tsv = prepared("--corpus", "tsv", folder="c")
    assert from_tsv.fingerprint == plain.fingerprint
    assert [(entry["side"], entry["name"]) for entry in from_tsv.manifest["inputs"]][:2] == [
        ("source", "train.de-en.tsv"),
        ("target", "train.de-en.tsv"),
    ]
    write_pairs(corpus, "train", [pair for pair in sentences(300) + WRONG if "\x07" not in pair[0]])
    from_tmx = prepared("--corpus", "tmx", folder="d")
    assert from_tmx.fingerprint == prepared(folder="e").fingerprint
    assert from_tmx.manifest["units_left_out"] == {"train": 1, "valid": 1, "test": 1}
    named = [f"--{name}={Path('tsv') / name}.de-en.tsv" for name in ("train", "valid", "test")]
    assert prepared(*named, "--src", "en", folder="f").fingerprint == plain.fingerprint


def test_what_a_folder_holds_beside_is_said(corpus, capsys):
    write(corpus / "train.docx", ["x"])
    assert main(["--joint-bpe", "50", "--threads", "1"]) == 0
    reason = "its name does not end in a language tag (BCP 47, ISO 639, FLORES)"
    assert f"  left out: train.docx ({reason})\n" in capsys.readouterr().err


def shifted(corpus: Path) -> None:
    pairs = sentences(600, seed=7)
    source, target = ([pair[side] for pair in pairs] for side in (0, 1))
    target.insert(200, "noch eine Zeile")
    del target[450]
    write_pairs(corpus, "train", list(zip(source, target, strict=True)))


def test_shifted_sides_are_warned_of_and_can_be_dropped(corpus, capsys):
    shifted(corpus)
    assert main(["--joint-bpe", "50", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    [shift] = PreparedCorpus.open("prepared").manifest["splits"]["train"]["shifts"]
    assert (shift["source"], shift["target"], shift["shift"]) == ("train.en", "train.de", 1)
    assert abs(shift["first_line"] - 201) <= 3
    assert abs(shift["last_line"] - 450) <= 3
    assert "Warning: train.en and train.de are shifted against each other from about line 20" in printed
    assert "line n of the first fits line n + 1 of the second; mend the files, or --drop shifted\n" in printed
    train = prepared("--drop", "shifted", folder="b").manifest["splits"]["train"]
    number = shift["last_line"] - shift["first_line"] + 1
    assert train["dropped"] == {"shifted": number, "empty": 0, "too_long": 0, "ratio": 0}
    assert train["pairs"] == 600 - number


def test_what_is_dropped_does_not_depend_on_parts_and_workers(corpus, monkeypatch):
    shifted(corpus)
    for language, side in (("en", 0), ("de", 1)):
        with open(corpus / f"train.{language}", "a", encoding="utf-8", newline="\n") as stream:
            stream.writelines(pair[side] + "\n" for pair in WRONG)
    drop = ["--drop", "held-out", "identical", "unprintable", "shifted", "--max-word-length", "50", "--deduplicate"]
    monkeypatch.setattr(executors, "FEW_PAIRS", 0)
    for name, size, threads in (("whole", 2000, 1), ("parts", 7, 1), ("workers", 64, 3)):
        monkeypatch.setattr(parts, "STRIDE", size)
        assert main(["--threads", str(threads), "--prepared", name, "--joint-bpe", "50", "--quiet", *drop]) == 0
    assert contents("whole") == contents("parts") == contents("workers")
    assert PreparedCorpus.open("whole").manifest["splits"]["train"]["dropped"]["shifted"] > 200


def test_nothing_left_is_one_line(corpus, capsys):
    write_pairs(corpus, "train", [("a dog", "ein Hund&apos;")] * 30)
    message = fails(capsys, "--drop", "entities", "--set", "prep.check_sides=false")
    assert message.startswith("all 30 training pairs were dropped (30: HTML or Moses entities); check that line n")


def test_options_out_of_range(corpus, capsys):
    assert "prep.drop: unknown value 'all'; choose one of held-out, held-out-source" in fails(capsys, "--drop", "all")
    assert "prep.max_length: 4 is out of range: it must be prep.min_length (5) or more" in fails(
        capsys, "--min-length", "5", "--max-length", "4"
    )
    assert "prep.min_alphabetic: 1.5 is out of range" in fails(capsys, "--min-alphabetic", "1.5")


def test_folders_of_older_versions_are_as_without_the_new_options(corpus, capsys):
    """Their manifests have neither the options nor what was found."""
    manifest = prepared().manifest
    for key in ("findings", "units_left_out", "detector"):
        del manifest[key]
    for split in manifest["splits"].values():
        del split["found"], split["shifts"]
    manifest["checksum"] = checksum(manifest)
    Path("prepared/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert main(["--joint-bpe", "50"]) == 0
    output = capsys.readouterr()
    assert "already prepared from the same text with the same options" in output.err
    assert "found" not in output.out
    assert "unescape_entities is None there, True now" in fails(capsys, "--unescape-entities")
    assert {*manifests.CLEANING_OFF}.isdisjoint(manifest["options"])
