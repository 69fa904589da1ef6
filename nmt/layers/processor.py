"""What this machine multiplies, in which precisions, and in which way fastest: the one place that knows.

A precision counts as there once products in it came out right. The fast way is looked up and not timed, so that equal
runs on one machine are equal to the bit; `scripts/bench products` times what the table here was chosen by. All of it
follows the instructions that torch and oneDNN use, which the environment may cut down (ATEN_CPU_CAPABILITY=avx2,
ONEDNN_MAX_CPU_ISA=AVX2), so that one processor can be tried as another kind.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass

import torch
from torch import Tensor

from nmt.layers.onednn import int8_product, pack_int8, signed_sums

INTEL_AND_AMD = ("x86_64", "AMD64")
INT8_SIZES = (6, 64, 1000)
"Inputs of the products that int8 is tried with."


@dataclass(frozen=True)
class Int8Inputs:
    """How inputs are written in unsigned 8 bits: `zero` stands for 0, and levels reach `limit` to either side of it."""

    zero: int
    limit: int


WIDE, NARROW = Int8Inputs(128, 127), Int8Inputs(64, 63)
"""All 8 bits, and 7 of them.

Without instructions for it (VNNI), two products are added in 16 bits, which two of 255 x 127 overflow in silence and
two of 127 x 127 do not.
"""


def instruction_set() -> str:
    """What torch's own kernels use, in its words: AVX512, AVX2, DEFAULT (neither), SVE256 ..."""
    return str(torch.backends.cpu.get_cpu_capability())


def has_onednn(device: torch.device) -> bool:
    """Whether oneDNN multiplies on this device."""
    return device.type == "cpu" and torch.backends.mkldnn.is_available()


@functools.cache
def names_onednn() -> bool:
    """Whether float32 products on the CPU are faster by oneDNN, called by name, than by what torch calls (MKL).

    On AMD's processors with AVX-512 they are; where there is AVX2 alone, only those with a packed weight.
    """
    return torch.backends.mkldnn.is_available() and _is_x86() and instruction_set().startswith("AVX512")


@functools.cache
def packs_repeated() -> bool:
    """Whether a weight that is multiplied by at many steps is to be packed for oneDNN first."""
    return torch.backends.mkldnn.is_available() and _is_x86() and instruction_set() == "AVX2"


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_bfloat16()


@functools.cache
def int8_inputs() -> Int8Inputs | None:
    """The finest 8-bit inputs with which this CPU's products come out right; None: there are none."""
    if not torch.backends.mkldnn.is_available():
        return None
    return next((inputs for inputs in (WIDE, NARROW) if _int8_is_exact(inputs)), None)


@functools.cache
def sums_signed() -> bool:
    """Whether `signed_sums` are right, and faster than `int8_product` where they are few: with VNNI they are."""
    try:
        return int8_inputs() == WIDE and all(_signed_sums_are_right(size) for size in INT8_SIZES)
    except (AttributeError, RuntimeError):
        return False


def usable_precision(precision: str, device: torch.device) -> tuple[str, str]:
    """The precision that search computes in where `precision` is asked for, and why it is another one, or ''."""
    machine = f"this machine's {device.type}" + (f" ({instruction_set()})" if device.type == "cpu" else "")
    if precision == "int8" and (device.type != "cpu" or int8_inputs() is None):
        return "float32", f"no int8 products on {machine}: searching in float32"
    if precision == "bf16" and not native_bfloat16(device):
        return "float32", f"no bfloat16 products on {machine}: searching in float32, which is faster and exact"
    return precision, ""


def _is_x86() -> bool:
    return platform.machine() in INTEL_AND_AMD


@functools.cache
def _cpu_bfloat16() -> bool:
    """By instructions for it; an emulation is slower than float32 by far."""
    if not torch.backends.mkldnn.is_available():
        return False
    if _is_x86():
        named = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        there = any(getattr(torch.cpu, name, bool)() for name in named)
        if not (there and instruction_set().startswith("AVX512")):
            return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _bfloat16_is_right()
    except (AttributeError, RuntimeError):
        return False


def _bfloat16_is_right() -> bool:
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(size, generator=generator).bfloat16() for size in ((20, 70), (70, 40)))
    difference = torch.mm(left, right).float() - torch.mm(left.float(), right.float())
    return float(difference.abs().max()) < 0.2  # half a step of results up to 32


def _int8_is_exact(inputs: Int8Inputs) -> bool:
    """Whether sums of the largest products, of one sign and of both, are the whole numbers that they should be."""
    try:
        return all(_int8_error(size, inputs) < 1e-3 for size in INT8_SIZES)
    except (AttributeError, RuntimeError):
        return False


def _int8_error(size: int, inputs: Int8Inputs) -> float:
    """The largest error of products of `size` inputs, in units of one input's step and one weight's."""
    weight, levels = _largest(size, inputs.limit)
    found = int8_product(levels, inputs.zero, 1.0, pack_int8(weight), torch.ones(len(weight)), torch.zeros(len(weight)))
    exact = levels.double() @ weight.double().t()
    return float((found.double() - exact).abs().max())


def _signed_sums_are_right(size: int) -> bool:
    weight, levels = _largest(size, WIDE.limit)
    exact = levels.double() @ weight.double().t()
    return bool((signed_sums(levels, weight.t().contiguous()).double() == exact).all())


def _largest(size: int, limit: int) -> tuple[Tensor, Tensor]:
    """Weight, [24, size], and levels, [18, size], int8, as large as they may be, of one sign and of both."""
    signs = torch.ones(2, size, dtype=torch.int64)
    signs[1, ::2] = -1
    return (127 * signs.repeat(12, 1)).to(torch.int8), (limit * signs.repeat(9, 1)).to(torch.int8)
