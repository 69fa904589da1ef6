"""Downloads: resumed, checked, never kept when wrong. A server on 127.0.0.1 that breaks off on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bpe.errors import UserError
from bpe.locks import exclusive
from nmt.corpora.download import download
from nmt.corpora.obtain import DownloadSettings, obtain
from nmt.corpora.records import RemoteFile

BODY = bytes(range(256)) * 2000
FILE = RemoteFile(name="data.bin", url="", size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest())


class Server(ThreadingHTTPServer):
    """Serves BODY at every path but /missing; the attributes say how it misbehaves."""

    body = BODY
    ranges = True
    etag = '"one"'
    stop_after: int | None = None
    requests: list[dict[str, str]]
    sent: list[int]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(dict(self.headers))
        if self.path == "/missing/data.bin":
            self.send_error(404)
            return
        start, asked = 0, self.headers.get("Range")
        fresh = self.headers.get("If-Range") in (None, server.etag)
        if asked and server.ranges and fresh:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        rest = server.body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        cut = rest if server.stop_after is None else rest[: server.stop_after]
        server.sent.append(len(cut))
        self.wfile.write(cut)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.requests, running.sent = [], []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def fetch(server: Server, target: Path, file: RemoteFile = FILE) -> None:
    download(file, f"{address(server)}/data.bin", target, quiet=True)


def partial(target: Path, content: bytes, validator: str = '"one"') -> None:
    target.with_name("data.bin.part").write_bytes(content)
    if validator:
        target.with_name("data.bin.part.json").write_text(json.dumps({"validator": validator}))


def test_whole_file(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]


def test_two_do_not_write_the_same_file(server: Server, tmp_path: Path) -> None:
    partial(tmp_path / "data.bin", BODY[:1000])
    with (
        exclusive(tmp_path / ".data.bin.lock"),
        pytest.raises(UserError, match=r"data.bin: another nmt-data is downloading it; wait for it"),
    ):
        fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin.part").read_bytes() == BODY[:1000]
    assert server.requests == []
    (tmp_path / ".data.bin.part.json.k3_x9ab2.part").write_text("half, and killed")
    fetch(server, tmp_path / "data.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]


def test_connection_that_breaks_is_resumed_within_one_call(server: Server, tmp_path: Path) -> None:
    server.stop_after = 200_000
    fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert server.sent == [200_000, 200_000, 112_000]
    assert server.requests[1]["Range"] == "bytes=200000-"
    assert server.requests[1]["If-Range"] == '"one"'


def test_partial_file_is_kept_and_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    partial(tmp_path / "data.bin", BODY[:300_000])
    server.stop_after = 0
    with pytest.raises(UserError, match=r"300,000 bytes are kept: run the command again"):
        fetch(server, tmp_path / "data.bin")
    assert not (tmp_path / "data.bin").exists()
    assert (tmp_path / "data.bin.part").read_bytes() == BODY[:300_000]
    server.stop_after, server.sent = None, []
    fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert server.sent == [212_000]


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    partial(tmp_path / "data.bin", b"x" * 1000)
    fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == BODY


def test_file_that_changed_on_the_server_starts_over(server: Server, tmp_path: Path) -> None:
    partial(tmp_path / "data.bin", b"old" * 1000)
    server.etag = '"two"'
    fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == BODY


def test_partial_file_longer_than_the_file_starts_over(server: Server, tmp_path: Path) -> None:
    partial(tmp_path / "data.bin", BODY + b"more")
    fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == BODY


def test_complete_partial_file_needs_no_request(server: Server, tmp_path: Path) -> None:
    partial(tmp_path / "data.bin", BODY)
    fetch(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert server.requests == []


def test_without_checksum_or_validator_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.etag = ""
    partial(tmp_path / "data.bin", BODY[:1000], validator="")
    fetch(server, tmp_path / "data.bin", RemoteFile(name="data.bin"))
    assert "Range" not in server.requests[0]
    assert (tmp_path / "data.bin").read_bytes() == BODY


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"md5": "0" * 32}, {"size": 512_000, "sha256": "1" * 64}])
def test_wrong_checksum_keeps_nothing(server: Server, tmp_path: Path, wrong: dict[str, object]) -> None:
    file = RemoteFile(name="data.bin", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"wrong (SHA-256|MD5): expected [01]+ .*, found [0-9a-f]{32}"):
        fetch(server, tmp_path / "data.bin", file)
    assert list(tmp_path.iterdir()) == []


def test_wrong_size_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wrong size: expected 600,000 bytes .*, found 512,000 bytes"):
        fetch(server, tmp_path / "data.bin", RemoteFile(name="data.bin", size=600_000))
    assert list(tmp_path.iterdir()) == []


def test_missing_file_names_the_address_and_the_way_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/missing/data.bin: the server answered 404 .*--from"):
        download(FILE, f"{address(server)}/missing/data.bin", tmp_path / "data.bin", quiet=True)


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"download failed .*--from"):
        download(FILE, "http://127.0.0.1:9/data.bin", tmp_path / "data.bin", quiet=True)


def test_too_little_space_is_said_before(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.bin needs 1000000000 GB, .* are free"):
        fetch(server, tmp_path / "data.bin", RemoteFile(name="data.bin", size=10**18))
    assert server.requests == []


def test_mirror_url_is_cached(server: Server, tmp_path: Path) -> None:
    source = DownloadSettings(cache=tmp_path, mirror=address(server) + "/", quiet=True)
    first = obtain("some", FILE, source)
    assert first.path == tmp_path / "some" / "data.bin"
    assert first.origin == f"{address(server)}/data.bin"
    obtain("some", FILE, source)
    assert len(server.requests) == 1


def test_first_download_records_the_checksum_nobody_published(server: Server, tmp_path: Path) -> None:
    file = RemoteFile(name="data.bin", url=f"{address(server)}/data.bin")
    source = DownloadSettings(cache=tmp_path, quiet=True)
    assert obtain("some", file, source).sha256 == FILE.sha256
    (tmp_path / "some" / "data.bin").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"wrong SHA-256: .*recorded at the first download"):
        obtain("some", file, source)
    assert list((tmp_path / "some").iterdir()) == []


def test_mirror_folder_is_read_in_place_and_verified(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    (mirror / "some").mkdir(parents=True)
    (mirror / "some" / "data.bin").write_bytes(BODY)
    source = DownloadSettings(cache=tmp_path / "cache", mirror=str(mirror), quiet=True)
    assert obtain("some", FILE, source).path == mirror / "some" / "data.bin"
    (mirror / "some" / "data.bin").write_bytes(BODY[:-1] + b"!")
    with pytest.raises(UserError, match="wrong SHA-256"):
        obtain("some", FILE, source)
    assert (mirror / "some" / "data.bin").exists(), "a mirror is the user's, nothing in it is removed"
    with pytest.raises(UserError, match=r"has no data.bin"):
        obtain("other", FILE, source)


def test_pip_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    file = RemoteFile(name="x.whl", url="https://example.org/x.whl", pip="no-such-package-anywhere==1.0")
    with pytest.raises(UserError, match=r"pip could not download no-such-package-anywhere==1.0 \(ERROR: .*--from"):
        obtain("some", file, DownloadSettings(cache=tmp_path, quiet=True))
    assert list((tmp_path / "some").iterdir()) == []
