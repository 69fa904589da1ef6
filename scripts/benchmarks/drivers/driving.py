"""What the drivers of `scripts/bench translate` share: how one tool's translation is timed.

A driver is a script for the interpreter of its tool's environment, which has PyTorch but not this repository. Its
argument is a JSON object; it prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Spec = dict[str, Any]
"What is asked for: see `scripts.benchmarks.peers_translate`."


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A tool ready to translate."""

    translate: Callable[[list[str]], list[str]]
    "Lines of pieces between spaces -> as many such lines, in batches of the asked number of sentences."
    parameters: int
    rows: int
    "Of the vocabulary, specials included."
    decoder: Any
    "None: what it does inside cannot be watched."
    step: str = "forward"
    "Name of the decoder's method that advances hypotheses by one piece."


def drive(make: Callable[[Spec], None], load: Callable[[Spec], Loaded]) -> None:
    """Make a model folder with fresh weights, or load one and time its translation, as the argument says."""
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever the tool prints goes to standard error
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    found: dict[str, Any] = {}
    if spec["action"] == "make":
        make(spec)
    else:
        found = {"import_seconds": time.time() - spec["launched"]} | _timed(spec, load)
    os.write(answer, json.dumps(found).encode() + b"\n")


def read_lines(path: str) -> list[str]:
    """Lines without their line feeds."""
    return Path(path).read_text(encoding="utf-8").split("\n")[:-1]


def unique_parameters(model: torch.nn.Module) -> int:
    """Each storage counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _timed(spec: Spec, load: Callable[[Spec], Loaded]) -> dict[str, Any]:
    lines = read_lines(spec["source"])
    cuda = spec["device"] == "cuda"

    def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
        started = time.perf_counter()
        result = work()
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started, result

    load_seconds, tool = seconds(lambda: load(spec))
    steps = _steps(tool, lines[: spec["batch"]])
    tool.translate(lines[:1])
    used = time.process_time()
    translate_seconds, translations = seconds(lambda: tool.translate(lines))
    used = time.process_time() - used
    assert len(translations) == len(lines)
    step = max(1, len(lines) // max(1, spec["alone"]))
    picked = lines[step // 2 :: step][: spec["alone"]]  # of all lengths
    return {
        "load_seconds": load_seconds,
        "translate_seconds": translate_seconds,
        "processor_seconds": used,
        "sentences": len(lines),
        "alone_seconds": [seconds(lambda line=line: tool.translate([line]))[0] for line in picked],
        "lengths": sorted({len(line.split()) for line in translations}),
        "decoder_steps": steps,
        "parameters": tool.parameters,
        "rows": tool.rows,
        "device_bytes": torch.cuda.max_memory_allocated() if cuda else None,
    }


def _steps(tool: Loaded, lines: list[str]) -> int:
    """How often one batch calls the decoder, 0 where that cannot be seen; warms up, too."""
    if tool.decoder is None:
        tool.translate(lines)
        return 0
    original, count = getattr(tool.decoder, tool.step), 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return original(*args, **kwargs)

    setattr(tool.decoder, tool.step, counting)
    tool.translate(lines)
    delattr(tool.decoder, tool.step)
    return count
