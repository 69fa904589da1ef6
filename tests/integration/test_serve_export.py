"""nmt-serve --export: what CTranslate2 translates is answered as our own models' translations are."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from nmt.cli import convert, export
from nmt.cli.serve import main
from nmt.config import SearchConfig, ServeConfig
from nmt.conversion.exported import read_export
from nmt.folder.bundle import EXPORT
from nmt.search.hypothesis import Hypothesis
from nmt.serve.app import make_app
from nmt.serve.exports import ComputeChoice, ServedExport
from nmt.serve.models import Models, ServedModel
from nmt.shortlist.table import Shortlist, ShortlistOptions
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import NUM_SPECIALS
from nmt.translate.translator import Translator
from tests.ending_model import LINES, make_folder, merges
from tests.in_process import call
from tests.marian_folder import Kind, make_marian, make_sentencepiece, source_lines
from tests.tiny_model import make_model_folder

ctranslate2: Any = pytest.importorskip("ctranslate2", reason="needs the extra 'export'")
TEXT = {"q": LINES[2], "source": "en", "target": "de"}
SETTINGS = {"stopping": "first", "max_length": 60, "max_length_ratio": 90.0, "split_sentences": True}
"With which our search ends as CTranslate2's does, and both have room."
ONE_THREAD = ComputeChoice(device=torch.device("cpu"), searches=1, threads=1)


def exported(model: Path, folder: Path, *more: str) -> Path:
    assert export.main(["--to", "ctranslate2", "--model", str(model), "--output", str(folder), "--quiet", *more]) == 0
    return folder


def served(folder: Path, name: str = "theirs", compute: ComputeChoice = ONE_THREAD, **search: Any) -> ServedExport:
    found = read_export(folder)
    return ServedExport(name, folder, found, replace(found.search, **SETTINGS | search), compute)


def ours(model: Path, name: str = "ours", **search: Any) -> ServedModel:
    translator = Translator.load(model, device="cpu")
    return ServedModel(name, Translator(translator.bundle, replace(translator.search, **SETTINGS | search)))


def of_merges(folder: Path) -> Path:
    return make_folder(folder, "reversible", merges(), target="de", seed=5, end=2.0)


def of_moses(folder: Path) -> Path:
    return make_folder(folder, "moses", merges(), target="de", seed=5, end=1.5)


def of_words(folder: Path) -> Path:
    return make_folder(folder, "none", None, target="de", seed=7, end=1.5)


def of_sentencepiece(folder: Path) -> Path:
    file = folder.parent / "joint.spm"
    make_sentencepiece(file, sorted({word for line in LINES for word in line.split()}))
    return make_folder(folder, "none", file.read_bytes(), target="de", seed=1, end=1.0)


def of_marian(folder: Path) -> Path:
    theirs = make_marian(folder.parent / "theirs", Kind(end=1.0, seed=6))
    assert convert.main(["--from", "marian", str(theirs), "--model", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and its export."""
    place = tmp_path_factory.mktemp("export")
    return of_merges(place / "model"), exported(place / "model", place / "out")


@pytest.fixture(scope="module")
def both(folders: tuple[Path, Path]) -> Models:
    return Models([served(folders[1]), ours(folders[0])])


@pytest.fixture(scope="module")
def shared(both: Models) -> Any:
    with TestClient(make_app(both, ServeConfig(char_limit=2000, batch_limit=20))) as client:
        yield client


def ended(model: Path, lines: list[str], beam: int) -> list[tuple[str, str]]:
    """Lines and what nmt-translate makes of them: with a beam, it puts what is cut behind all that ended."""
    translator = ours(model, beam=beam).translator
    pairs = zip(lines, translator.translate_detailed(lines), strict=True)
    found = [(line, best.text) for line, (best, *_) in pairs if best.finished or beam == 1]
    assert len(found) >= 3
    return found


@pytest.mark.parametrize("make", [of_merges, of_moses, of_words, of_sentencepiece, of_marian])
@pytest.mark.parametrize("beam", [1, 4])
def test_translations_are_those_of_nmt_translate_and_of_ctranslate2(make: Any, beam: int, tmp_path: Path) -> None:
    if make is of_moses:
        pytest.importorskip("sacremoses")
    model = make(tmp_path / "model")
    folder = exported(model, tmp_path / "out")
    lines = source_lines(8) if make is of_marian else [*LINES, "</s> <unk> cat <pad>", "bone", "red & red"]
    expected = ended(model, lines, beam)
    export_ = served(folder, beam=beam)
    fields = {"source": export_.source, "target": export_.target}
    with TestClient(make_app(Models([export_]), ServeConfig())) as client:
        answer = client.post("/translate", json=fields | {"q": [line for line, _ in expected]}).json()
    assert answer["translatedText"] == [text for _, text in expected]
    text, translator = TextPipeline.load(folder), ctranslate2.Translator(str(folder), compute_type="float32")
    pieces = [text.pieces(line, "source") for line, _ in expected if "</s>" not in line]
    options = {"beam_size": beam, "min_decoding_length": 0, "max_decoding_length": SETTINGS["max_length"]}
    found = [text.text(one.hypotheses[0], "target") for one in translator.translate_batch(pieces, **options)]
    assert found == [own for line, own in expected if "</s>" not in line]


def test_alternatives(shared: Any, both: Models) -> None:
    fields = TEXT | {"q": LINES, "alternatives": 3}
    first, second = (shared.post("/translate", json=fields | {"model": one.name}).json() for one in both.served)
    assert first == second
    assert all(len(each) == 3 for each in first["alternatives"])
    assert shared.post("/translate", json=TEXT | {"q": LINES}).json()["translatedText"] == first["translatedText"]


def test_a_text_explained_as_by_our_own_model(shared: Any, both: Models) -> None:
    fields = TEXT | {"q": "\n".join(LINES)}
    first, second = (shared.post("/explain", json=fields | {"model": one.name}).json() for one in both.served)
    assert first["translatedText"] == second["translatedText"]
    assert first["sourceWords"] == second["sourceWords"]
    assert len(first["words"]) == len(second["words"]) > len(LINES)
    for one, other in zip(first["words"], second["words"], strict=True):
        assert one["text"] == other["text"]
        assert one["probability"] == pytest.approx(other["probability"], rel=2e-3)
        assert dict(one["attention"]) == pytest.approx(dict(other["attention"]), abs=2e-3)


def test_html_keeps_its_tags(shared: Any, both: Models) -> None:
    text = "<p>the <b>cat sat</b> on the mat</p>\n<p>dogs don't <i>sit</i></p>\n<p></p>"
    fields = TEXT | {"q": text, "format": "html"}
    first, second = (shared.post("/translate", json=fields | {"model": one.name}).json() for one in both.served)
    assert first == second
    assert first["translatedText"].count("<b>") == 1


def test_what_clients_and_the_page_read(shared: Any, folders: tuple[Path, Path]) -> None:
    assert shared.get("/languages").json() == [{"code": "en", "name": "English", "targets": ["de"]}]
    theirs, own = shared.get("/models").json()
    assert {key: theirs[key] for key in ("tying", "parameters")} == {key: own[key] for key in ("tying", "parameters")}
    assert theirs["bytes"] == (folders[1] / "model.bin").stat().st_size
    assert (theirs["engine"], theirs["quantization"], "engine" in own) == ("CTranslate2", "float32", False)
    assert {one["language"] for one in shared.post("/detect", data={"q": "Guten Tag"}).json()} == {"en", "de"}
    assert shared.get("/health").json() == {"status": "ok"}
    assert "nmt_peak_memory_bytes" in shared.get("/metrics").text
    assert "theirs" in json.dumps(shared.get("/spec").json())
    assert shared.get("/").status_code == 200


def test_company_changes_nothing(both: Models, shared: Any) -> None:
    words = sorted({word for line in LINES for word in line.split()})
    texts = [
        " ".join(words[(number * 7 + place) % len(words)] for place in range(1 + number % 9)) for number in range(40)
    ]
    alone = [shared.post("/translate", json=TEXT | {"q": text}).json() for text in texts]
    app = make_app(both, ServeConfig())

    async def run() -> list[Any]:
        async with app.router.lifespan_context(app):  # type: ignore[attr-defined]
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                asked = (client.post("/translate", json=TEXT | {"q": text}) for text in texts)
                return [answer.json() for answer in await asyncio.gather(*asked)]

    assert asyncio.run(run()) == alone


def test_a_deadline_is_kept_and_what_waits_is_given_up(folders: tuple[Path, Path]) -> None:
    asked: list[int] = []
    goes_on = threading.Event()

    class Slow(ServedExport):
        def found(self, sources: Any, quotas: Any, kind: Any) -> Any:
            asked.append(len(sources))
            goes_on.wait(60)
            return super().found(sources, quotas, kind)

    found = read_export(folders[1])
    slow = Slow("slow", folders[1], found, replace(found.search, **SETTINGS), ONE_THREAD)
    config = ServeConfig(timeout=0.1, searches=1, batch_wait=0.0, char_limit=0)
    with TestClient(make_app(Models([slow]), config)) as client:
        answer = client.post("/translate", json=TEXT | {"q": ["dogs sit " * 20] * 2 + [f"red {n}" for n in range(90)]})
        assert (answer.status_code, "longer than 0.1 seconds" in answer.json()["error"]) == (504, True)
        goes_on.set()
        deadline = time.monotonic() + 60
        while "nmt_sentences_in_search 0" not in client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert len(asked) == 1  # the rest was not begun
    assert asked[0] < 91


def test_shortlists_go_along(tmp_path: Path) -> None:
    search = SearchConfig(beam=3, allow_unknown=True, allow_source_pieces=True)
    model = make_model_folder(tmp_path / "model", tying="decoder", architecture="transformer", search=search)
    vocabulary = Translator.load(model, device="cpu").bundle.vocabulary
    draw = np.random.default_rng(1)
    pool = np.arange(NUM_SPECIALS, NUM_SPECIALS + 40)
    rows = [np.sort(draw.choice(pool, 4, replace=False)) for _ in range(vocabulary.source_size)]
    offsets = np.arange(0, 4 * len(rows) + 1, 4, dtype=np.int64)
    frequent = np.array([10, 20, 30], dtype=np.int32)
    targets = np.concatenate(rows).astype(np.int32)
    Shortlist(vocabulary, targets, offsets, frequent, ShortlistOptions(per_piece=4, frequent=3)).save(model)
    folder, lines = exported(model, tmp_path / "out"), ["ab c", "d", "efgh", "i jkl"]
    with TestClient(make_app(Models([served(folder, shortlist=True)]), ServeConfig())) as client:
        answer = client.post("/translate", json=TEXT | {"q": lines}).json()
    text, translator = TextPipeline.load(folder), ctranslate2.Translator(str(folder), compute_type="float32")
    limits = {"min_decoding_length": 0, "max_decoding_length": SETTINGS["max_length"]}
    for line, found in zip(lines, answer["translatedText"], strict=True):
        [one] = translator.translate_batch([text.pieces(line, "source")], beam_size=3, use_vmap=True, **limits)
        assert found == text.text(one.hypotheses[0], "target")


def test_what_holds_its_placeholders_comes_first(folders: tuple[Path, Path]) -> None:
    export_ = served(folders[1])
    export_._placeholders = frozenset({7})
    first, second, third = (
        Hypothesis(pieces=pieces, log_prob=0.0, score=0.0) for pieces in ((5, 5), (7, 5, 7), (5, 7))
    )
    assert export_._kept([first, second, third], {7: 1}) == [third, first, second]
    assert export_._kept([first, second], {7: 2}) == [second, first]
    assert export_._kept([first, second, third], None) == [first, second, third]


def test_threads_and_precision(folders: tuple[Path, Path]) -> None:
    compute = ComputeChoice(device=torch.device("cpu"), searches=2, threads=1, precision="int8")
    export_ = served(folders[1], compute=compute)
    assert export_._translator.num_translators == 2
    assert export_._translator.compute_type.startswith("int8")
    supported = ctranslate2.get_supported_compute_types("cpu")
    bf16 = served(folders[1], compute=replace(compute, precision="bf16"))
    assert bool(bf16.note) == ("bfloat16" not in supported)
    assert served(folders[1])._translator.compute_type == "float32"  # as it is stored


def damaged(folder: Path, copy: Path, name: str) -> Path:
    shutil.copytree(folder, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    return copy


def changed(folder: Path, copy: Path, **values: object) -> Path:
    shutil.copytree(folder, copy)
    body = json.loads((copy / EXPORT).read_text()) | values
    (copy / EXPORT).write_text(json.dumps({key: value for key, value in body.items() if value is not None}))
    return copy


def one_line(arguments: list[object], folder: Path) -> str:
    done = call(main, arguments, folder)
    assert done.returncode == 2
    [line] = done.stderr.decode().splitlines()
    return line


def test_wrong_uses_are_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    model, good = folders
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(good / "model.bin", bare)
    (tmp_path / "empty").mkdir()
    cut = tmp_path / "cut"
    shutil.copytree(good, cut)
    (cut / EXPORT).write_text("{")
    lacking = tmp_path / "lacking"
    shutil.copytree(good, lacking)
    (lacking / "bpe.codes").unlink()
    cases: list[tuple[list[object], str]] = [
        (["--export", tmp_path / "none"], "none: no such folder; nmt-export --to ctranslate2 --model DIR"),
        (["--export", good / "model.bin"], "model.bin: is a file, not a folder"),
        (["--export", tmp_path / "empty"], f"empty: not an export (no {EXPORT} in it)"),
        (
            ["--export", bare],
            f"bare: a model of CTranslate2 without {EXPORT}: no text pipeline goes with it; nmt-e",
        ),
        (["--export", model], "model: a model folder, not an export of one; name it with --model"),
        (["--model", good], "out: an export for CTranslate2, not a model folder; nmt-serve --export reads it"),
        (["--model", f"a={model}", "--export", f"a={good}"], "--export: two models are called 'a'; give each its own"),
        (["--export", f"a={good}", f"a={good}"], "--export: two models are called 'a'"),
        (["--export", f"={good}"], "--export: a model without a name"),
        (["--export", "a="], "--export: 'a=' names no folder; give it as NAME=DIR or DIR"),
        (["--export", damaged(good, tmp_path / "d1", "model.bin")], "model.bin: damaged: not what nmt-export wrote"),
        (["--export", damaged(good, tmp_path / "d2", "vocabulary.json")], "vocabulary.json: damaged: not what nmt-exp"),
        (["--export", lacking], "bpe.codes: is missing; restore it from a copy"),
        (["--export", cut], f"cut/{EXPORT}: damaged ("),
        (
            ["--export", changed(good, tmp_path / "c1", version=2)],
            "format version 2 for 'ctranslate2', but this",
        ),
        (["--export", changed(good, tmp_path / "c2", format="x")], f"c2/{EXPORT}: does not describe an export"),
        (["--export", changed(good, tmp_path / "c3", files=None)], f"c3/{EXPORT}: damaged (it lacks 'files')"),
        (["--export", changed(good, tmp_path / "c4", tying="x")], f"c4/{EXPORT}: damaged (there is no tying 'x')"),
        (["--export", good, "--length-normalization", "gnmt"], "search.length_normalization: 'gnmt', which CT"),
        (["--export", good, "--coverage-penalty", "0.1"], "search.coverage_penalty: 0.1, which CTranslate2 does not"),
        (["--export", good, "--set", "search.allow_source_pieces=true"], "search.allow_source_pieces: is fixed once a"),
        (["--export", good, "--shortlist"], "out: no shortlist went along (vmap.txt); make it with nmt-shortlist"),
        (["--export", good, "--sampling"], "search.sampling: a server draws no translations at random"),
        (["--export", good, "--prefix-source", ">>fra<<"], "search.prefix_source: the model does not know the piece"),
    ]
    for arguments, expected in cases:
        line = one_line(arguments, tmp_path)
        assert line.startswith("nmt-serve: error: ")
        assert expected in line


def test_what_ctranslate2_cannot_open_is_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    copy = damaged(folders[1], tmp_path / "copy", "model.bin")
    files = json.loads((copy / EXPORT).read_text())["files"]
    del files["model.bin"]
    data = (folders[1] / "model.bin").read_bytes()
    (copy / "model.bin").write_bytes(b"\xff" + data[1:])
    found = changed(copy, tmp_path / "other", files=files)
    assert "other: CTranslate2 cannot open it (" in one_line(["--export", found], tmp_path)


def test_a_missing_package_is_named(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    line = one_line(["--export", folders[1]], folders[1].parent)
    assert "needs the package ctranslate2" in line
    assert line.endswith("pip install 'nmt-three-way[export]'")
