"""nmt-convert: DL4MT models score as the published equations say, and come back as they went."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bpe.errors import UserError
from nmt.cli import convert, score
from nmt.conversion.dl4mt import to_dl4mt
from nmt.conversion.folders import check_architecture
from nmt.folder.bundle import load_bundle
from tests.numerics.reference_rnn import Arrays, scores

pytestmark = pytest.mark.numeric
E, H, C = 5, 6, 12
SOURCE = ["eos", "UNK", "the", "c@@", "at", "s@@"]
TARGET = ["eos", "UNK", "die", "the", "Ka@@", "tze", "at"]
SHARED = ["eos", "UNK", "the", "c@@", "at", "die", "Ka@@", "tze"]
PAIRS = [("the c@@ at", "die Ka@@ tze"), ("at", ""), ("c@@ nobody", "die die nobody at"), ("", "tze")]


def their_arrays(mode: str, rows: tuple[int, int]) -> Arrays:
    """Random arrays under DL4MT's names; tied ones are equal."""
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {"Wemb": (rows[0], E), "Wemb_dec": (rows[1], E), "ff_logit_W": (E, rows[1])}
    shapes |= {"ff_logit_b": (rows[1],), "ff_state_W": (C, H), "ff_state_b": (H,)}
    for name, size in (("lstm", H), ("prev", E), ("ctx", C)):
        shapes |= {f"ff_logit_{name}_W": (size, E), f"ff_logit_{name}_b": (E,)}
    for prefix in ("encoder", "encoder_r", "decoder"):
        shapes |= {f"{prefix}_W": (E, 2 * H), f"{prefix}_U": (H, 2 * H), f"{prefix}_b": (2 * H,)}
        shapes |= {f"{prefix}_Wx": (E, H), f"{prefix}_Ux": (H, H), f"{prefix}_bx": (H,)}
    shapes |= {"decoder_U_nl": (H, 2 * H), "decoder_b_nl": (2 * H,), "decoder_Ux_nl": (H, H), "decoder_bx_nl": (H,)}
    shapes |= {"decoder_Wc": (C, 2 * H), "decoder_Wcx": (C, H), "decoder_W_comb_att": (H, C), "decoder_Wc_att": (C, C)}
    shapes |= {"decoder_b_att": (C,), "decoder_U_att": (C, 1), "decoder_c_tt": (1,)}
    arrays = {name: random.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    if mode != "untied":
        arrays["ff_logit_W"] = arrays["Wemb_dec"].T.copy()
    if mode == "three-way":
        arrays["Wemb"] = arrays["Wemb_dec"].copy()
    return arrays


def published(arrays: Arrays) -> dict[str, Arrays]:
    """The same arrays as the reference equations take them."""

    def cell(prefix: str) -> Arrays:
        return {name: arrays[f"{prefix}_{name}"] for name in ("W", "U", "b", "Wx", "Ux", "bx")}

    names = ("U_nl", "b_nl", "Ux_nl", "bx_nl", "Wc", "Wcx", "W_comb_att", "Wc_att", "b_att", "c_tt")
    decoder = cell("decoder") | {name: arrays[f"decoder_{name}"] for name in names}
    readout = {name: arrays[f"ff_logit_{name}_W"] for name in ("lstm", "prev", "ctx")}
    readout |= {f"{name}_b": arrays[f"ff_logit_{name}_b"] for name in ("lstm", "prev", "ctx")}
    return {
        "encoder": cell("encoder"),
        "encoder_r": cell("encoder_r"),
        "initial": {"W": arrays["ff_state_W"], "b": arrays["ff_state_b"]},
        "decoder": decoder | {"U_att": arrays["decoder_U_att"][:, 0]},
        "readout": readout,
        "tables": {
            "source": arrays["Wemb"],
            "target": arrays["Wemb_dec"],
            "output": arrays["ff_logit_W"].T,
            "bias": arrays["ff_logit_b"],
        },
    }


def write_model(folder: Path, mode: str, extra_rows: int = 0) -> tuple[Arrays, list[str], list[str]]:
    source, target = (SHARED, SHARED) if mode == "three-way" else (SOURCE, TARGET)
    arrays = their_arrays(mode, (len(source) + extra_rows, len(target) + extra_rows))
    np.savez(folder / "model.npz", **arrays)
    for name, pieces in (("S.json", source), ("T.json", target)):
        (folder / name).write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    return arrays, source, target


def files(folder: Path) -> list[str]:
    return ["--source-vocabulary", str(folder / "S.json"), "--target-vocabulary", str(folder / "T.json")]


def from_dl4mt(folder: Path) -> int:
    return convert.main(["--from", "dl4mt", str(folder / "model.npz"), *files(folder), "--model", str(folder / "out")])


@pytest.mark.parametrize("extra_rows", [0, 3])
@pytest.mark.parametrize("mode", ["untied", "decoder", "three-way"])
def test_scores_are_those_of_the_published_equations(
    mode: str, extra_rows: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays, source, target = write_model(tmp_path, mode, extra_rows)
    assert from_dl4mt(tmp_path) == 0
    assert f"{mode} tying, E=5, H=6" in capsys.readouterr().err
    assert load_bundle(tmp_path / "out", torch.device("cpu")).model.embeddings.tying.value == mode
    for number, name in enumerate(("source", "target")):
        (tmp_path / name).write_text("".join(pair[number] + "\n" for pair in PAIRS))
    given = ["--source", str(tmp_path / "source"), "--target", str(tmp_path / "target"), "--pieces"]
    assert score.main(["--model", str(tmp_path / "out"), "--device", "cpu", "--threads", "1", *given]) == 0
    printed = [float(line) for line in capsys.readouterr().out.split()]
    expected = []
    for pair in PAIRS:
        ids = [
            [*(d.index(w) if w in d else 1 for w in line.split()), 0]
            for line, d in zip(pair, (source, target), strict=True)
        ]
        rows, _ = scores(ids[0], ids[1], published({name: a.astype(np.float64) for name, a in arrays.items()}))
        log_probs = rows - np.log(np.exp(rows).sum(1, keepdims=True))
        expected.append(log_probs[range(len(ids[1])), ids[1]].sum())
    assert printed == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("mode", ["untied", "decoder", "three-way"])
def test_what_goes_in_and_out_again_is_the_same_model(mode: str, tmp_path: Path) -> None:
    arrays, source, target = write_model(tmp_path, mode)
    assert from_dl4mt(tmp_path) == 0
    (tmp_path / "back").mkdir()
    back = tmp_path / "back"
    assert convert.main(["--to", "dl4mt", str(back / "model.npz"), *files(back), "--model", str(tmp_path / "out")]) == 0
    with np.load(back / "model.npz") as found:
        assert set(found.files) == set(arrays)
        ids = [json.loads((back / name).read_text()) for name in ("S.json", "T.json")]
        assert [set(one) for one in ids] == [set(source), set(target)]
        orders = [[one[piece] for piece in pieces] for one, pieces in zip(ids, (source, target), strict=True)]
        rows = {"Wemb": orders[0], "Wemb_dec": orders[1], "ff_logit_b": orders[1]}
        for name, array in arrays.items():
            there = found[name].T[orders[1]].T if name == "ff_logit_W" else found[name]
            np.testing.assert_array_equal(there[rows[name]] if name in rows else there, array, err_msg=name)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("S.json", b"{", "S.json: not JSON"),
        ("S.json", b'{"eos": 0, "UNK": 2}', "S.json: its ids are not 0, 1, 2 ... without a gap"),
        ("T.json", b'{"a": 0, "b": 1}', "T.json: ids 0 and 1 are ['a', 'b'], not eos and UNK"),
        ("model.npz", b"PK nothing", "model.npz: not an .npz file of plain arrays"),
    ],
)
def test_foreign_files_are_named_in_one_line(
    name: str, content: bytes, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path, "untied")
    (tmp_path / name).write_bytes(content)
    assert from_dl4mt(tmp_path) == 2
    assert expected in capsys.readouterr().err


def test_a_missing_array_and_a_full_folder_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays, _, _ = write_model(tmp_path, "untied")
    del arrays["decoder_U_nl"]
    np.savez(tmp_path / "model.npz", **arrays)
    assert from_dl4mt(tmp_path) == 2
    assert "model.npz: has no array 'decoder_U_nl'" in capsys.readouterr().err
    write_model(tmp_path, "untied")
    assert from_dl4mt(tmp_path) == 0
    assert from_dl4mt(tmp_path) == 2
    assert "out: is not empty; name another folder with --model" in capsys.readouterr().err
    (tmp_path / "file").touch()
    where = ["--model", str(tmp_path / "file")]
    assert convert.main(["--from", "dl4mt", str(tmp_path / "model.npz"), *files(tmp_path), *where]) == 2
    assert "file: is a file, not a folder; name another with --model" in capsys.readouterr().err


def test_models_that_the_format_cannot_hold_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        UserError, match=r"out: model.architecture is 'transformer', which DL4MT does not have; only rnn"
    ):
        check_architecture("transformer", Path("out"))
    write_model(tmp_path, "decoder")
    assert from_dl4mt(tmp_path) == 0
    bundle = load_bundle(tmp_path / "out", torch.device("cpu"))
    named: dict[str, torch.Tensor] = dict(bundle.model.named_parameters(remove_duplicate=False))
    views = bundle.source_view, bundle.target_view
    assert to_dl4mt(named, bundle.vocabulary, views)[1][:2] == ["eos", "UNK"]
    with pytest.raises(UserError, match=r"cannot hold a model that has encoder.ahead.scale; it holds"):
        to_dl4mt(named | {"encoder.ahead.scale": torch.ones(2)}, bundle.vocabulary, views)
    del named["decoder.second.bias"]
    with pytest.raises(UserError, match=r"cannot hold a model that lacks decoder.second.bias"):
        to_dl4mt(named, bundle.vocabulary, views)
    config = tmp_path / "out/config.yaml"
    config.write_text(config.read_text().replace("architecture: rnn", "architecture: convolution"))
    capsys.readouterr()
    assert (
        convert.main(["--to", "dl4mt", str(tmp_path / "b.npz"), *files(tmp_path), "--model", str(tmp_path / "out")])
        == 2
    )
    assert "model.architecture: unknown value 'convolution'" in capsys.readouterr().err
    assert not (tmp_path / "b.npz").exists()


def test_a_conversion_that_fails_leaves_nothing_in_the_way_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_model(tmp_path, "decoder")
    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    assert from_dl4mt(tmp_path) == 2
    assert "no space left on the device" in capsys.readouterr().err
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == before
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert convert.main(["--from", "dl4mt", "../model.npz", *files(Path("..")), "--model", "."]) == 0
    assert {path.name for path in tmp_path.iterdir()} == before | {"out"}
    load_bundle(tmp_path / "out", torch.device("cpu"))


@pytest.mark.parametrize("direction", ["--from", "--to"])
def test_the_same_model_makes_the_same_bytes(direction: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the time: an .npz file could hold it."""
    write_model(tmp_path, "decoder")
    assert from_dl4mt(tmp_path) == 0
    made = []
    for number, now in enumerate((1e9, 1.5e9)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        folder = tmp_path / str(number)
        folder.mkdir()
        places = [str(folder / name) for name in ("m.npz", "s.json", "t.json")]
        if direction == "--to":
            words = [places[0], "--source-vocabulary", places[1], "--target-vocabulary", places[2]]
            assert convert.main(["--to", "dl4mt", *words, "--model", str(tmp_path / "out")]) == 0
        else:
            model = ["--model", str(folder / "out")]
            assert convert.main(["--from", "dl4mt", str(tmp_path / "model.npz"), *files(tmp_path), *model]) == 0
        made.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert made[0] == made[1]
