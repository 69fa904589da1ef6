"""The neural peers, each in a virtual environment of its own under .bench/, made when first asked for.

Their last releases pin versions of PyTorch that are long gone. All run on the version that we run on, so that a
comparison compares the tools: they are installed without the dependencies that they state, with those that they use,
and with the smallest repairs that make them start.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bpe.errors import UserError

ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".bench"
STAMP = ".installed"
COMMON = ("torch==2.13.0", "numpy==2.4.6", "PyYAML==6.0.3", "sacrebleu==2.6.0", "tensorboard==2.21.0")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A change of one of a peer's files."""

    path: str
    "Below site-packages, or below the unpacked source where the peer is built from source."
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What is installed, and the repairs."""

    package: str
    "NAME==VERSION: installed without its dependencies."
    requirements: Sequence[str]
    "What it uses of them, and what builds it, pinned."
    stand_ins: Sequence[str] = ()
    "Modules that it imports and that no benchmark uses: empty ones do."
    edits: Sequence[Edit] = ()
    from_source: bool = False
    "It is published as source that has to be edited before it is built: needs a C++ compiler."


PEERS: dict[str, Peer] = {
    "fairseq": Peer(
        package="fairseq-fixed==0.12.3.1",
        requirements=(
            *("setuptools==84.2.1", "wheel==0.48.0", "Cython==3.3.1", "hydra-core==1.3.2", "omegaconf==2.3.0"),
            *("bitarray==3.12.3", "cffi==2.1.1", "packaging==26.3", "regex==2026.11.15", "scikit-learn==1.9.1"),
            "tqdm==4.70.1",
        ),
        # The extensions written against PyTorch's C++ interface no longer compile; translation models need none.
        edits=(Edit(path="setup.py", old="\nextensions.extend(\n", new="\nlist().extend(\n"),),
        from_source=True,
    ),
    "joeynmt": Peer(
        package="joeynmt==2.3.0",
        requirements=(
            *("importlib_metadata==10.2.0", "matplotlib==3.11.2", "packaging==26.3", "sacremoses==0.2.0"),
            *("sentencepiece==0.2.3", "subword-nmt==0.3.8", "tqdm==4.70.1"),
        ),
        # PyTorch dropped the argument.
        edits=(Edit(path="joeynmt/builders.py", old='            "verbose": False,\n', new=""),),
    ),
    "opennmt": Peer(
        package="OpenNMT-py==3.5.1",
        requirements=(
            *("ConfigArgParse==1.9.0", "ctranslate2==4.8.5", "Flask==3.1.3", "waitress==3.0.2", "six==1.17.0"),
            *("pyonmttok==1.38.1", "RapidFuzz==3.14.6", "pyahocorasick==2.3.1"),
        ),
        stand_ins=("spacy", "fasttext"),
    ),
}


def variables(peer: str) -> dict[str, str]:
    """Environment variables that the peer's processes need."""
    assert peer in PEERS
    # Checkpoints of their own that hold more than tensors; and none of our modules on their path.
    return {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "PYTHONPATH": ""}


def environment(peer: str) -> Path:
    """The interpreter of the peer's environment, which is made first if it is not there.

    Errors: a UserError that names the peer where it cannot be installed.
    """
    folder, wanted = ENVIRONMENTS / peer, repr((COMMON, PEERS[peer]))
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return _python(folder)
    print(f"making .bench/{peer} (PyTorch is the large part) ...", file=sys.stderr, flush=True)
    _install(peer, folder)
    stamp.write_text(wanted, encoding="utf-8")
    return _python(folder)


def available(peers: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreters of those that can be had, and why the others cannot."""
    pythons, missing = {}, {}
    for peer in peers:
        try:
            pythons[peer] = environment(peer)
        except UserError as error:
            missing[peer] = error.problem
    return pythons, missing


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _install(peer: str, folder: Path) -> None:
    about, python = PEERS[peer], _python(folder)
    _run(peer, sys.executable, "-m", "venv", "--clear", folder)
    _pip(peer, python, "install", *COMMON, *about.requirements)
    if about.from_source:
        with tempfile.TemporaryDirectory() as scratch:
            source = _source(peer, python, Path(scratch))
            _edit(peer, source)
            _pip(peer, python, "install", "--no-deps", "--no-build-isolation", source)
    else:
        _pip(peer, python, "install", "--no-deps", about.package)
    asked = _run(peer, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    packages = Path(asked.strip())
    if not about.from_source:
        _edit(peer, packages)
    for module in about.stand_ins:
        (packages / f"{module}.py").touch()


def _source(peer: str, python: Path, folder: Path) -> Path:
    """The peer's source, unpacked in the folder."""
    no_wheels = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation")
    _pip(peer, python, "download", *no_wheels, "--dest", folder, PEERS[peer].package)
    (archive,) = folder.iterdir()
    shutil.unpack_archive(archive, folder / "source")
    (source,) = (folder / "source").iterdir()
    return source


def _edit(peer: str, folder: Path) -> None:
    for edit in PEERS[peer].edits:
        path = folder / edit.path
        text = path.read_text(encoding="utf-8")
        if edit.old not in text:
            _fail(peer, f"{edit.path} is not the file that was to be repaired")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def _pip(peer: str, python: Path, *words: object) -> None:
    action, *others = words
    _run(peer, python, "-m", "pip", action, "--quiet", "--disable-pip-version-check", *others)


def _run(peer: str, *words: object) -> str:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).split("\n") if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        _fail(peer, errors[-1])
    return done.stdout


def _fail(peer: str, why: str) -> NoReturn:
    raise UserError(f"{peer} cannot be installed: {why}", hint="name the other peers with --peers to go on without")
