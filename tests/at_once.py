"""Workers of a comparison in this process: it spares the start of one of its own for each model."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from nmt.reproduce import schedule, worker


class AtOnce:
    """A worker whose work is done in this process by the time it is there."""

    returncode = 0

    def __init__(self, command: list[str], *, stderr: BinaryIO, **_: object) -> None:
        with contextlib.redirect_stderr(io.TextIOWrapper(stderr)) as log:
            worker.perform(worker.WorkerTask(**json.loads(command[-1])))
            log.detach()

    def poll(self) -> int:
        return self.returncode


def work_here(patch: pytest.MonkeyPatch) -> None:
    """The workers of comparisons of this process are no processes from here on."""
    patch.setattr(schedule, "POLL_SECONDS", 0)
    patch.setattr(schedule, "subprocess", SimpleNamespace(Popen=AtOnce, DEVNULL=subprocess.DEVNULL))
