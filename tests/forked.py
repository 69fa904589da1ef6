"""A command as a process of its own that starts at once: forked from one that has loaded torch and the commands.

It has its own memory, signals, exit code and standard error; starting Python and torch anew takes three seconds of
processor time, each time. What a command does with its standard input and output wants a real start, as
`subprocess.Popen` makes it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["nmt.cli.train", "nmt.cli.reproduce"])
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch reads it as it is loaded; it tells of lost connections


class Forked:
    """main(arguments) at work, with what tests use of `subprocess.Popen`. before: Python that it runs first."""

    def __init__(
        self,
        main: Callable[[list[str]], int],
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        before: str = "",
    ) -> None:
        reading, writing = CONTEXT.Pipe(duplex=False)
        work = (writing, main, list(arguments), dict(environment or {}), before)
        self._process = CONTEXT.Process(target=_work, args=work)
        self._process.start()
        writing.close()
        self.stderr = open(os.dup(reading.fileno()), encoding="utf-8")  # noqa: SIM115 (open as long as the process is)
        reading.close()

    @property
    def returncode(self) -> int | None:
        """As of Popen: negative for a signal that ended it, None while it is at work."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended; returns its exit code."""
        self._process.join(timeout)
        assert self.returncode is not None, f"still at work after {timeout} s"
        return self.returncode

    def communicate(self, timeout: float) -> tuple[None, str]:
        """Until it has ended; what it wrote to standard error stands second."""
        with self.stderr:
            printed = self.stderr.read()
        self.wait(timeout)
        return None, printed


def _work(
    standard_error: Connection,
    main: Callable[[list[str]], int],
    arguments: list[str],
    environment: dict[str, str],
    before: str,
) -> None:
    """What the process does."""
    os.dup2(standard_error.fileno(), 2)
    standard_error.close()
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 (until the process ends)
    os.environ.update(environment)
    exec(before, {})
    sys.exit(main(arguments))
