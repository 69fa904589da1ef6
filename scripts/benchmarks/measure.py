"""Times commands as whole processes, tools taking turns, and sums up what they used."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bpe.errors import UserError

LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One process, with the processes it starts."""

    argv: Sequence[str]
    stdin: Path | None = None
    stdout: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """What is measured under one name: commands that run one after another."""

    name: str
    steps: Sequence[Command]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a tool used. Times in seconds, of all its processes that have ended."""

    wall_seconds: float
    user_seconds: float
    system_seconds: float
    peak_bytes: int
    "Largest resident size of any one process (the kernel's own figure)."
    tree_bytes: int | None
    "Largest sum over the process tree, shared pages counted once, sampled; None where that was not asked for."
    stopped: bool
    "It was killed at the limit: every figure is a lower bound."


def take_turns(tools: Sequence[Tool], *, rounds: int, limit: float, sample: bool = False) -> dict[str, Usage]:
    """Run A B C, A B C, ... and return the median of each figure. One that reached the limit is not run again."""
    found: dict[str, list[Usage]] = {tool.name: [] for tool in tools}
    for number in range(1, rounds + 1):
        for tool in tools:
            if found[tool.name] and found[tool.name][-1].stopped:
                continue
            print(f"round {number} of {rounds}: {tool.name}", file=sys.stderr, flush=True)
            found[tool.name].append(run_once(tool, limit=limit, sample=sample))
    return {name: _median(usages) for name, usages in found.items()}


def run_once(tool: Tool, *, limit: float = 86_400, sample: bool = False) -> Usage:
    """Run a tool's commands: times add up, memory is that of the largest. A command that fails is a UserError."""
    usages: list[Usage] = []
    for step in tool.steps:
        left = limit - sum(usage.wall_seconds for usage in usages)
        usages.append(_run(step, limit=max(left, 0.1), sample=sample))
        if usages[-1].stopped:
            break
    trees = [usage.tree_bytes for usage in usages if usage.tree_bytes is not None]
    return Usage(
        wall_seconds=sum(usage.wall_seconds for usage in usages),
        user_seconds=sum(usage.user_seconds for usage in usages),
        system_seconds=sum(usage.system_seconds for usage in usages),
        peak_bytes=max(usage.peak_bytes for usage in usages),
        tree_bytes=max(trees, default=None),
        stopped=usages[-1].stopped,
    )


def _run(command: Command, *, limit: float, sample: bool) -> Usage:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "stderr")
        spec: dict[str, Any] = {"argv": list(command.argv), "env": dict(command.env), "log": str(log)}
        spec |= {"stdin": command.stdin and str(command.stdin), "stdout": command.stdout and str(command.stdout)}
        spec |= {"limit": limit, "sample": sample}
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(spec)]
        done = subprocess.run(launcher, stdout=subprocess.PIPE, check=True, text=True)
        usage = json.loads(done.stdout)
        code = usage.pop("code")
        if code and not usage["stopped"]:
            lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "no message")
            raise UserError(f"failed with exit code {code}: {last}", where=" ".join(command.argv))
    return Usage(**usage)


def _median(usages: Sequence[Usage]) -> Usage:
    if usages[-1].stopped:
        return usages[-1]
    fields = {key: [asdict(usage)[key] for usage in usages] for key in asdict(usages[0])}
    trees = [value for value in fields.pop("tree_bytes") if value is not None]
    return Usage(
        stopped=bool(fields.pop("stopped")[-1]),
        tree_bytes=int(statistics.median(trees)) if trees else None,
        peak_bytes=int(statistics.median(fields.pop("peak_bytes"))),
        **{key: statistics.median(values) for key, values in fields.items()},
    )
