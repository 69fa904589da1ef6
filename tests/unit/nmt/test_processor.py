"""What the processor can multiply: as it is, and with its instructions cut down, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from nmt.layers import processor
from nmt.layers.processor import NARROW, WIDE, int8_inputs, native_bfloat16, usable_precision

CPU = torch.device("cpu")
TOLD = """
import json, torch
from nmt.layers import processor
found = processor.int8_inputs()
print(json.dumps([processor.instruction_set(), processor.native_bfloat16(torch.device("cpu")), found and found.limit]))
"""


def test_the_finest_inputs_that_come_out_right_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for exact, expected in (([WIDE, NARROW], WIDE), ([NARROW], NARROW), ([], None)):
        monkeypatch.setattr(processor, "_int8_is_exact", lambda inputs, exact=exact: inputs in exact)
        assert int8_inputs.__wrapped__() == expected


@pytest.mark.skipif(int8_inputs() is None, reason="no int8 products here")
def test_the_inputs_in_use_never_overflow() -> None:
    """Sums of the largest products, at sizes beside those that are tried at the start."""
    inputs = int8_inputs()
    assert inputs is not None
    assert max(processor._int8_error(size, inputs) for size in (2, 24, 33, 512)) < 1e-3


@pytest.mark.skipif(not processor.sums_signed(), reason="no signed products here")
def test_signed_sums_never_overflow() -> None:
    """Sums of the largest products, at sizes beside those that are tried at the start, and of few and many rows."""
    for size in (2, 24, 33, 512, 1024):
        assert processor._signed_sums_are_right(size)


def test_signed_sums_that_are_wrong_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating_sums(levels: Tensor, weight: Tensor) -> Tensor:
        return saturating(levels, 128, 1.0, weight.t(), torch.ones(weight.shape[1]), torch.zeros(weight.shape[1]))

    monkeypatch.setattr(processor, "int8_inputs", lambda: WIDE)
    monkeypatch.setattr(processor, "signed_sums", saturating_sums)
    assert not processor.sums_signed.__wrapped__()
    monkeypatch.setattr(processor, "signed_sums", lambda levels, weight: levels.int() @ weight.int())
    assert processor.sums_signed.__wrapped__()
    monkeypatch.setattr(processor, "int8_inputs", lambda: NARROW)
    assert not processor.sums_signed.__wrapped__()


def saturating(levels: Tensor, zero: int, step: float, weight: Tensor, scales: Tensor, bias: Tensor) -> Tensor:
    """`int8_product` as processors without VNNI have it: the sum of each two products is cut at 16 bits."""
    products = (levels.int() + zero)[:, None] * weight.int()
    pairs = products.unflatten(2, (-1, 2)).sum(3).clamp(-(2**15), 2**15 - 1)
    return (pairs.sum(2) - zero * weight.int().sum(1)) * step * scales + bias


def test_sums_that_overflow_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "pack_int8", lambda weight: weight)
    monkeypatch.setattr(processor, "int8_product", saturating)
    assert processor._int8_is_exact(NARROW)
    assert not processor._int8_is_exact(WIDE)


@pytest.mark.skipif(not processor._is_x86(), reason="cuts down the instructions of x86")
def test_instructions_that_are_cut_down_are_not_used() -> None:
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", TOLD], env=environment, capture_output=True, text=True, check=True)
    name, bfloat16, limit = json.loads(done.stdout)
    assert name in ("AVX2", "DEFAULT")
    assert not bfloat16
    assert limit in (NARROW.limit, None)


def test_a_precision_that_is_not_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_precision("float32", CPU) == ("float32", "")
    precision, why = usable_precision("int8", torch.device("meta"))
    assert precision == "float32"
    assert why == "no int8 products on this machine's meta: searching in float32"
    monkeypatch.setattr(processor, "native_bfloat16", lambda device: False)
    monkeypatch.setattr(processor, "int8_inputs", lambda: None)
    for name, kind in (("int8", "int8"), ("bf16", "bfloat16")):
        precision, why = usable_precision(name, CPU)
        assert precision == "float32"
        assert why.startswith(f"no {kind} products on this machine's cpu (")


def test_only_devices_that_multiply_bfloat16_do() -> None:
    assert not native_bfloat16(torch.device("meta"))
    if native_bfloat16(CPU):
        assert processor._bfloat16_is_right()
