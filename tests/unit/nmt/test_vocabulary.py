import json

import numpy as np
import pytest

from bpe.errors import UserError
from nmt.text.vocabulary import EOS, NUM_SPECIALS, PAD, SPECIAL_NAMES, UNK, Vocabulary

SOURCE = {"the": 5, "house": 2, "a@@": 9, "gone": 0}
TARGET = {"das": 4, "haus": 4, "a@@": 1, "the": 1}


@pytest.fixture
def vocabulary():
    return Vocabulary.from_counts(SOURCE, TARGET)


def test_rows_are_ordered_by_part_then_joint_frequency_then_piece(vocabulary):
    assert vocabulary.both == ("a@@", "the")
    assert vocabulary.source_only == ("house",)
    assert vocabulary.target_only == ("das", "haus")
    assert vocabulary.pieces == (*SPECIAL_NAMES, "a@@", "the", "house", "das", "haus")


def test_sizes_count_the_specials(vocabulary):
    assert (vocabulary.size, vocabulary.source_size, vocabulary.target_size) == (8, 6, 7)


def test_encode_and_decode(vocabulary):
    ids = vocabulary.encode(["the", "haus", "missing"])
    assert ids == [4, 7, UNK]
    assert vocabulary.decode([PAD, *ids, EOS]) == ["the", "haus", "<unk>"]
    assert [vocabulary.piece_of(row) for row in range(8)] == list(vocabulary.pieces)


@pytest.mark.parametrize("name", SPECIAL_NAMES)
def test_no_text_spells_a_special(name):
    assert Vocabulary.from_counts(SOURCE, TARGET).id_of(name) == UNK
    with_piece = Vocabulary.from_counts({name: 1}, {name: 1})
    assert with_piece.id_of(name) == NUM_SPECIALS
    assert with_piece.decode([NUM_SPECIALS]) == [name]


def test_the_separate_target_view_skips_what_only_the_source_has(vocabulary):
    view = vocabulary.target_view(shared=False)
    assert (view.first, view.gap, view.size) == (5, 1, 7)
    union = np.array([[PAD, UNK, EOS, 3], [4, 5, 6, 7]], dtype=np.int32)
    rows = view.from_union(union)
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows, [[PAD, UNK, EOS, 3], [4, UNK, 5, 6]])
    np.testing.assert_array_equal(view.to_union(rows), [[PAD, UNK, EOS, 3], [4, UNK, 6, 7]])


def test_the_shared_target_view_is_the_union(vocabulary):
    view = vocabulary.target_view(shared=True)
    union = np.arange(vocabulary.size)
    assert (view.gap, view.size) == (0, vocabulary.size)
    np.testing.assert_array_equal(view.from_union(union), union)
    np.testing.assert_array_equal(view.to_union(union), union)


def test_only_the_shared_target_view_has_rows_of_the_source_alone(vocabulary):
    shared, separate = (vocabulary.target_view(shared) for shared in (True, False))
    rows = vocabulary.source_only_rows(shared)
    assert tuple(vocabulary.piece_of(row) for row in rows) == vocabulary.source_only
    assert len(rows) == 1
    assert list(vocabulary.source_only_rows(separate)) == []
    nothing = Vocabulary(both=("a",), source_only=(), target_only=())
    assert list(nothing.source_only_rows(nothing.target_view(shared=False))) == []


def test_the_source_view_is_a_prefix(vocabulary):
    union = np.arange(vocabulary.size)
    separate = vocabulary.source_view(shared=False)
    assert separate.size == 6
    np.testing.assert_array_equal(separate.from_union(union), [0, 1, 2, 3, 4, 5, UNK, UNK])
    np.testing.assert_array_equal(vocabulary.source_view(shared=True).from_union(union), union)


def test_views_of_a_vocabulary_with_one_part_only():
    empty = Vocabulary((), ("a",), ())
    np.testing.assert_array_equal(empty.target_view(shared=False).from_union(np.arange(4)), [0, 1, 2, UNK])
    assert empty.target_view(shared=False).size == NUM_SPECIALS


def test_save_and_load_keep_everything(vocabulary, tmp_path):
    odd = Vocabulary(("</s>", "\u2028x", "ü"), ('"',), ("\\",))
    for number, one in enumerate((vocabulary, odd)):
        path = tmp_path / f"{number}.json"
        one.save(path)
        assert Vocabulary.load(path) == one
        assert Vocabulary.load(path).fingerprint == one.fingerprint
    assert vocabulary.fingerprint != odd.fingerprint


def test_the_fingerprint_depends_on_parts_and_order():
    fingerprints = {
        Vocabulary(*parts).fingerprint
        for parts in [(("a", "b"), (), ()), (("b", "a"), (), ()), (("a",), ("b",), ()), (("a",), (), ("b",))]
    }
    assert len(fingerprints) == 4


def _saved(tmp_path, change):
    path = tmp_path / "vocabulary.json"
    Vocabulary.from_counts(SOURCE, TARGET).save(path)
    body = json.loads(path.read_text(encoding="utf-8"))
    change(body)
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body.update(format="other"), "not a vocabulary that nmt-prep wrote"),
        (lambda body: body.update(version=99), "format version 99, but this program reads version 1"),
        (lambda body: body.pop("both"), "a part is missing"),
        (lambda body: body["both"].append(3), "something other than text"),
        (lambda body: body["both"].append("the"), "listed twice"),
        (lambda body: body["both"].reverse(), "its rows are not those it was written with"),
    ],
)
def test_changed_files_are_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        Vocabulary.load(_saved(tmp_path, change))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe", "not JSON"), (b"{", "not JSON"), (b"[]", "not a vocabulary"), (None, "no such")],
)
def test_foreign_files_are_refused(tmp_path, content, message):
    path = tmp_path / "vocabulary.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        Vocabulary.load(path)
