"""Two versions of the toolkit side by side: an update of Table 8's size and a search, in processes that take turns."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bpe.errors import UserError
from scripts.benchmarks.gpu_work import Scale
from scripts.benchmarks.report import Column, Row, Table

DRIVER = Path(__file__).with_name("drivers") / "gpu_quick.py"
ROUNDS = 2
COLUMNS = (
    Column("version", "version"),
    Column("update ms", "update", ",.2f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column("search ms/step", "search_step", ",.2f"),
    Column("update, times as fast", "faster", ".3f"),
)


def compared(root: Path, against: str | None, scale: Scale, device: torch.device, threads: int) -> Table:
    """The table of this version and of the other one, if there is one. against: a commit, or a folder."""
    spec = {**dataclasses.asdict(scale), "device": device.type, "threads": threads}
    with other_version(root, against) as other:
        versions = {"this": root} | ({} if other is None else {str(against): other})
        found: dict[str, list[Row]] = {name: [] for name in versions}
        for _ in range(ROUNDS if other else 1):
            for name, folder in versions.items():
                found[name].append(_measured(folder, spec))
    rows: list[Row] = []
    for name, runs in found.items():
        rows.append({"version": name} | {key: statistics.median(run[key] for run in runs) for key in runs[0]})
    for row in rows:
        row["faster"] = rows[-1]["update"] / row["update"]
    return Table(title=f"Side by side, {scale.sentences} sentences in bf16", columns=COLUMNS, rows=rows)


@contextmanager
def other_version(root: Path, against: str | None) -> Iterator[Path | None]:
    """The folder of another version, for a while: made of a commit where no folder is named."""
    if against is None or Path(against).is_dir():
        yield None if against is None else Path(against).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bench-version-") as folder:
        archive = subprocess.run(["git", "-C", str(root), "archive", against], capture_output=True, check=False)
        if archive.returncode:
            told = archive.stderr.decode(errors="replace").strip().splitlines()
            problem = f"no folder and no commit of {root} ({told[-1] if told else 'git says nothing'})"
            raise UserError(problem, where=f"--against {against}", hint="name a folder that holds the other version")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def _measured(folder: Path, spec: dict[str, object]) -> Row:
    """The figures of one process that runs the version in a folder."""
    env = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-P", str(DRIVER), json.dumps(spec)]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last = ([line for line in done.stderr.split("\n") if line.strip()] or ["no message"])[-1]
        raise UserError(f"failed: {last}", where=folder)
    row: Row = json.loads(done.stdout.strip().split("\n")[-1])
    return row
