"""Which device and how many threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from bpe.command import num_cores
from bpe.errors import UserError

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"Names of glibc's malloc.h."


def pick_device(name: str) -> torch.device:
    """auto, cpu, cuda or mps -> a device that is there, or a UserError."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        present = ", ".join(kind for kind, there in available.items() if there)
        raise UserError(f"no {name} device on this machine", where="--device", hint=f"available: {present}")
    if name == "cuda":
        keep_sums_whole()
    return torch.device(name)


def keep_sums_whole() -> None:
    """Have CUDA's products add up in float32, and cuBLAS in one order whenever it is asked for the same product.

    To be called before the first product: cuBLAS takes its workspace then. The user's own setting of it counts.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def repeat_bits(device: torch.device) -> None:
    """Have everything computed in an order of its own, so that a run that is made again gives the same bits.

    Where torch knows of no such order for something, it warns. A CPU's operations have one as they are.
    """
    if device.type != "cuda":
        return
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Or every buffer would be filled before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def set_threads(count: int) -> int:
    """Use `count` CPU threads, or as many as this process may use for 0; returns the number."""
    cores = num_cores()
    if count > 4 * cores:
        raise UserError(f"{count} threads on {cores} cores", where="--threads", hint=f"use {cores} or fewer")
    torch.set_num_threads(count or cores)
    return count or cores


def num_threads() -> int:
    """The number of CPU threads that `set_threads` has set last."""
    return torch.get_num_threads()


def keep_freed_memory() -> None:
    """Have the C library keep what large tensors give back for the next ones, until the process ends.

    It would return it to the system, which hands it out again page by page, each filled with zeros: a seventh of the
    time of a training update. The most memory held at once stays the same. For commands; only glibc has the switch.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such library, function or way to name it
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def answers_at_once(device: torch.device) -> bool:
    """Whether tensors can be asked for their numbers at no cost; elsewhere that waits for all that was begun before."""
    return device.type == "cpu"


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; nobody waits for a copy from the processor to CUDA, which the device makes in its turn."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def peak_memory(device: torch.device) -> int:
    """Most bytes this process has held at once: on CUDA of that GPU, elsewhere resident; 0 where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)


def arithmetic(device: torch.device, threads: int, workers: int) -> dict[str, str | int]:
    """What decides how sums are rounded besides the configuration: where these differ, so do a run's last bits."""
    if device.type == "cuda":
        by: dict[str, str | int] = {"GPU": torch.cuda.get_device_name(device)}
    else:
        by = {"threads": threads, "processor": processor(), "instructions": torch.backends.cpu.get_cpu_capability()}
    return {"workers": workers, **by, "torch": str(torch.__version__)}


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
"What torch, CUDA's libraries and MPS say where they raise a plain RuntimeError."


def out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the device refused memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


@contextlib.contextmanager
def enough_memory(refused: UserError) -> Iterator[None]:
    """Raise `refused`, which says what to lower, where the machine or the device refuses memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise refused from None


def machine() -> str:
    """The processor (and the GPU where there is one), and the number of cores this process may use."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor()}, {num_cores()} cores{gpu}"


def processor() -> str:
    """The processor's name."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").split("\n")
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return name
