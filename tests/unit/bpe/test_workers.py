"""Several processes give what one gives, in order; none stays behind, and one that is killed is a UserError."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bpe.chunks
import bpe.workers
from bpe.chunks import ChunkReader
from bpe.errors import UserError
from bpe.workers import AHEAD, rewrite_all

ROOT = Path(__file__).parents[3]


def upper(chunk):
    chunk.text.decode("utf-8")
    return chunk.text.upper()


def slow_at_first(chunk):
    """The first chunks come back last."""
    time.sleep(0.05 if chunk.number < 100 else 0)
    return upper(chunk)


def kill_in_worker(chunk):
    if os.getpid() != PARENT:
        os.kill(os.getpid(), signal.SIGKILL)
    return upper(chunk)


PARENT = os.getpid()


@pytest.fixture(autouse=True)
def _small_chunks_and_workers_at_once(monkeypatch):
    monkeypatch.setattr(bpe.chunks, "CHUNK_BYTES", 200)
    monkeypatch.setattr(bpe.workers, "ALONE_SECONDS", -1.0)


def lines(count):
    return b"".join(b"line %d\n" % number for number in range(1, count + 1))


def children():
    """Processes that this one has started and not waited for."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.add(path.parent.name)
    return found


@pytest.fixture(autouse=True)
def _no_child_is_left():
    before = children()  # other tests of this process may have theirs
    yield
    assert children() <= before


@pytest.mark.parametrize("num_workers", [1, 2, 3, 8])
@pytest.mark.parametrize("rewrite", [upper, slow_at_first])
def test_results_come_in_the_order_of_the_lines(num_workers, rewrite, tmp_path):
    (tmp_path / "text").write_bytes(lines(2000))
    results = rewrite_all(rewrite, ChunkReader([str(tmp_path / "text")]), num_workers)
    assert b"".join(result for _, result in results) == lines(2000).upper()


def test_no_more_than_a_few_chunks_are_read_ahead(tmp_path):
    (tmp_path / "text").write_bytes(lines(2000))
    taken = 0

    class Counting(ChunkReader):
        def __next__(self):
            nonlocal taken
            taken += 1
            return super().__next__()

    given = 0
    for given, _ in enumerate(rewrite_all(slow_at_first, Counting([str(tmp_path / "text")]), 3), 1):
        assert taken - given <= 3 * AHEAD
    assert given > 20


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("bad", [1, 150, 151, 1999])
def test_a_bad_line_is_named_after_all_before_it_were_given(num_workers, bad, tmp_path):
    parts = lines(2000).splitlines(keepends=True)
    parts[bad - 1] = b"b\xffd\n"
    (tmp_path / "text").write_bytes(b"".join(parts))
    given = []
    with pytest.raises(UserError, match=f"text:{bad}: invalid UTF-8: byte 0xff at byte 2"):  # noqa: PT012
        for _, result in rewrite_all(slow_at_first, ChunkReader([str(tmp_path / "text")]), num_workers):
            given.append(result)
    assert b"".join(given) == b"".join(parts[: bad - 1]).upper()


def test_an_input_that_breaks_off_is_named_after_all_before_was_given(tmp_path):
    (tmp_path / "text").write_bytes(lines(200))
    reader = ChunkReader([str(tmp_path / "text")])

    class Breaking(ChunkReader):
        def __next__(self):
            chunk = next(reader, None)
            if chunk is None:
                raise UserError("breaks off")
            return chunk

    given = []
    with pytest.raises(UserError, match="breaks off"):  # noqa: PT012
        for _, result in rewrite_all(slow_at_first, Breaking([str(tmp_path / "text")]), 2):
            given.append(result)
    assert b"".join(given) == lines(200).upper()


def test_an_error_in_a_worker_is_raised_here(tmp_path):
    (tmp_path / "text").write_bytes(lines(200))

    def fails(chunk):
        if chunk.number > 50:
            raise ZeroDivisionError
        return chunk.text

    with pytest.raises(ZeroDivisionError):
        list(rewrite_all(fails, ChunkReader([str(tmp_path / "text")]), 2))


def test_a_killed_worker_is_one_clear_error(tmp_path):
    (tmp_path / "text").write_bytes(lines(200))
    with pytest.raises(UserError, match="a worker process was killed, most likely for want of memory; run again with"):
        list(rewrite_all(kill_in_worker, ChunkReader([str(tmp_path / "text")]), 2))


def test_a_worker_that_cannot_be_started_is_a_user_error(tmp_path, monkeypatch):
    (tmp_path / "text").write_bytes(lines(200))
    fork, forks = os.fork, iter([True, False])

    def one_fork():
        if next(forks):
            return fork()
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", one_fork)
    with pytest.raises(UserError, match="worker process 2 cannot be started"):
        list(rewrite_all(upper, ChunkReader([str(tmp_path / "text")]), 2))


def test_who_stops_listening_leaves_no_workers(tmp_path, monkeypatch):
    (tmp_path / "text").write_bytes(lines(2000))
    fork, workers = os.fork, []

    def noted():
        workers.append(fork())
        return workers[-1]

    monkeypatch.setattr(os, "fork", noted)
    results = rewrite_all(upper, ChunkReader([str(tmp_path / "text")]), 2)
    for _ in range(3):
        next(results)
    results.close()
    assert len(workers) == 2
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_killed_parent_leaves_no_workers(tmp_path):
    """All workers hold the write end of a pipe, which ends only when the last of them has left."""
    code = (
        "import bpe.workers, bpe.chunks, sys\n"
        "bpe.workers.ALONE_SECONDS, bpe.chunks.CHUNK_BYTES = -1.0, 10\n"
        "for _, result in bpe.workers.rewrite_all(lambda chunk: chunk.text, bpe.chunks.ChunkReader(['-']), 3):\n"
        "    sys.stdout.buffer.write(result); sys.stdout.flush()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        for line in (b"one\n", b"two\n", b"three\n"):  # answered one by one, by the workers too
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        process.kill()
        assert process.stdout.read() == b""
