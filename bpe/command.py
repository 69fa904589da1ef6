"""What every command shares: one-line errors and exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from bpe.errors import UserError
from bpe.textfiles import no_space


def num_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors, so that they too are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UserError(message, hint=f"see {self.prog} --help")


def _drop_output() -> None:
    """What standard output still holds cannot be written, and Python would say so once more when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(prog: str, main: Callable[[list[str]], None], argv: Sequence[str] | None = None) -> int:
    """Call a command's main; returns its exit code: 0, 2 user error, 130 Ctrl-C, 141 broken pipe."""
    if sys.stderr is None:  # started with 2>&-: what is printed to None would go to standard output
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
    try:
        main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return 0
    except UserError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        _drop_output()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = error.filename or "standard output"
        print(f"{prog}: error: {no_space(error, where) if full else error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
