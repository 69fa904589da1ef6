import gzip

import pytest

from bpe.codes import MergeTable
from bpe.errors import UserError

MERGES = (("e", "r</w>"), ("t", "h"), ("th", "e</w>"), ("ä", "\u2028"), ("#version:", "x"), ("\r", "b"), ("a", "\r"))


@pytest.mark.parametrize("version", [(0, 1), (0, 2)])
def test_saved_and_loaded_tables_are_equal(tmp_path, version):
    table = MergeTable(MERGES, version)
    table.save(tmp_path / "codes")
    assert MergeTable.load(tmp_path / "codes") == table
    assert len(table) == len(MERGES)


def test_the_file_has_subword_nmts_bytes(tmp_path):
    MergeTable((("a", "b"), ("ab", "ü</w>"))).save(tmp_path / "codes")
    assert (tmp_path / "codes").read_bytes() == "#version: 0.2\na b\nab ü</w>\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]


def test_a_table_without_merges_is_a_table(tmp_path):
    MergeTable(()).save(tmp_path / "codes")
    assert MergeTable.load(tmp_path / "codes") == MergeTable(())


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"#version: 0.2\r\na b\r\nab c\r\n", (0, 2)),
        (b"#version: 0.2\na b\nab c", (0, 2)),
        (b"#version: 0.2\na b\nab c\n\n\n", (0, 2)),
        (b"#version: 0.2.0\na b\nab c\n", (0, 2)),
        (b"#version: 0.1\na b \nab c\n", (0, 1)),
        (b"a b\nab c\n", (0, 1)),
        (gzip.compress(b"#version: 0.2\na b\nab c\n", mtime=0), (0, 2)),
    ],
)
def test_other_peoples_files_are_read(tmp_path, data, version):
    (tmp_path / "codes").write_bytes(data)
    assert MergeTable.load(tmp_path / "codes") == MergeTable((("a", "b"), ("ab", "c")), version)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"#version: 0.2\na b\nab\nc d\n", ":3: not a BPE merge"),
        (b"#version: 0.2\na b\n\nc d\n", ":3: not a BPE merge"),
        (b"#version: 0.2\na b c\n", ":2: not a BPE merge"),
        (b"a b c\n", ":1: not a BPE merge"),
        (b"#version: 0.3\na b\n", ":1: unknown version '0.3'"),
        (b"#version: new\na b\n", ":1: unknown version"),
        (b"#version: 0.2\na b\nc \xff\n", ":3: invalid UTF-8"),
        (gzip.compress(b"#version: 0.2\na b\nab c\n" * 99, mtime=0)[:-9], "cannot be read"),
    ],
)
def test_damaged_files_are_refused_with_their_place(tmp_path, data, message):
    path = tmp_path / "codes"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        MergeTable.load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        MergeTable.load(tmp_path / "codes")


@pytest.mark.parametrize("version", [(0, 1), (0, 2)])
def test_subword_nmt_reads_what_is_saved(tmp_path, version):
    apply_bpe = pytest.importorskip("subword_nmt.apply_bpe")
    merges = (("e", "r</w>"), ("t", "h"), ("th", "e</w>"), ("ä", "\u2028"), ("t", "h"))
    MergeTable(merges, version).save(tmp_path / "codes")
    with open(tmp_path / "codes", encoding="utf-8", newline="\n") as stream:
        other = apply_bpe.BPE(stream)
    assert other.version == version
    assert other.bpe_codes == {pair: merges.index(pair) for pair in merges}


def test_the_first_merges_of_a_table():
    table = MergeTable(MERGES, (0, 1))
    assert table.first(2) == MergeTable(MERGES[:2], (0, 1))
    assert table.first(0) == MergeTable((), (0, 1))
    assert table.first(1000) == table
    with pytest.raises(UserError, match="-1 merges are out of range"):
        table.first(-1)
