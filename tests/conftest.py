"""What all tests share. It does not load torch: the process that hands the tests out to others needs none."""

from __future__ import annotations

import os
import signal

import pytest

from bpe.command import num_cores

MAX_PROCESSES = 8
"Each loads torch and prepares its own data; more than this gain little."

# For this process, before torch is loaded, and for those that tests start: threads that spin while they wait take the
# core that another test needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if not any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg"))):  # no GPU, Windows' Linux counted
    # or the kernels for CUDA would not be run at all; read when Triton is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Without -n, and where pytest-xdist is installed, the tests are shared out over the cores of this process.

    Tests of one file mostly stay together, since they share what the file prepares; a process that is done early takes
    over some of the rest. Named files alone are not worth the second or two that each process takes to start.
    """
    option = config.option
    if "PYTEST_XDIST_WORKER" in os.environ:  # what was handed tests, and what a test starts, hands out none
        return
    if getattr(option, "numprocesses", 0) is not None or option.collectonly or option.usepdb:
        return
    if num_cores() > 1 and not all(".py" in name for name in config.args):
        option.numprocesses = min(num_cores(), option.maxprocesses or MAX_PROCESSES)
        option.dist = "worksteal" if option.dist == "no" else option.dist


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors gain nothing from threads, and wait long for one that another process keeps from its core."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_reaches_commands() -> None:
    """A shell starts background jobs, such as a CI's, with SIGINT ignored, and the commands under test inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
