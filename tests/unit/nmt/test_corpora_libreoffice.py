"""The help pages: Debian packages without dpkg, paragraphs by id."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.corpora import libreoffice

ENGLISH = """<html><body><p id="outside0" class="code">x = 1</p><div id="DisplayArea">
<h1 id="hd_1">Opening a file</h1>
<p id="par_1" class="paragraph">In <span class="switchinline"><span class="MAC" hidden="true"><span>the Apple
menu<img src="x"></span></span><span>the File menu</span></span> choose Open &amp; wait. A dialog<br>appears.</p>
<p id="par_2" class="code">Open(name)</p><p>without an id</p>
<p id="par_1">The same id once more</p></div></body></html>"""
GERMAN = """<div><h1 id="hd_1">Eine Datei öffnen</h1><p id="par_1">Im Dateimenü wählen Sie Öffnen &amp; warten.
Ein Dialog erscheint.</p><p id="par_1">Noch einmal dieselbe Kennung</p></div>"""


def make_package(path: Path, locale: str, page: str) -> Path:
    """A Debian package of one page: an ar archive of three members, one of odd length."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        info = tarfile.TarInfo(f"./usr/share/libreoffice/help/{locale}/text/guide/open.html")
        info.size = len(page.encode())
        tar.addfile(info, io.BytesIO(page.encode()))
    whole = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", packed.getvalue())):
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        whole += header.encode() + content + b"\n" * (len(content) % 2)
    path.write_bytes(whole)
    return path


def test_pages_are_aligned_by_paragraph_id(tmp_path: Path) -> None:
    paths = {
        libreoffice.package(code).name: make_package(tmp_path / f"{code}.deb", libreoffice.LOCALES[code], page)
        for code, page in (("en", ENGLISH), ("de", GERMAN))
    }
    pairs = [pair for split in libreoffice.build(("en", "de"), paths) for pair in split.pairs]
    assert pairs == [
        ("Opening a file", "Eine Datei öffnen"),
        ("In the File menu choose Open & wait.", "Im Dateimenü wählen Sie Öffnen & warten."),
        ("A dialog appears.", "Ein Dialog erscheint."),
        ("The same id once more", "Noch einmal dieselbe Kennung"),
    ]


@pytest.mark.parametrize("content", [b"", b"no package", b"!<arch>\n"])
def test_no_package(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.deb").write_bytes(content)
    with pytest.raises(UserError, match=r"x.deb: not a Debian package"):
        libreoffice.pages(tmp_path / "x.deb", "de")


def test_damaged_package(tmp_path: Path) -> None:
    path = make_package(tmp_path / "x.deb", "de", GERMAN * 50)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UserError, match="damaged package"):
        libreoffice.pages(path, "de")
