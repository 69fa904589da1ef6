"""Text files: what ends a line, what is said of bytes that are no text, and writes that happen whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

import bpe.locks
import bpe.textfiles
from bpe.errors import UserError
from bpe.textfiles import (
    UNFINISHED,
    atomic_write,
    check_output,
    no_space,
    read_lines,
    remove_leftovers,
    sha256_of,
    write_lines,
    write_text,
)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "character", ["\u2028", "\u2029", "\u0085", "\f", "\v", "\x1c", "\x1d", "\x1e", "\u00a0", "\r"]
)
def test_only_a_line_feed_ends_a_line(character: str, tmp_path: Path) -> None:
    lines = [f"a{character}b", f"{character}c", "d"]
    write_lines(tmp_path / "text", lines)
    assert list(read_lines(tmp_path / "text")) == lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\r\n", ["a\r"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\x00\t \n", ["\x00\t "]),
    ],
)
def test_lines_of_bytes(data: bytes, lines: list[str], tmp_path: Path) -> None:
    """CRLF is a line end, a byte order mark is dropped where the file begins and nowhere else."""
    assert list(read_lines(written(tmp_path / "plain", data))) == lines
    assert list(read_lines(written(tmp_path / "packed.gz", gzip.compress(data)))) == lines


def test_the_content_says_whether_a_file_is_compressed_not_its_name(tmp_path: Path) -> None:
    assert list(read_lines(written(tmp_path / "a.txt", gzip.compress(b"x\n")))) == ["x"]
    assert list(read_lines(written(tmp_path / "b.gz", b"x\n"))) == ["x"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_invalid_utf_8_is_named_by_file_line_and_byte(pack: type, tmp_path: Path) -> None:
    path = written(tmp_path / "text", pack("gut\nschön\n".encode() + b"sch\xf6n\nmore\n"))
    lines = read_lines(path)
    assert [next(lines), next(lines)] == ["gut", "schön"]
    with pytest.raises(UserError) as raised:
        next(lines)
    assert str(raised.value).startswith(f"{path}:3: invalid UTF-8: byte 0xf6 at byte 4 of the line; convert")


def test_a_damaged_gzip_file_is_named_with_what_could_be_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.gz", gzip.compress(os.urandom(5000).hex().encode() + b"\n")[:-20])
    with pytest.raises(UserError, match=r"a\.gz: truncated or damaged gzip data after line 0"):
        list(read_lines(path))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such file; check the path"):
        list(read_lines(tmp_path / "none"))
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        list(read_lines(tmp_path))


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path / "file", b"old")

    def lines() -> Iterator[str]:
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lines(path, lines())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_old_file_is_read_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "file", b"old")
    with atomic_write(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_named_and_harms_nothing(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "file", b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bpe.textfiles.os, call, full)
    with pytest.raises(UserError) as raised:
        write_text(path, "new")
    assert str(raised.value).startswith(f"{path}: no space left on the device; free some space and run the command")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_other_failed_writes_are_told_in_the_systems_words(tmp_path: Path) -> None:
    assert str(no_space(OSError(errno.EDQUOT, "quota"), "x")).startswith("x: no space left on the device")
    assert str(no_space(OSError(errno.EROFS, "Read-only file system"), "x")) == (
        "x: cannot be written (Read-only file system)"
    )
    written(tmp_path / "file", b"")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "file" / "below", "text")


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    written(tmp_path / "file", b"old")
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.readlink(tmp_path / "link") == "file"


def test_what_is_no_regular_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert os.listdir(tmp_path) == ["pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's always full device")
def test_a_full_device_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/full")
    with pytest.raises(UserError, match="link: no space left on the device"):
        write_text(tmp_path / "link", "text")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_where_an_output_cannot_go_is_said_before_the_work(tmp_path: Path) -> None:
    names = [str(written(tmp_path / name, b"text")) for name in ("a", "b")]
    check_output(str(tmp_path / "new"), [*names, "-"])
    check_output(names[0], [names[1], str(tmp_path / "none")])
    (tmp_path / "link").symlink_to("b")
    for output, problem in (
        (names[1], "is also an input"),
        (str(tmp_path / "link"), "is also an"),
        ("/", "is a folder"),
    ):
        with pytest.raises(UserError, match=problem):
            check_output(output, names)


def killed_while_writing(path: Path) -> str:
    """A process writes half a file and is killed; the name of what it leaves."""
    program = (
        "import os, signal, sys; from bpe.textfiles import write_lines\n"
        "def lines():\n    yield 'half'\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_lines(sys.argv[1], lines())"
    )
    before = set(os.listdir(path.parent))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    ended = subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = set(os.listdir(path.parent)) - before
    return left


def test_a_killed_writers_file_goes_with_the_next_write_of_its_name(tmp_path: Path) -> None:
    left = [killed_while_writing(tmp_path / name) for name in ("file", "a.file")]
    assert [UNFINISHED.fullmatch(name)["name"] for name in left] == ["file", "a.file"]  # type: ignore[index]
    write_text(tmp_path / "file", "new")
    assert sorted(os.listdir(tmp_path)) == sorted(["file", left[1]])
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_older_versions_leftovers_go_and_what_is_no_leftover_stays(tmp_path: Path) -> None:
    kept = [".file.part", "file.abcd1234.part", ".file.abcd1234", ".file.abc.part", ".file.0badc0de-abcd1234.part"]
    for name in [*kept, ".file.k3_x9ab2.part"]:
        written(tmp_path / name, b"half")
    remove_leftovers(tmp_path)  # the last of these is another machine's, and not a day old
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    remove_leftovers(tmp_path / "nothing")


def test_a_living_writers_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as slow:
        slow.write(b"slow")
        remove_leftovers(tmp_path)
        write_text(path, "fast")
        assert path.read_bytes() == b"fast"
    assert path.read_bytes() == b"slow"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_removed_before_it_was_locked_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = bpe.locks._lock, []

    def lock(stream: FileIO, *, wait: bool = False) -> bool | None:
        calls.append(wait)
        if len(calls) == 1:
            for name in os.listdir(tmp_path):
                os.unlink(tmp_path / name)
        return plain(stream, wait=wait)

    monkeypatch.setattr(bpe.locks, "_lock", lock)
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_bytes() == b"text"
    assert os.listdir(tmp_path) == ["file"]
    assert calls == [True, True]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "new" / "file", "text")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == mode


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
    assert sha256_of(written(tmp_path / "abc", b"abc")) == known
