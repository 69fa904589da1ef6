"""A command in this process, which spares a second or two of starting Python and torch.

For what a command reads, writes and returns. Signals, pipes, the end of a process and environment variables want a
process of their own.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock


def call(
    main: Callable[[list[str]], int], arguments: Sequence[object], folder: Path, data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """What `subprocess.run` gives for the same command in `folder` with a file of `data` as its standard input."""
    words = list(map(str, arguments))
    with (
        contextlib.chdir(folder),
        tempfile.TemporaryFile("w+", encoding="utf-8") as given,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        given.buffer.write(data)
        given.seek(0)
        with mock.patch("sys.stdin", given), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(words, code, out.buffer.read(), err.buffer.read())
