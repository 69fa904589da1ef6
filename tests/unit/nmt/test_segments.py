"""Parts hold every pair of the text once and in order, however it is cut."""

import gzip
import pickle
import random

import pytest

import nmt.prepare.shards as parts
from bpe.progress import Progress
from nmt.prepare.files import PairOfFiles
from nmt.prepare.pairs import read_pairs


@pytest.fixture
def files(tmp_path):
    """Two pairs of files with empty lines, line ends of both kinds and characters that look like some."""
    draw = random.Random(5)
    pairs = []
    for number, count in enumerate((50, 23)):
        for side in ("en", "de"):
            lines = ["\u2028\u00e9".join(draw.choices("ab \x0c\r", k=draw.randint(0, 9))) for _ in range(count)]
            data = "".join(line + draw.choice(["\n", "\r\n"]) for line in lines).encode()
            path = tmp_path / f"{number}.{side}"
            path.write_bytes(b"\xef\xbb\xbf" + data.removesuffix(b"\n") if side == "en" else data)
        pairs.append(PairOfFiles(tmp_path / f"{number}.en", tmp_path / f"{number}.de"))
    return pairs


@pytest.mark.parametrize(("stride", "num_workers"), [(1, 1), (7, 1), (7, 100), (10, 2), (1000, 1)])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_pair_once_and_in_order(files, tmp_path, monkeypatch, stride, num_workers, compressed):
    monkeypatch.setattr(parts, "STRIDE", stride)
    if compressed:
        files[1].target.write_bytes(gzip.compress(files[1].target.read_bytes()))
    with Progress("", quiet=True) as progress:
        cut = parts.cut("train", parts.index_pairs(files, tmp_path / "unpacked", progress), num_workers)
    expected = [pair for pair in files for pair in read_pairs(pair)]
    assert [pair for part in cut for pair in parts.read_shard(pickle.loads(pickle.dumps(part)))] == expected
    assert sum(part.num_pairs for part in cut) == len(expected) == 73
    assert len({part.name for part in cut}) == len(cut)
    assert max(part.num_pairs for part in cut) <= max(stride, parts.LARGEST_PART)


def test_the_size_of_parts_follows_the_text_and_the_workers(files, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "STRIDE", 1)
    monkeypatch.setattr(parts, "PARTS_PER_WORKER", 4)
    with Progress("", quiet=True) as progress:
        pairs = parts.index_pairs(files, tmp_path / "unpacked", progress)
    assert [len(parts.cut("train", pairs, num_workers)) for num_workers in (1, 3, 50)] == [5, 13, 73]
    monkeypatch.setattr(parts, "LARGEST_PART", 2)
    assert len(parts.cut("train", pairs, 1)) == 25 + 12
    assert parts.cut("train", [], 1) == []
