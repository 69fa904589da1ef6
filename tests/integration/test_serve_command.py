"""nmt-serve as a process: a client that others wrote, signals, slow senders, wrong uses."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
import time
import urllib.request

import pytest

from nmt.cli.serve import main
from nmt.folder.bundle import load_bundle
from nmt.translate.translator import Translator
from tests.forked import Forked
from tests.in_process import call
from tests.tiny_model import make_model_folder

SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def server(folder):
    """The process, once it answers, and its port. The last test ends it."""
    flags = ["--port", "0", "--set", "serve.receive_timeout=0.4"]
    process = Forked(main, ["--model", str(folder), *flags])
    said = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
    assert found, said
    yield process, int(found[1])
    if process.returncode is None:
        process.kill()


@pytest.fixture
def running(server):
    return server[1]


def post(port, fields):
    url, headers = f"http://127.0.0.1:{port}/translate", {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(fields).encode(), headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.loads(answer.read())


def received(connection):
    """All that comes until the other side closes."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_libretranslatepy(folder, running):
    client = pytest.importorskip("libretranslatepy").LibreTranslateAPI(f"http://127.0.0.1:{running}/")
    expected = Translator.load(folder).translate(["ab cd."])
    assert client.translate("ab cd.", "en", "de") == expected[0]
    assert client.translate("ab cd.", "auto", "de")
    assert client.languages() == [{"code": "en", "name": "English", "targets": ["de"]}]
    assert {found["language"] for found in client.detect("Guten Tag")} == {"en", "de"}


def test_slow_senders_are_cut_off_and_others_answered(running):
    head = b"POST /translate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    address = ("127.0.0.1", running)
    with (
        socket.create_connection(address, SECONDS) as silent,
        socket.create_connection(address, SECONDS) as slow,
        socket.create_connection(address, SECONDS) as half,
        socket.create_connection(address, SECONDS) as broken,
    ):
        slow.sendall(head)
        half.sendall(head[:20])
        broken.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert post(running, {"q": "ab", "source": "en", "target": "de"})
        assert received(silent) == received(half) == b""
        assert b" 400 " in received(broken)
        assert b" 408 " in received(slow)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--require-key"], "name the file of keys with --keys"),
        (["--keys", "missing"], "missing"),
        (["--port", "70000"], "serve.port: 70000 is out of range: it must be 0 to 65535"),
        (["--char-limit", "-1"], "serve.char_limit: -1 is out of range"),
        (["--host", "256.1.1.1"], "cannot be listened on"),
        (["--sampling"], "a server draws no translations at random"),
        (["--model", "a=model", "a=model"], "two models are called 'a'"),
        (["--model", "a="], "--model: 'a=' names no folder; give it as NAME=DIR or DIR"),
        (["--model", "nowhere"], "nowhere"),
        (["--set", "model.tying=untied"], "fixed once a model is trained"),
    ],
)
def test_wrong_uses_are_one_line(folder, flags, problem):
    arguments = flags if "--model" in flags else ["--model", folder, *flags]
    done = call(main, arguments, folder.parent)
    assert done.returncode == 2
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("nmt-serve: error: ")
    assert problem in line


def test_a_port_in_use_is_named(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = call(main, ["--model", folder, "--port", port], folder.parent)
    assert done.returncode == 2
    assert f"127.0.0.1:{port}: cannot be listened on" in done.stderr.decode()


def test_missing_packages_are_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = call(main, ["--model", folder], folder.parent)
    assert done.returncode == 2
    assert "pip install uvicorn" in done.stderr.decode()


def test_a_model_keeps_its_settings_but_for_sentences(folder):
    from nmt.cli.serve import translator_of

    bundle = load_bundle(folder, Translator.load(folder).bundle.model.device)
    assert translator_of(bundle, {}).search.split_sentences
    assert translator_of(bundle, {}).search.beam == bundle.config.search.beam
    assert not translator_of(bundle, {"search.split_sentences": False}).search.split_sentences


def test_sigterm_finishes_what_was_begun(server):
    process, port = server
    answers = []
    fields = {"q": ["ab cd ef gh " * 100] * 3, "source": "en", "target": "de"}
    asking = threading.Thread(target=lambda: answers.append(post(port, fields)))
    asking.start()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as metrics:
            if b"nmt_requests_in_work 1" in metrics.read() or answers:
                break
    process.send_signal(signal.SIGTERM)
    asking.join(SECONDS)
    assert len(answers[0]["translatedText"]) == 3
    assert process.wait(SECONDS) == 0
    assert process.stderr.read() == ""
