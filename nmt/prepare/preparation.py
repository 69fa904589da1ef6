"""Preparation of a corpus: text files to a prepared folder, in two passes whose memory does not grow with the text.

Everything is made in a scratch folder beside the result and renamed into place at the end, the manifest written last:
a run that was killed leaves nothing that looks finished. Both passes are tasks on shards of the text, which processes
here or elsewhere work on; what they write is joined in the order of the text, so that the result is the same bytes
whoever did the work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bpe.codes import MergeTable
from bpe.errors import UserError
from bpe.overlap import Overlap
from nmt.config import PrepConfig
from nmt.data.corpus import MANIFEST_FILE, VOCABULARY_FILE, PreparedCorpus, ids_file, read_manifest
from nmt.data.dropout import reachable_pieces
from nmt.prepare import manifest as manifests
from nmt.prepare.advice import BYTES, WholeWords, advise
from nmt.prepare.dask_cluster import dask_workers
from nmt.prepare.executors import Executor, local_workers
from nmt.prepare.files import CorpusFiles
from nmt.prepare.filtering import PairRules, all_dropped
from nmt.prepare.findings import LineChecks, detector_of, held_out_files
from nmt.prepare.like import LikeModel
from nmt.prepare.merging import PieceNumbers, SplitStatistics, replace_ids
from nmt.prepare.sanity import check_sides
from nmt.prepare.shards import Shard
from nmt.prepare.splits import Workplace, copy_raw_lines, cut_splits, encode_splits, tokenize_splits, tokenized_files
from nmt.prepare.subword_learning import learn_bpe, learn_sentencepiece, report_learned
from nmt.prepare.tokenizing import WordCounts, check_tokenizer, counted_numbers, with_numbers
from nmt.scratch import put_in_place, remove_scratch, scratch_folder
from nmt.text.pipeline import SIDES, Side, TextOptions, TextPipeline
from nmt.text.vocabulary import Vocabulary

Manifest = manifests.Manifest
RARE = (1, 5, 10)


@dataclass(frozen=True)
class Preparation:
    """One run of nmt-prep."""

    files: CorpusFiles
    prep: PrepConfig
    folder: Path
    "Where the result goes."
    like: LikeModel | None = None
    "The model whose text pipeline and vocabulary are taken; None: they are learned."
    force: bool = False
    "Replace a result that was made otherwise."
    num_workers: int = 1
    "Processes on this machine."
    dask: str | None = None
    "Address of a Dask cluster that does the work, or LOCAL: one of num_workers processes here. None: no Dask."
    quiet: bool = False


@dataclass(frozen=True)
class PreparationResult:
    """What came of it."""

    manifest: Manifest
    already: bool
    "It was there before; nothing was done."


def prepare(run: Preparation) -> PreparationResult:
    """Prepare a corpus, unless the folder holds the same already. Every mistake a user can make is a UserError."""
    described: dict[str, Any] = {
        "options": manifests.describe_options(run.prep, run.files),
        "inputs": manifests.describe_inputs(run.files),
    } | ({} if run.like is None else {"like": run.like.described()})
    remove_scratch(run.folder)
    there = _finished(run, described)
    if there is not None:
        return PreparationResult(there, already=True)
    if run.prep.check_sides:
        check_sides(run.files.splits)
    with scratch_folder(run.folder) as folder:
        with _workers(run, folder) as executor:
            place = Workplace(executor, folder, folder / "result", run.quiet)
            manifest = _build(run, place, described)
        put_in_place(place.result, run.folder)
    return PreparationResult(manifest, already=False)


def _finished(run: Preparation, described: dict[str, Any]) -> Manifest | None:
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
    changes = manifests.differences(read_manifest(folder), described, run.files)
    if changes:
        hint = "--force replaces it; --prepared DIR keeps both"
        raise UserError(f"another preparation is there: {'; '.join(changes)}", where=folder, hint=hint)
    return PreparedCorpus.open(folder).manifest


@contextmanager
def _workers(run: Preparation, scratch: Path) -> Iterator[Executor]:
    if run.dask is None:
        with local_workers(run.num_workers) as executor:
            yield executor
    else:
        paths = [path for pairs in run.files.splits.values() for pair in pairs for path in pair.paths()]
        with dask_workers(run.dask, run.num_workers, scratch, paths) as executor:
            yield executor


def _build(run: Preparation, place: Workplace, described: dict[str, Any]) -> Manifest:
    """All the work, into the folder of the result."""
    files, prep = run.files, run.prep
    place.result.mkdir()
    options = run.like.text.options if run.like else _text_options(files, prep)
    checks = LineChecks.of(prep, files.source, files.target)
    check_tokenizer(options, checks)
    shards, left_out = cut_splits(place, files.splits)
    copy_raw_lines(place, files.splits, checks)
    checks = replace(checks, held_out=held_out_files(place.result))
    counts, looked = tokenize_splits(place, files.splits, shards, options, checks)
    pipeline, learned = _subwords(run, place, shards["train"], counts, options)
    options, learns = pipeline.options, run.like is None or run.like.extend
    reachable = {
        side: reachable_pieces(pipeline, counts.of(side), side) if prep.bpe_dropout and learns else set[str]()
        for side in SIDES
    }
    merges = pipeline.subwords if isinstance(pipeline.subwords, MergeTable) and run.like is None else None
    words = {side: WholeWords.of(counts.of(side), pipeline, side) for side in SIDES if merges is not None}
    pipeline.save(place.result)
    del counts
    rules = PairRules(prep.max_length, prep.max_ratio, prep.deduplicate, prep.min_length, checks.reasons)
    numbers = PieceNumbers()
    shifts = looked["train"].shifts if "shifted" in checks.reasons else []
    statistics = encode_splits(place, {"train": shards.pop("train")}, rules, numbers, shifts)
    if not statistics["train"].pairs:
        raise all_dropped(statistics["train"].pairs_read, statistics["train"].dropped, rules.reasons)
    pieces = _piece_counts(numbers.pieces, statistics["train"])
    uncounted = {side: reachable[side] | pipeline.always_known for side in SIDES}
    vocabulary = run.like.grown(pieces, uncounted) if run.like else _vocabulary(pieces, uncounted)
    vocabulary.save(place.result / VOCABULARY_FILE)
    if pipeline.options.byte_fallback and learns:  # from here on every piece is one that training has seen
        pipeline.of_pieces(vocabulary.side("source"), vocabulary.side("target")).save(place.result)
    del pipeline
    statistics |= encode_splits(place, {name: shards[name] for name in reversed(shards)}, rules, numbers)
    _number_pieces(place.result, numbers.pieces, vocabulary, statistics)
    content = {
        "source": files.source,
        "target": files.target,
        "direction": files.chosen,
        **described,
        "subwords": asdict(learned),
        "splits": {name: manifests.describe_split(split, looked[name]) for name, split in statistics.items()},
        "reasons": rules.reasons,
        "findings": checks.findings,
        "units_left_out": left_out,
        "detector": detector_of(checks),
        "vocabulary": manifests.describe_vocabulary(vocabulary, _rare(pieces))
        | ({} if run.like is None else {"grown": vocabulary.size - run.like.vocabulary.size}),
        "overlap": manifests.describe_overlap(Overlap.of(pieces["source"], pieces["target"])),
    } | ({} if options.numbers is None else {"numbers": dict(options.numbers)})
    content["advice"] = advise(content, pieces, merges, words)
    return manifests.write_manifest(place.result, content)


def _subwords(
    run: Preparation, place: Workplace, train: Sequence[Shard], counts: WordCounts, options: TextOptions
) -> tuple[TextPipeline, manifests.LearnedSubwords]:
    """The text pipeline, learned from the training text or a model's, and what was learned."""
    if run.like is not None:
        return run.like.pipeline(counts, run.prep)
    options = counted_numbers(options, counts)
    if run.prep.sentencepiece:
        return learn_sentencepiece(tokenized_files(place, train), run.prep, options)
    pipeline, learned = learn_bpe(counts, run.prep, options, run.quiet)
    report_learned(learned, run.prep.min_frequency, run.quiet)
    return pipeline, learned


def _text_options(files: CorpusFiles, prep: PrepConfig) -> TextOptions:
    return with_numbers(
        TextOptions(
            source=files.source,
            target=files.target,
            tokenizer="none" if prep.sentencepiece and prep.tokenizer == "moses" else prep.tokenizer,
            source_normalize=prep.source_normalize,
            target_normalize=prep.target_normalize,
            protect=prep.protect,
            subwords="sentencepiece" if prep.sentencepiece else "bpe",
        )
    )


def _piece_counts(pieces: list[str], train: SplitStatistics) -> dict[Side, dict[str, int]]:
    """How often each piece occurs on each side of the training pairs that were kept.

    pieces: of each provisional id.
    """
    by_side: dict[Side, dict[str, int]] = {}
    for side in SIDES:
        counts = train.piece_counts[side].tolist()
        by_side[side] = {pieces[number]: counts[number] for number in range(1, len(counts)) if counts[number]}
    return by_side


def _vocabulary(pieces: Mapping[Side, Mapping[str, int]], uncounted: Mapping[Side, set[str]]) -> Vocabulary:
    """The vocabulary of the training pairs that were kept. uncounted: pieces of each side that it also holds."""
    return Vocabulary.from_counts(pieces["source"], pieces["target"], (uncounted["source"], uncounted["target"]))


def _rare(pieces: Mapping[Side, Mapping[str, int]]) -> dict[int, int]:
    """How many pieces occur at most so often, both sides taken together."""
    source, target = pieces["source"], pieces["target"]
    joint = np.array([source.get(piece, 0) + target.get(piece, 0) for piece in source.keys() | target.keys()])
    return {limit: int((joint <= limit).sum()) for limit in RARE}


def _number_pieces(
    result: Path, pieces: list[str], vocabulary: Vocabulary, statistics: dict[str, SplitStatistics]
) -> None:
    """Replace the provisional ids on disk by union ids, and count what is unknown, and bytes.

    After it the provisional ids that are counted are 0: unknown, 1: bytes, 2: all else.
    """
    bytes_there = np.array([piece in BYTES for piece in pieces])
    table = np.array([vocabulary.id_of(piece) if piece else 1 for piece in pieces], dtype=np.int32)
    for name, split in statistics.items():
        for side in SIDES:
            replace_ids(result / ids_file(name, side), table)
            counts = split.piece_counts[side]
            unknown = int(counts[table[: len(counts)] == 1].sum())
            spelt = int(counts[bytes_there[: len(counts)]].sum())
            split.piece_counts[side] = np.array([unknown, spelt, int(counts.sum()) - unknown - spelt])
