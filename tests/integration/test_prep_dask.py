"""nmt-prep on a Dask cluster: the same bytes, also when workers are lost, and one line when all are."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import nmt.prepare.dask_cluster as dask_cluster
import nmt.prepare.shards as parts
from bpe.errors import UserError
from nmt.cli.prep import main
from tests.prep_corpus import contents, fails, sentences, write_corpus, write_pairs

pytest.importorskip("sacremoses")
dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")

ROOT = Path(__file__).parents[2]
NOBODY = "tcp://127.0.0.1:9"


@contextmanager
def cluster_of(num_workers, folder):
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        dask.config.set({"temporary-directory": str(folder)}),
        distributed.LocalCluster(n_workers=num_workers, threads_per_worker=1, memory_limit=0, **quiet) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with cluster_of(2, tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts, "STRIDE", 40)
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 3)
    return write_corpus(tmp_path / "corpus")


def prepare(name, *arguments):
    assert main(["--prepared", name, "--joint-bpe", "50", "--quiet", *arguments]) == 0
    return contents(name)


def worker_processes(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(1)
        return sorted(client.run(os.getpid).values())


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def when(condition, action):
    """Do something in a thread as soon as a condition holds."""

    def watch():
        wait_until(condition)
        action()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_the_same_bytes_as_one_process(corpus, cluster):
    pairs = sentences(100)
    shifted = list(zip((pair[0] for pair in pairs[:-1]), (pair[1] for pair in pairs[1:]), strict=True))
    write_pairs(corpus, "train.more", pairs + pairs + shifted + sentences(5, seed=1) + [("OK &lt;", "OK &lt;")])
    options = ["--deduplicate", "--drop", "held-out", "identical", "shifted", "--unescape-entities"]
    assert prepare("one", *options, "--threads", "1") == prepare("many", *options, "--dask", cluster.scheduler_address)
    assert sorted(os.listdir(".")) == ["corpus", "many", "one"]


@pytest.mark.parametrize("pattern", ["train.*.tokenized", "train.*.npz"])
def test_a_killed_worker_changes_nothing(corpus, cluster, pattern):
    write_pairs(corpus, "train", sentences(4000))
    expected = prepare("one", "--threads", "1")
    victim = worker_processes(cluster)[0]
    killed = when(lambda: list(Path(".").glob(f".many.part-*/{pattern}")), lambda: os.kill(victim, signal.SIGKILL))
    assert prepare("many", "--dask", cluster.scheduler_address) == expected
    killed.join(1)
    assert not killed.is_alive()
    assert victim not in worker_processes(cluster)
    assert sorted(os.listdir(".")) == ["corpus", "many", "one"]


def test_bad_text_is_named_as_without_dask(corpus, cluster, capsys, monkeypatch):
    monkeypatch.setattr("nmt.prepare.sanity.SAMPLE_PAIRS", 10)
    lines = (corpus / "train.de").read_bytes().split(b"\n")
    lines[251] = b"\xf6"
    (corpus / "train.de").write_bytes(b"\n".join(lines))
    message = fails(capsys, "--dask", cluster.scheduler_address)
    assert message.startswith("corpus/train.de:252: invalid UTF-8: byte 0xf6 at byte 1 of the line")
    assert os.listdir(".") == ["corpus"]


def test_no_cluster_at_the_address(corpus, capsys, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    assert f"{NOBODY}: no Dask cluster there (Timed out trying to connect" in fails(capsys, "--dask", NOBODY)
    assert "no Dask cluster there" in fails(capsys, "--dask", "nonsense://x")
    assert os.listdir(".") == ["corpus"]


def test_a_cluster_without_workers(corpus, capsys, monkeypatch, tmp_path_factory):
    with cluster_of(0, tmp_path_factory.mktemp("dask")) as empty:
        monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1)
        assert "the Dask cluster has no workers; start some" in fails(capsys, "--dask", empty.scheduler_address)
    assert os.listdir(".") == ["corpus"]


def test_workers_or_a_cluster_that_go_for_good(corpus, capsys, monkeypatch, tmp_path_factory):
    monkeypatch.setattr(dask_cluster, "POLL_SECONDS", 0.2)
    write_pairs(corpus, "train", sentences(20_000))

    def begun():
        return list(Path(".").glob(".prepared.part-*/train.*"))

    with cluster_of(1, tmp_path_factory.mktemp("dask")) as leaving:
        for action, seconds, expected in (
            (lambda: leaving.scale(0), 0.5, "no workers are left in the Dask cluster for 0.5 s"),
            (leaving.close, 60, "the connection to the Dask cluster was lost; run nmt-prep again when"),
        ):
            monkeypatch.setattr(dask_cluster, "LOST_SECONDS", seconds)
            leaving.scale(1)
            worker_processes(leaving)
            watch = when(begun, action)
            assert expected in fails(capsys, "--dask", leaving.scheduler_address)
            watch.join(10)
            assert os.listdir(".") == ["corpus"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_no_workers_and_nothing_finished(corpus, number):
    write_pairs(corpus, "train", sentences(20_000))
    command = [sys.executable, "-m", "nmt.cli.prep", "--joint-bpe", "50", "--quiet", "--threads", "2", "--dask"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(Path(".").glob(".prepared.part-*/train.*")))
    (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    assert number == signal.SIGKILL or message == "nmt-prep: interrupted\n"
    wait_until(lambda: not [other for other in processes() if os.getsid(other) == process.pid])
    assert not Path("prepared").exists()
    write_corpus(corpus)
    assert main(["--joint-bpe", "50", "--quiet"]) == 0
    assert sorted(os.listdir(".")) == ["corpus", "prepared"]


def processes():
    """Ids of the processes that run, without those that died meanwhile."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if path.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z":
                os.getsid(int(path.name))
                yield int(path.name)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda marker, text: marker.unlink(), r"worker tcp://b:1 cannot use .*there \(No such file"),
        (lambda marker, text: marker.write_text("?"), "worker tcp://b:1 sees another .*there than this machine"),
        (lambda marker, text: text.unlink(), "worker tcp://b:1 does not see .*text; the corpus and the folder of"),
        (lambda marker, text: text.write_text("an older one"), "worker tcp://b:1 does not see .*text"),
    ],
)
def test_a_worker_that_does_not_share_the_files(tmp_path, change, expected):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "text").write_text("a dog")

    class OtherMachine:
        def run(self, function, marker, files, on_error):
            shutil.copytree(here, there)
            marker = there / Path(marker).name
            change(marker, there / "text")
            return {"tcp://b:1": function(str(marker), [(str(there / Path(name).name), size) for name, size in files])}

    with pytest.raises(UserError, match=expected):
        dask_cluster.check_sight(OtherMachine(), "tcp://a:1", here, [here / "text"])


def test_workers_of_another_version_are_refused():
    wanted = dask_cluster.versions()
    assert dask_cluster.do_as_here(len, "task", wanted) == 4
    with pytest.raises(UserError, match=r"a worker has sacremoses .*, this machine 0\.0\.1; install the same"):
        dask_cluster.do_as_here(len, "task", wanted | {"sacremoses": "0.0.1"})
