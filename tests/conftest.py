"""What all tests share."""

from __future__ import annotations

import signal

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors gain nothing from threads, and wait long for one that another process keeps from its core."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_reaches_commands() -> None:
    """A shell starts background jobs, such as a CI's, with SIGINT ignored, and the commands under test inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
