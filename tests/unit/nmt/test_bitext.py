"""Both sides in one file: columns of TSV, units of TMX, and what is said of files that are not so."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.prepare.bitext import Tmx, Tsv, read_bitext

PAIRS = [("a dog", "ein Hund"), ("", "leer"), ('"x" & <y>', "größer\u00a0als")]


def units(*rows: str) -> str:
    return f'<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx><body>{"".join(rows)}</body></tmx>'


def unit(**segments: str) -> str:
    tuvs = (f'<tuv xml:lang="{code.replace("_", "-")}"><seg>{text}</seg></tuv>' for code, text in segments.items())
    return f"<tu><note>kept out</note>{''.join(tuvs)}</tu>\n"


def tmx(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_two_columns_in_either_order(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    data = "".join(f"{source}\t{target}\r\n" for source, target in PAIRS).encode()
    for content in (data, gzip.compress(data)):
        path.write_bytes(content)
        assert list(read_bitext(path, Tsv())) == PAIRS
        assert list(read_bitext(path, Tsv(swapped=True))) == [(target, source) for source, target in PAIRS]


@pytest.mark.parametrize(("line", "found"), [("", "1 column "), ("a", "1 column "), ("a\tb\tc", "3 columns ")])
def test_a_line_with_other_columns_is_named(line: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(f"a\tb\n{line}\n".encode())
    with pytest.raises(UserError, match=rf"a\.tsv:2: {found}where there must be 2; a line is source, tab, target"):
        list(read_bitext(path, Tsv()))
    path.write_bytes(b"a\tb\na\tsch\xf6n\n")
    with pytest.raises(UserError, match=r"a\.tsv:2: invalid UTF-8"):
        list(read_bitext(path, Tsv()))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_units_of_tmx(encoding: str, tmp_path: Path) -> None:
    """Formatting codes go, marked text stays, a segment is one line; what lacks a side is counted."""
    odd = 'one <bpt i="1">&lt;b&gt;<sub>no</sub></bpt><hi>big</hi><ept i="1">&lt;/b&gt;</ept>\n   <ph x="1"/>dog '
    text = units(
        unit(en="a dog", de="ein Hund"),
        unit(de="zuerst", EN_us="second"),
        unit(en="alone"),
        unit(en=odd, fr="non", de="&lt;drei&gt; &amp; &#228;"),
    )
    path, left_out = tmx(tmp_path / "a.tmx", text.replace("?>", f' encoding="{encoding}"?>'), encoding), Counter()
    expected = [("a dog", "ein Hund"), ("second", "zuerst"), ("one big dog", "<drei> & ä")]
    assert list(read_bitext(path, Tmx("en", "de"), left_out)) == expected
    assert left_out == {"a.tmx": 1}


def test_a_region_may_be_missing_but_is_not_exchanged(tmp_path: Path) -> None:
    path = tmx(tmp_path / "a.tmx", units(unit(en="x", pt_PT="pt", pt_BR="br"), unit(en="y", pt="any")))
    assert list(read_bitext(path, Tmx("en", "pt_BR"))) == [("x", "br"), ("y", "any")]
    assert list(read_bitext(path, Tmx("en_GB", "pt"))) == [("x", "pt"), ("y", "any")]
    with pytest.raises(UserError, match=r"no unit has both en and de \(languages there: en, pt-pt, pt-br, pt\)"):
        list(read_bitext(path, Tmx("en", "de")))


def test_a_long_file_comes_as_it_is_read(tmp_path: Path) -> None:
    rows = [unit(en=f"line {number} {'x' * 90}", de=f"Zeile {number}") for number in range(2_000)]
    path = tmx(tmp_path / "a.tmx", units(*rows).replace("line 1999", "line <"))
    pairs = read_bitext(path, Tmx("en", "de"))
    assert next(pairs)[1] == "Zeile 0"
    with pytest.raises(UserError, match=r"a\.tmx:2002: not well-formed XML"):
        list(pairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE tmx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><tmx/>', ":1: declares or uses the entity 'a'"),
        ('<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]><tmx/>', ":1: declares or uses the entity 'a'"),
        ('<!DOCTYPE tmx [<!ENTITY % a "x">]><tmx/>', ":1: declares or uses the entity 'a'"),
        (units(unit(en="&nbsp;", de="x")), ":3: declares or uses the entity 'nbsp'"),
        ("<html></html>", ":1: not TMX: its first element is <html>"),
        ("", ":1: not well-formed XML (no element found)"),
    ],
)
def test_what_is_not_plain_tmx_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        list(read_bitext(tmx(tmp_path / "a.tmx", text), Tmx("en", "de")))
    assert str(raised.value).startswith(f"{tmp_path}/a.tmx{message}")
    assert str(raised.value).endswith("; write the file again as plain TMX, or as TSV")
