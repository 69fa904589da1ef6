"""The work on shards done by the workers of a Dask cluster, on this machine or on many that share a file system.

A worker that is lost costs time only: its tasks are done again elsewhere, and a task that is done twice writes the same
file. What a cluster is sent is code, so its network must be trusted.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import nmt
from bpe.errors import UserError
from nmt.packages import import_package
from nmt.prepare.executors import Executor, Result, TaskT, in_order
from nmt.scratch import written_whole

LOCAL = "local"
"In place of an address: workers that are started for the run, on this machine."
CONNECT_SECONDS = 10
LOST_SECONDS = 30
"How long a cluster may be without any worker."
POLL_SECONDS = 2
TASKS_PER_WORKER = 4
FEWEST_TASKS = 32
"Submitted ahead at least: workers may come in the course of a run."


@contextmanager
def dask_workers(address: str, num_workers: int, scratch: Path, corpus: Sequence[Path]) -> Iterator[Executor]:
    """A cluster's workers for as long as the context lasts.

    address: tcp://HOST:PORT of its scheduler, or LOCAL for num_workers processes. No cluster there, or a worker that
    does not see the scratch folder and the corpus, is a UserError.
    """
    distributed = import_package("distributed", "--dask")
    with _without_logging(), _client(distributed, address, num_workers, scratch) as client:
        check_sight(client, address, scratch, corpus)
        yield DaskWorkers(distributed, client, address)


@contextmanager
def _without_logging() -> Iterator[None]:
    """Dask reports every lost connection; what matters of it is one line of ours."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _client(distributed: ModuleType, address: str, num_workers: int, scratch: Path) -> Iterator[Any]:
    if address != LOCAL:
        with _connect(distributed, address) as client:
            yield client
        return
    scratch_space = import_package("dask", "--dask").config.set({"temporary-directory": str(scratch)})
    with scratch_space, _local_cluster(distributed, num_workers) as cluster, _connect(distributed, cluster) as client:
        yield client


def _local_cluster(distributed: ModuleType, num_workers: int) -> Any:
    """Worker processes that nothing outside this machine can reach.

    Ctrl-C in a terminal is sent to them too. It is blocked while their parent thread is started, which hands that down
    to all processes it ever starts; this thread still gets it.
    """
    resource_tracker.ensure_running()  # which would unblock it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return distributed.LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            memory_limit=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _connect(distributed: ModuleType, cluster: Any) -> Any:
    try:
        client = distributed.Client(cluster, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        problem = f"no Dask cluster there ({error})"
        hint = "start one with dask scheduler and dask worker, or give --dask no address to work on this machine"
        raise UserError(problem, where=cluster, hint=hint) from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        raise UserError("the Dask cluster has no workers", where=cluster, hint="start some: dask worker") from None
    return client


def check_sight(client: Any, address: str, scratch: Path, corpus: Sequence[Path]) -> None:
    """UserError for a worker that does not see the files that this machine sees."""
    token = uuid4().hex
    (scratch / token).write_text(token, encoding="ascii")
    files = [(str(path.resolve()), path.stat().st_size) for path in corpus]
    for worker, answer in client.run(look, str(scratch / token), files, on_error="return").items():
        if isinstance(answer, OSError):
            continue  # it is gone since
        if isinstance(answer, Exception):
            hint = "install this toolkit, in the same version, where the workers run"
            raise UserError(f"worker {worker} cannot do the work ({answer!r})", where=address, hint=hint)
        if answer:
            hint = "the corpus and the folder of --prepared must have the same paths everywhere: use a shared disk"
            raise UserError(f"worker {worker} {answer}", where=address, hint=hint)


def look(marker: str, files: Sequence[tuple[str, int]]) -> str:
    """What is wrong with a worker's sight, "" if nothing. marker: a file that holds its name. files: with sizes."""
    path = Path(marker)
    try:
        seen = path.read_text(encoding="ascii") == path.name
        with written_whole(path.with_name(f"{path.name}.{uuid4().hex}")) as stream:
            stream.write(b"here")
    except OSError as error:
        return f"cannot use {path.parent} ({error.strerror})"
    if not seen:
        return f"sees another {path.parent} than this machine"
    for name, size in files:
        if not os.path.isfile(name) or os.path.getsize(name) != size:
            return f"does not see {name}"
    return ""


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of what words and pieces depend on."""
    found = {"nmt": nmt.__version__, "Unicode": unicodedata.unidata_version}
    for package in ("sacremoses", "sentencepiece"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def do_as_here(function: Callable[[TaskT], Result], task: TaskT, wanted: dict[str, str]) -> Result:
    """Do a task on a worker, if it would come out as on the machine that asks for it."""
    for name in wanted:
        if versions().get(name) != wanted[name]:
            problem = f"a worker has {name} {versions().get(name, 'not installed')}, this machine {wanted[name]}"
            raise UserError(problem, where=socket.gethostname(), hint="install the same versions everywhere")
    return function(task)


class DaskWorkers:
    """The workers of a cluster as an executor; more may come and some may go while it works."""

    def __init__(self, distributed: ModuleType, client: Any, address: str) -> None:
        self._distributed, self._client, self._address = distributed, client, address
        self.num_workers = max(1, sum(client.nthreads().values()))

    def map(self, function: Callable[[TaskT], Result], tasks: Sequence[TaskT]) -> Iterator[Result]:
        """Results in the order of the tasks; a cluster that is lost for good is a UserError."""
        run, numbers = uuid4().hex, count()

        def submit(task: TaskT) -> Any:
            key = f"{function.__name__}-{run}-{next(numbers)}"
            return self._client.submit(do_as_here, function, task, versions(), key=key, pure=False)

        return in_order(submit, self._result, tasks, max(FEWEST_TASKS, TASKS_PER_WORKER * self.num_workers))

    def _result(self, future: Any) -> Any:
        alone_since: float | None = None
        try:
            while True:
                try:
                    return future.result(timeout=POLL_SECONDS)
                except TimeoutError:
                    if future.status == "error":  # the task's own
                        raise
                alone_since = None if self._client.nthreads() else alone_since or time.monotonic()
                if alone_since and time.monotonic() - alone_since > LOST_SECONDS:
                    raise self._lost(f"no workers are left in the Dask cluster for {LOST_SECONDS} s")
        except self._distributed.KilledWorker:
            problem = "workers were killed, one after another, over the same text, most likely for want of memory"
            hint = "give each worker more memory or fewer threads"
            raise UserError(problem, where=self._address, hint=hint) from None
        except (CancelledError, self._distributed.comm.CommClosedError):
            raise self._lost("the connection to the Dask cluster was lost") from None

    def _lost(self, problem: str) -> UserError:
        return UserError(problem, where=self._address, hint="run nmt-prep again when the cluster is back")
