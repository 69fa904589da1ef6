"""Runs one command and says what it used. A process of its own, since on Linux a child's peak memory is never less than
that of the process that started it: this one stays small.

Its argument is a JSON object: argv, stdin, stdout, log (standard error), env, limit (seconds), sample (the whole tree's
memory too). It prints a JSON object. Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 0.05
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def launch(spec: dict[str, Any]) -> dict[str, Any]:
    """Run the command in a process group of its own and wait for it; past its limit the whole group is killed."""
    with ExitStack() as files:
        stdin = files.enter_context(open(spec["stdin"] or os.devnull, "rb"))
        stdout = files.enter_context(open(spec["stdout"] or os.devnull, "wb"))
        log = files.enter_context(open(spec["log"], "wb"))
        environment = os.environ | spec["env"]
        started = time.perf_counter()
        process = subprocess.Popen(
            spec["argv"], stdin=stdin, stdout=stdout, stderr=log, env=environment, process_group=0
        )
    stopped, ended, sampled = threading.Event(), threading.Event(), [0]

    def stop() -> None:
        stopped.set()
        _kill(process.pid)

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            sampled[0] = max(sampled[0], tree_bytes(process.pid))

    timer = threading.Timer(spec["limit"], stop)
    timer.start()
    if spec["sample"]:
        threading.Thread(target=sample, daemon=True).start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    finally:
        ended.set()
        timer.cancel()
        _kill(process.pid)  # what it left running, or all of it after Ctrl-C
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": process.returncode,
        "stopped": stopped.is_set(),
        "wall_seconds": wall,
        "user_seconds": usage.ru_utime,
        "system_seconds": usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * MAXRSS_UNIT,
        "tree_bytes": sampled[0] or None,
    }


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def tree_bytes(pid: int) -> int:
    """Memory of a process and all below it, pages that several share counted once; 0 where the system does not say."""
    return sum(_proportional_bytes(one) for one in _tree(pid))


def _tree(pid: int) -> list[int]:
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, path.read_text().split())
    return [pid, *(below for child in children for below in _tree(child))]


def _proportional_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n"):
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(json.dumps(launch(json.loads(sys.argv[1]))))
