"""Files over HTTP, resumed where they stopped, into a cache; a file with a wrong checksum is never kept."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import IO

from bpe.errors import UserError
from bpe.locks import exclusive
from bpe.progress import Progress
from bpe.textfiles import no_space, remove_leftovers, sha256_of, write_text
from nmt.corpora.records import RemoteFile, megabytes

TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3
"Connections in a row that bring nothing before a download gives up; each starts where the last one stopped."
CHUNK_BYTES = 1 << 18
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class StoppedError(Exception):
    """A connection that ended early; what came is kept."""


def download(file: RemoteFile, url: str, target: Path, *, quiet: bool = False) -> None:
    """Bring `url` to `target`, going on from `target`.part where there is one, and check it.

    Errors: UserError when the network fails (the partial file is kept for the next call), when the disk is full, or
    when size or checksum are wrong (nothing is kept).
    """
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    need_space(file, part)
    try:
        with exclusive(target.with_name(f".{target.name}.lock")) as mine:
            if not mine:
                raise UserError("another nmt-data is downloading it", where=target, hint="wait for it, and run again")
            remove_leftovers(target.parent, _validator_path(part).name)
            _download(file, url, target, part, quiet)
    except OSError as error:
        raise no_space(error, part) from None


def _download(file: RemoteFile, url: str, target: Path, part: Path, quiet: bool) -> None:
    _bring(file, url, part, quiet)
    try:
        verify(file, part)
    except UserError:
        forget(part)
        raise
    part.replace(target)
    forget(part)


def need_space(file: RemoteFile, part: Path) -> None:
    """Refuse at once what the disk cannot hold."""
    have = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(part.parent).free
    if file.size and file.size - have > free:
        raise UserError(
            f"{file.name} needs {megabytes(file.size - have)}, {megabytes(free)} are free",
            where=part.parent,
            hint="free some space, or choose another place with --cache",
        )


def _bring(file: RemoteFile, url: str, part: Path, quiet: bool) -> None:
    """Connections, until the file is whole or none brings anything more."""
    barren = 0
    with Progress(file.name, file.size, unit="bytes", quiet=quiet) as progress:
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                _connect(file, url, part, progress)
                return
            except (StoppedError, *NETWORK_ERRORS) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise _refused(file, url, error) from None
                after = part.stat().st_size if part.exists() else 0
                barren = 0 if after > before else barren + 1
                if barren >= ATTEMPTS:
                    raise _stopped(file, url, part, error) from None


def _connect(file: RemoteFile, url: str, part: Path, progress: Progress) -> None:
    """One connection: ask for what is missing, append it. StoppedError when it ends too early."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == file.size:
        return
    validator = _validator(part)
    if have and not (validator or file.sha256 or file.md5):
        have = 0  # nothing would show that the file has changed in between
    request = urllib.request.Request(url, headers={"User-Agent": "nmt-data", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if validator:
            request.add_header("If-Range", validator)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        forget(part)
        raise StoppedError("the server does not have the rest; starting over") from None
    with response:
        start, total = _span(response, have)
        _remember_validator(part, response)
        progress.done = start
        _copy(response, part, start, progress)
    if total is not None and part.stat().st_size < total:
        raise StoppedError(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes")


def _span(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where the body belongs and how long the whole file is."""
    length = response.headers.get("Content-Length")
    if response.status == 206:
        match = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise StoppedError("the server sent another part than was asked for")
        total = None if match[2] == "*" else int(match[2])
        return have, total if total is not None else have + int(length) if length else None
    return 0, int(length) if length else None


def _copy(response: IO[bytes], part: Path, start: int, progress: Progress) -> None:
    with open(part, "r+b" if start else "wb") as stream:
        stream.seek(start)
        stream.truncate()
        while chunk := response.read(CHUNK_BYTES):
            stream.write(chunk)
            progress.advance(len(chunk))


def _validator_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _validator(part: Path) -> str:
    """What the server called the version of which `part` is the beginning, or nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(_validator_path(part).read_text(encoding="utf-8"))["validator"])
    return ""


def _remember_validator(part: Path, response: http.client.HTTPResponse) -> None:
    tag = response.headers.get("ETag", "")
    strong = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    write_text(_validator_path(part), json.dumps({"validator": strong}))


def forget(part: Path) -> None:
    """Remove a partial file and what is known of it."""
    part.unlink(missing_ok=True)
    _validator_path(part).unlink(missing_ok=True)


def _refused(file: RemoteFile, url: str, error: urllib.error.HTTPError) -> UserError:
    return UserError(
        f"the server answered {error.code} {error.reason}",
        where=url,
        hint=f"check the address, or give a folder or URL that has {file.name} with --from",
    )


def _stopped(file: RemoteFile, url: str, part: Path, error: Exception) -> UserError:
    have = part.stat().st_size if part.exists() else 0
    reason = getattr(error, "reason", None) or error
    kept = f"{have:,} bytes are kept: run the command again to go on from there, or" if have else "try again, or"
    return UserError(
        f"download failed ({reason})", where=url, hint=f"{kept} take {file.name} from a mirror with --from"
    )


def verify(file: RemoteFile, path: Path) -> str:
    """Check size and checksum of a file; returns its SHA-256. UserError with what was expected and what is there."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise _wrong(file, path, "size", f"{file.size:,} bytes", f"{size:,} bytes")
    actual = sha256_of(path)
    if file.sha256 and actual != file.sha256:
        raise _wrong(file, path, "SHA-256", file.sha256, actual)
    if file.md5:
        with open(path, "rb") as stream:
            md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 != file.md5:
            raise _wrong(file, path, "MD5", file.md5, md5)
    return actual


def _wrong(file: RemoteFile, path: Path, what: str, expected: str, actual: str) -> UserError:
    return UserError(
        f"wrong {what}: expected {expected} ({file.checksum_source}), found {actual}",
        where=path.with_name(file.name) if path.suffix == ".part" else path,
        hint="the file is damaged or another version and is not used; fetch it again or try another --from",
    )
