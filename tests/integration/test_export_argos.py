"""nmt-export --to argos: packages that Argos Translate itself installs, and what it translates with them."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bpe.segment import Segmenter
from nmt.cli import convert, export
from nmt.conversion.argos_text import escaped, escaped_merges
from nmt.translate.translator import Translator
from tests.ending_model import LINES, make_folder, merges
from tests.marian_folder import Kind, make_marian, make_sentencepiece, source_lines
from tests.tiny_model import make_model_folder


def package(model: Path, path: Path, *more: str) -> int:
    return export.main(["--to", "argos", "--model", str(model), "--output", str(path), *more])


@pytest.fixture
def argos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Argos Translate with a folder of its own, and lines for sentences: its models of these are downloaded."""
    if importlib.util.find_spec("argostranslate") is None or importlib.util.find_spec("minisbd") is None:
        pytest.skip("needs argostranslate")
    monkeypatch.setenv("ARGOS_PACKAGES_DIR", str(tmp_path / "packages"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ARGOS_INTRA_THREADS", "1")
    monkeypatch.setenv("ARGOS_COMPUTE_TYPE", "float32")
    for name in [name for name in sys.modules if name.startswith("argostranslate")]:
        monkeypatch.delitem(sys.modules, name)
    if importlib.util.find_spec("stanza") is None:  # imported at once, and used for packages that bring its models
        monkeypatch.setitem(sys.modules, "stanza", ModuleType("stanza"))
    import argostranslate.package
    import argostranslate.translate

    @dataclass
    class Lines:
        pkg: object

        def split_sentences(self, text: str) -> list[str]:
            return [text]

    monkeypatch.setattr(argostranslate.translate, "MiniSBDSentencizer", Lines)
    yield argostranslate
    for name in [name for name in sys.modules if name.startswith("argostranslate")]:
        del sys.modules[name]


def check_followed(argos: Any, path: Path, model: Path, lines: list[str]) -> None:
    """Argos, after it installed the package, reads and writes text as we do, and translates alike what ends."""
    argos.package.install_from_path(path)
    (installed,) = argos.package.get_installed_packages()
    translator = Translator.load(model, device="cpu")
    text = translator.bundle.text
    name = escaped if installed.tokenizer.__class__.__name__ == "BPETokenizer" else str
    for line in lines:
        pieces = [name(piece) for piece in text.pieces(line, "source")]
        assert installed.tokenizer.encode(line) == pieces
        written = [piece for piece in text.pieces(line, "source") if "_" not in piece]
        assert installed.tokenizer.decode(list(map(name, written))).split() == text.text(written, "target").split()
    language = argos.translate.Language(installed.from_code, installed.from_name)
    translation = argos.translate.PackageTranslation(language, language, installed)
    search = replace(translator.search, beam=4, length_penalty=0.2, stopping="first", min_length=1, max_length=256)
    found = Translator(translator.bundle, replace(search, max_length_ratio=100.0)).translate_detailed(lines)
    compared = 0
    for line, (best,) in zip(lines, found, strict=True):
        value = translation.hypotheses(line, 1)[0].value
        if best.finished and len(value.split()) < 100:  # what was cut comes first there, and last here
            compared += 1
            assert value.split() == best.text.split()
    assert compared >= len(lines) // 2


def test_moses_and_bpe_are_followed_to_the_letter(tmp_path: Path, argos: Any) -> None:
    """Escapes of Moses' tokens and all."""
    model = make_folder(tmp_path / "model", "moses", merges(), source_normalize="moses-with-numbers")
    assert package(model, tmp_path / "en_en.argosmodel", "--quantization", "float32") == 0
    check_followed(argos, tmp_path / "en_en.argosmodel", model, LINES)


def test_sentencepiece_is_followed(tmp_path: Path, argos: Any) -> None:
    make_sentencepiece(tmp_path / "spm", " ".join(LINES).split())
    model = make_folder(tmp_path / "model", "reversible", (tmp_path / "spm").read_bytes())
    assert package(model, tmp_path / "en_en.argosmodel", "--quantization", "float32") == 0
    check_followed(argos, tmp_path / "en_en.argosmodel", model, LINES)


def test_imported_models_can_go_on(tmp_path: Path, argos: Any) -> None:
    theirs = make_marian(tmp_path / "theirs", Kind(end=1.0, seed=6))
    assert convert.main(["--from", "marian", str(theirs), "--model", str(tmp_path / "model")]) == 0
    path = tmp_path / "en_de.argosmodel"
    assert package(tmp_path / "model", path, "--quantization", "float32") == 0
    check_followed(argos, path, tmp_path / "model", source_lines(8))


def test_escaped_merges_cut_as_the_plain_ones_do() -> None:
    table = merges()
    plain, other = Segmenter(table), Segmenter(escaped_merges(table))
    draw = random.Random(1)
    words = ["".join(draw.choices("ab&'\"<>[]|cdogs", k=draw.randint(1, 9))) for _ in range(500)]
    for word in [*words, *" ".join(LINES).split()]:
        assert [escaped(piece) for piece in plain.segment_word(word)] == list(other.segment_word(escaped(word)))


def test_a_package_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ctranslate2", reason="needs the extra 'export'")
    make_sentencepiece(tmp_path / "spm", " ".join(LINES).split())
    model = make_folder(tmp_path / "model", "none", (tmp_path / "spm").read_bytes(), source_normalize="nfkc")
    path, again = tmp_path / "one.argosmodel", tmp_path / "two.argosmodel"
    for place in (path, again):
        assert package(model, place, "--package-version", "2.1", "--target-name", "Simple English") == 0
    assert "otherwise than nmt-translate: sources are not normalised there (nfkc)" in capsys.readouterr().err
    assert path.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"en_en-2.1"}
        metadata = json.loads(archive.read("en_en-2.1/metadata.json"))
        assert archive.read("en_en-2.1/sentencepiece.model") == (tmp_path / "spm").read_bytes()
        assert "not normalised there" in archive.read("en_en-2.1/README.md").decode()
    assert metadata["package_version"] == "2.1"
    assert (metadata["from_code"], metadata["from_name"], metadata["to_name"]) == ("en", "English", "Simple English")


def test_what_argos_cannot_follow_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reversible = make_folder(tmp_path / "reversible", "reversible", merges())
    segmented = make_folder(tmp_path / "segmented", "none", None)
    rnn = make_model_folder(tmp_path / "rnn")
    (tmp_path / "there.argosmodel").touch()
    for model, out, expected in (
        (
            reversible,
            "out.argosmodel",
            "reversible: Argos Translate cannot follow BPE on reversible tokens; prepare with",
        ),
        (segmented, "out.argosmodel", "segmented: Argos Translate cannot follow BPE on no tokens; prepare with"),
        (reversible, "out.zip", "out.zip: is no name of a package: it must end in .argosmodel"),
        (reversible, "there.argosmodel", "there.argosmodel: is there already"),
        (rnn, "out.argosmodel", "rnn: CTranslate2 has no models of model.architecture 'rnn'"),
    ):
        assert package(model, tmp_path / out) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1
    assert package(reversible, tmp_path / "o.argosmodel", "--quantization", "tiny") == 2
    given = ["--to", "onnx", "--model", str(rnn), "--output", str(tmp_path / "o"), "--source-name", "E"]
    assert export.main(given) == 2
    assert "--source-name: is of argos; leave it out" in capsys.readouterr().err
