"""Workers that are stopped in the middle of their work keep no one waiting."""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from pathlib import Path

import pytest

import nmt.prepare.executors as executors

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked there alone")


def begin_to_send(place: str) -> None:
    """What a worker is doing that is stopped while it sends a large result."""
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 1_000) + b"x")
    Path(place).touch()
    time.sleep(600)


def too_long(number: int, frame: object) -> None:
    raise TimeoutError


def interrupted_while_sending(begun: Path) -> None:
    with executors.local_workers(2) as executor:
        assert isinstance(executor, executors.Forked)
        executor._pool.submit(begin_to_send, str(begun))
        while not begun.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_a_worker_stopped_while_it_sends_a_result_keeps_no_one_waiting(tmp_path):
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(120)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_while_sending(tmp_path / "begun")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
