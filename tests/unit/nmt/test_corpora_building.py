"""Pairing, held-out sets, archives: text that is built from what was downloaded."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.corpora import homeassistant, wmt
from nmt.corpora.archives import ArchiveMember, parallel
from nmt.corpora.heldout import NearDuplicates, bucket, normal_form, split_by_document
from nmt.corpora.pairing import align, keep, normalise, strip_list_mark


def make_wheel(path: Path, strings: dict[str, dict[str, object]]) -> Path:
    """A zip file shaped as the wheel: component -> language -> JSON."""
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("homeassistant/__init__.py", "")
        for component, languages in strings.items():
            for language, tree in languages.items():
                wheel.writestr(f"homeassistant/components/{component}/translations/{language}.json", json.dumps(tree))
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    """A tar archive, compressed as its name says."""
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_align_splits_where_both_sides_split_alike() -> None:
    assert list(align("One. Two.\n\nThree", "Eins. Zwei.\nDrei")) == [
        ("One.", "Eins."),
        ("Two.", "Zwei."),
        ("Three", "Drei"),
    ]
    assert list(align("One. Two.", "Eins und zwei.")) == [("One. Two.", "Eins und zwei.")]
    assert list(align("a\u00a0b\u2028c", "d  e")) == [("a b c", "d e")]
    assert list(align("Version 2.0 of it. No", "Version 2.0 davon. Nein")) == [
        ("Version 2.0 of it.", "Version 2.0 davon."),
        ("No", "Nein"),
    ]


def test_normalise_and_list_marks() -> None:
    assert normalise(" u\u0308ber \t x ") == "über x"
    assert strip_list_mark("1. Open it", "1. Öffne es") == ("Open it", "Öffne es")
    assert strip_list_mark("- Open it", "Öffne es") == ("- Open it", "Öffne es")


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("Turn on the light", "Schalte das Licht ein", True),
        ("OK", "OK", False),
        ("{name}: {value} %", "{name} – {value} %", False),
        ("https://example.org/abc", "https://example.org/abc.", False),
        ("Open the blue door now", "Open the blue door now!", False),
        ("Hi", "Guten Tag, liebe Leute, da seid ihr ja", False),
        ("Off", "Nicht mehr an", True),
        ("word " * 101, "Wort " * 100, False),
    ],
)
def test_keep(source: str, target: str, kept: bool) -> None:
    assert keep(source, target) is kept


def test_normal_form() -> None:
    assert normal_form("Set {a_1} to 25.5%, NOW!") == normal_form("set {b} to 7.12 now")


def test_near_duplicates_agree_with_comparing_everything() -> None:
    texts = [
        f"turn {verb} the {thing} in the {room}"
        for verb in ("on", "off")
        for thing in ("light", "heating system")
        for room in ("kitchen", "living room", "cellar")
    ]
    index = NearDuplicates(texts)
    queries = [
        "turn on the lights in the kitchen",
        "open the garage",
        "turn off the heating systems in the cellars",
        "switch on a lamp of the kitchen",
        "",
        "the",
        texts[3],
    ]

    def grams(text: str) -> set[str]:
        return {f"    {text} "[start : start + 5] for start in range(len(text) + 1)}

    def by_force(query: str) -> bool:
        one = grams(query)
        return query in texts or any(2 * len(one & grams(t)) / (len(one) + len(grams(t))) >= 0.7 for t in texts)

    assert [index.has_near(query) for query in queries] == [by_force(query) for query in queries]
    assert {index.has_near(query) for query in queries} == {True, False}


def documents() -> dict[str, list[tuple[str, str]]]:
    words = ["red", "green", "window", "door", "battery", "pump", "radio", "garden", "kettle", "bridge", "shutter"]
    made = {}
    for number in range(120):
        pick = [words[(number * step + step) % len(words)] for step in (3, 5, 7, 9)]
        made[f"part{number}"] = [
            (
                f"the {pick[0]} {pick[1]} of part {number} is {pick[2]}",
                f"{pick[2]} ist {pick[0]} {pick[1]} Teil {number}",
            ),
            (
                f"{''.join(pick)} {pick[3] * 3} {chr(97 + number % 26) * 12}",
                f"Z{pick[1]} {chr(97 + number % 26) * 9}{number}",
            ),
            ("connection failed again", "Verbindung wieder gescheitert"),
        ]
    return made


def test_split_holds_out_documents_without_leaks() -> None:
    made = documents()
    splits = {split.name: list(split.pairs) for split in split_by_document(made, share=0.25, size=12, largest=5)}
    assert list(splits) == ["train", "valid", "test"]
    assert all(0 < len(splits[name]) <= 12 for name in ("valid", "test"))
    earlier = [normal_form(source) for source, _ in splits["train"]]
    targets = {normal_form(target) for _, target in splits["train"]}
    for name in ("valid", "test"):
        for source, target in splits[name]:
            home = next(part for part, pairs in made.items() if (source, target) in pairs)
            assert (0.0 if name == "valid" else 0.25) <= bucket(home) < (0.25 if name == "valid" else 0.5)
            assert normal_form(target) not in targets
            assert all(SequenceMatcher(None, normal_form(source), text).ratio() < 0.95 for text in earlier)
        earlier += [normal_form(source) for source, _ in splits[name]]


def test_large_documents_stay_in_train() -> None:
    pairs = [(f"sentence number {word} here", f"Satz {word}") for word in ("alpha", "beta", "gamma")]
    splits = {s.name: list(s.pairs) for s in split_by_document({"d": pairs * 2}, share=0.5, size=9, largest=5)}
    assert splits == {"train": pairs, "valid": [], "test": []}


def test_homeassistant_pairs_by_component_and_key(tmp_path: Path) -> None:
    english = {"title": "Lamp", "state": {"on": "The lamp is on. It shines.", "only": "English only here"}, "number": 3}
    german = {"state": {"on": "Die Lampe ist an. Sie leuchtet.", "other": "Nur deutsch"}, "title": "Lamp"}
    wheel = make_wheel(tmp_path / "x.whl", {"lamp": {"en": english, "de": german}, "pump": {"en": {"a": "A pump"}}})
    splits = {split.name: list(split.pairs) for split in homeassistant.build(("en", "de"), {"x.whl": wheel})}
    assert [pair for pairs in splits.values() for pair in pairs] == [
        ("The lamp is on.", "Die Lampe ist an."),
        ("It shines.", "Sie leuchtet."),
    ]


def test_wheel_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"no zip")
    with pytest.raises(UserError, match="not a readable wheel"):
        list(homeassistant.build(("en", "de"), {"x.whl": tmp_path / "x.whl"}))


def test_parallel_reads_plain_gzip_and_sgml_members(tmp_path: Path) -> None:
    sgml = b'<refset setid="x">\n<doc>\n<seg id="1"> R&D &amp; 5 &lt; 6 </seg>\n<seg id="2">caf\xc3\xa9</seg>\n</doc>\n'
    paths = {
        "a.tgz": make_tar(tmp_path / "a.tgz", {"other": b"x\n", "./in/one.en": "a\u2028b\n\nc\r\n".encode()}),
        "b.tar": make_tar(tmp_path / "b.tar", {"two.gz": gzip.compress(b"1\n2\n\xff3\n"), "t.sgm": sgml}),
    }
    one, two, sgm = (
        ArchiveMember("a.tgz", "in/one.en"),
        ArchiveMember("b.tar", "two.gz"),
        ArchiveMember("b.tar", "t.sgm"),
    )
    assert list(parallel(one, two, paths)) == [("a\u2028b", "1"), ("", "2"), ("c", "\ufffd3")]
    assert list(parallel(one, two, paths, drop_blank=True)) == [("a\u2028b", "1"), ("c", "\ufffd3")]
    assert next(parallel(sgm, sgm, paths))[0] == "R&D & 5 < 6"
    with pytest.raises(UserError, match=r"t.sgm ends after 2 lines, in/one.en goes on"):
        list(parallel(one, sgm, paths))
    with pytest.raises(UserError, match=r"has no member in/two.en"):
        list(parallel(ArchiveMember("a.tgz", "in/two.en"), one, paths))


def test_damaged_archive_is_a_user_error(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "a.tgz", {"x": bytes(range(256)) * 4000}).read_bytes()
    (tmp_path / "a.tgz").write_bytes(whole[: len(whole) // 2])
    member = ArchiveMember("a.tgz", "x")
    with pytest.raises(UserError, match="damaged archive"):
        list(parallel(member, member, {"a.tgz": tmp_path / "a.tgz"}))


def test_wmt15_builds_from_archives_of_the_published_layout(tmp_path: Path) -> None:
    def text(*lines: str) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode()

    def sgm(line: str) -> bytes:
        return f'<seg id="1">{line}</seg>\n'.encode()

    layout = {
        "training-parallel-europarl-v7.tgz": {
            "training/europarl-v7.de-en.de": text("Eins", "", "Zwei"),
            "training/europarl-v7.de-en.en": text("One", "Gone", "Two"),
        },
        "training-parallel-commoncrawl.tgz": {
            "commoncrawl.de-en.de": text("Drei"),
            "commoncrawl.de-en.en": text("Three"),
        },
        "training-parallel-nc-v10.tgz": {
            "news-commentary-v10.de-en.de": text("Vier"),
            "news-commentary-v10.de-en.en": text("Four"),
        },
        "dev.tgz": {"dev/newstest2013.de": text("Fünf"), "dev/newstest2013.en": text("Five")},
        "test.tgz": {
            "test/newstest2015-ende-src.en.sgm": sgm("Six"),
            "test/newstest2015-ende-ref.de.sgm": sgm("Sechs"),
        },
        "test-full.tgz": {
            "test-full/newstest2014-deen-src.en.sgm": sgm("Seven"),
            "test-full/newstest2014-deen-ref.de.sgm": sgm("Sieben"),
        },
    }
    paths = {name: make_tar(tmp_path / name, members) for name, members in layout.items()}
    assert {file.name for file in wmt.WMT15.files(("en", "de"))} == set(paths)
    assert {split.name: list(split.pairs) for split in wmt.WMT15.build(("en", "de"), paths)} == {
        "train": [("One", "Eins"), ("Two", "Zwei"), ("Three", "Drei"), ("Four", "Vier")],
        "valid": [("Five", "Fünf")],
        "test": [("Six", "Sechs")],
        "newstest2014": [("Seven", "Sieben")],
    }
