"""Preparation of a corpus: text files to a prepared folder, in two passes whose memory does not grow with the text.

Everything is made in a scratch folder beside the result and renamed into place at the end, the manifest written last:
a run that was killed leaves nothing that looks finished.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bpe.errors import UserError
from bpe.overlap import Overlap
from bpe.progress import Progress
from bpe.textfiles import no_space
from nmt.config import PrepConfig
from nmt.data import manifest as manifests
from nmt.data.corpus import MANIFEST_FILE, VOCABULARY_FILE, PreparedCorpus, ids_file, raw_file, read_manifest
from nmt.data.encoding import Encoder, PairFilter, SplitFiles, SplitStatistics, encode_split, make_encoder, replace_ids
from nmt.data.files import CorpusFiles
from nmt.data.pairs import Pair, chunks, read_all_pairs
from nmt.data.sanity import check_sides
from nmt.data.subword_learning import learn_bpe, learn_sentencepiece, report_learned
from nmt.data.tokenizing import CHUNK_PAIRS, WordCounts, Workers, tokenize, workers
from nmt.text import SIDES, Side, TextOptions
from nmt.vocabulary import Vocabulary

Manifest = manifests.Manifest
RARE = (1, 5, 10)


@dataclass(frozen=True)
class Preparation:
    """One run of nmt-prep."""

    files: CorpusFiles
    prep: PrepConfig
    folder: Path
    "Where the result goes."
    force: bool = False
    "Replace a result that was made otherwise."
    num_workers: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class Prepared:
    """What came of it."""

    manifest: Manifest
    already: bool
    "It was there before; nothing was done."


def prepare(run: Preparation) -> Prepared:
    """Prepare a corpus, unless the folder holds the same already. Every mistake a user can make is a UserError."""
    options = manifests.describe_options(run.prep, run.files)
    inputs = manifests.describe_inputs(run.files)
    there = _finished(run, options, inputs)
    if there is not None:
        return Prepared(there, already=True)
    if run.prep.check_sides:
        check_sides(run.files.splits)
    with _scratch_folder(run.folder) as folder:
        manifest = _build(run, folder / "result", folder, {"options": options, "inputs": inputs})
        _put_in_place(folder / "result", run.folder)
    return Prepared(manifest, already=False)


def _finished(run: Preparation, options: dict[str, Any], inputs: list[dict[str, Any]]) -> Manifest | None:
    """The manifest of the same work done before; UserError where something else is in the way."""
    folder = run.folder
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        raise UserError("not a folder", where=folder, hint="choose another with --prepared")
    if not any(folder.iterdir()):
        return None
    if not (folder / MANIFEST_FILE).is_file():
        raise UserError("holds files that nmt-prep did not write", where=folder, hint="choose another with --prepared")
    if run.force:
        return None
    changes = manifests.differences(read_manifest(folder), options, inputs)
    if changes:
        hint = "--force replaces it; --prepared DIR keeps both"
        raise UserError(f"another preparation is there: {'; '.join(changes)}", where=folder, hint=hint)
    return PreparedCorpus.open(folder).manifest


def _build(run: Preparation, result: Path, scratch: Path, described: dict[str, Any]) -> Manifest:
    """All the work, into the folder `result`."""
    result.mkdir()
    files, prep = run.files, run.prep
    options = TextOptions(
        source=files.source,
        target=files.target,
        tokenizer="none" if prep.sentencepiece else prep.tokenizer,
        subwords="sentencepiece" if prep.sentencepiece else "bpe",
    )
    splits, counts = _tokenize_splits(run, options, result, scratch)
    if prep.sentencepiece:
        train = splits["train"]
        pipeline, learned = learn_sentencepiece((train.source, train.target), prep, options)
    else:
        pipeline, learned = learn_bpe(counts, prep, options, run.quiet)
        report_learned(learned, prep.min_frequency, run.quiet)
    del counts
    pipeline.save(result)
    pair_filter = PairFilter(prep)
    encoder = make_encoder(pipeline, run.num_workers)
    statistics = _encode_splits(splits, encoder, pair_filter, run.quiet)
    vocabulary, overlap, rare = _vocabulary(encoder, statistics["train"])
    vocabulary.save(result / VOCABULARY_FILE)
    _number_pieces(result, encoder, vocabulary, statistics)
    content = {
        "source": files.source,
        "target": files.target,
        "direction": files.chosen,
        **described,
        "subwords": asdict(learned),
        "splits": {name: manifests.describe_split(split) for name, split in statistics.items()},
        "reasons": pair_filter.reasons,
        "vocabulary": manifests.describe_vocabulary(vocabulary, rare),
        "overlap": manifests.describe_overlap(overlap),
    }
    return manifests.write_manifest(result, content)


def _tokenize_splits(
    run: Preparation, options: TextOptions, result: Path, scratch: Path
) -> tuple[dict[str, SplitFiles], WordCounts]:
    """First pass: valid and test first, since a mistake in them shows at once. Returns the training text's words."""
    counts = WordCounts()
    splits: dict[str, SplitFiles] = {}
    order = [name for name in ("valid", "test", "train") if name in run.files.splits]
    with workers(options, run.num_workers) as pool:
        for name in order:
            splits[name], counts = _tokenize_split(run, name, pool, result, scratch)
    return {name: splits[name] for name in reversed(order)}, counts


def _tokenize_split(
    run: Preparation, name: str, pool: Workers, result: Path, scratch: Path
) -> tuple[SplitFiles, WordCounts]:
    pairs = read_all_pairs(run.files.splits[name])
    paths = {side: scratch / f"{name}.{side}.tokenized" for side in SIDES}
    with (
        open(paths["source"], "wb") as source,
        open(paths["target"], "wb") as target,
        Progress(f"Tokenising {name}", unit="pairs", quiet=run.quiet) as progress,
        _raw_copies(name, result) as copied,
    ):
        tokenized = pool.map(chunks(copied(pairs), CHUNK_PAIRS))
        counts, num_pairs = tokenize(tokenized, source, target, progress)
    if not counts.source or not counts.target:
        empty = [pair.source if not counts.source else pair.target for pair in run.files.splits[name]]
        what = "no pairs" if num_pairs == 0 else f"{num_pairs:,} lines, all of them blank"
        raise UserError(f"empty: {what}", where=", ".join(map(str, empty)), hint="check that the file is the right one")
    return SplitFiles(name, paths["source"], paths["target"], result, num_pairs), counts


@contextmanager
def _raw_copies(name: str, result: Path) -> Iterator[Callable[[Iterator[Pair]], Iterator[Pair]]]:
    """Copies the raw lines of valid and test as they are read; training text is not copied."""
    if name == "train":
        yield lambda pairs: pairs
        return
    with (
        open(result / raw_file(name, "source"), "wb") as source,
        open(result / raw_file(name, "target"), "wb") as target,
    ):

        def copied(pairs: Iterator[Pair]) -> Iterator[Pair]:
            for pair in pairs:
                source.write(pair[0].encode("utf-8") + b"\n")
                target.write(pair[1].encode("utf-8") + b"\n")
                yield pair

        yield copied


def _encode_splits(
    splits: dict[str, SplitFiles], encoder: Encoder, pair_filter: PairFilter, quiet: bool
) -> dict[str, SplitStatistics]:
    """Second pass: ids of every split; only training pairs may be dropped."""
    statistics = {}
    for name, split in splits.items():
        with Progress(f"Encoding {name}", split.num_pairs, unit="pairs", quiet=quiet) as progress:
            rules = pair_filter if name == "train" else None
            statistics[name] = encode_split(split, encoder, rules, progress)
        split.source.unlink()
        split.target.unlink()
    if statistics["train"].pairs == 0:
        reasons = ", ".join(
            f"{count:,}: {pair_filter.reasons[reason]}"
            for reason, count in statistics["train"].dropped.items()
            if count
        )
        hint = "check that line n of one side translates line n of the other, and prep.max_length and prep.max_ratio"
        raise UserError(f"all {statistics['train'].pairs_read:,} training pairs were dropped ({reasons})", hint=hint)
    return statistics


def _vocabulary(encoder: Encoder, train: SplitStatistics) -> tuple[Vocabulary, Overlap, dict[int, int]]:
    """The vocabulary and Table 1's row of the training pairs that were kept, and the number of rare pieces."""
    by_side: dict[Side, dict[str, int]] = {}
    for side in SIDES:
        pieces = train.piece_counts[side].tolist()
        by_side[side] = {encoder.pieces[number]: pieces[number] for number in range(1, len(pieces)) if pieces[number]}
    source, target = by_side["source"], by_side["target"]
    joint = np.array([source.get(piece, 0) + target.get(piece, 0) for piece in source.keys() | target.keys()])
    rare = {limit: int((joint <= limit).sum()) for limit in RARE}
    return Vocabulary.from_counts(source, target), Overlap.of(source, target), rare


def _number_pieces(
    result: Path, encoder: Encoder, vocabulary: Vocabulary, statistics: dict[str, SplitStatistics]
) -> None:
    """Replace the provisional ids on disk by union ids, and count what is unknown now as provisional id 0."""
    table = np.array([vocabulary.id_of(piece) if piece else 1 for piece in encoder.pieces], dtype=np.int32)
    for name, split in statistics.items():
        for side in SIDES:
            replace_ids(result / ids_file(name, side), table)
            counts = split.piece_counts[side]
            unknown = int(counts[table[: len(counts)] == 1].sum())
            split.piece_counts[side] = np.array([unknown, int(counts.sum()) - unknown])


@contextmanager
def _scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder beside the result, removed whatever happens; those that killed runs left here are removed too."""
    start = f".{beside.name}.part-{re.sub('[^A-Za-z0-9]', '', socket.gethostname())}-"
    folder = beside.parent / f"{start}{os.getpid()}"
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        for old in beside.parent.glob(f"{start}*"):
            if not _alive(old.name.rpartition("-")[2]):
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir()
        yield folder
    except OSError as error:
        raise no_space(error, error.filename or beside) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alive(process: str) -> bool:
    """Whether a process of this machine runs that could be using a scratch folder; a name not ours counts as one."""
    if not process.isdigit():
        return True
    if int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


def _put_in_place(result: Path, folder: Path) -> None:
    """Rename the result to where it belongs; what was there is kept until then."""
    old = result.with_name("old")
    if folder.is_dir():
        os.rename(folder, old)
    try:
        os.rename(result, folder)
    except OSError:
        with suppress(OSError):
            os.rename(old, folder)
        raise
