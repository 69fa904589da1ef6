"""Preparation of a running text for a language model: its vocabulary, and its words as rows of it.

Made in a scratch folder beside the result and renamed into place at the end, the manifest written last. Two passes over
the text, one line in memory at a time: one that counts, one that writes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import sha256_of
from nmt.config import PrepConfig
from nmt.data.corpus import MANIFEST_FILE, VOCABULARY_FILE
from nmt.data.running_text import ID_TYPE, RunningText, ids_file, read_text_manifest, write_text_manifest
from nmt.prepare.names import SPLITS
from nmt.prepare.subword_learning import learn_bpe
from nmt.prepare.target_text import TargetText
from nmt.prepare.tokenizing import WordCounts
from nmt.scratch import put_in_place, remove_scratch, scratch_folder
from nmt.text.lines import bounded_lines, word_portions
from nmt.text.pipeline import TextOptions
from nmt.text.words import END, END_NAME, UNKNOWN_NAME, WordVocabulary

Cut = Callable[[str], list[str]]
"A raw line's words or pieces."
Read = Callable[[Path], Iterator[tuple[str, bool]]]
"Reads a file: a line or a portion of one, and whether the line ends with it."


@dataclass(frozen=True, kw_only=True)
class TextPreparation:
    """One run of nmt-lm prep."""

    files: Mapping[str, Path]
    "The file of each split; train is there."
    folder: Path
    "Where the result goes."
    vocabulary: int = 0
    "Rows at most, the most frequent words; the others are <unk>. 0: all words of the training text."
    min_count: int = 1
    "Words that occur less often in the training text are <unk>."
    joint_bpe: int = 0
    "Merges of the BPE that the text is cut by; 0: words, between white space."
    language: str = "en"
    "Whose rules a tokenizer goes by, for subwords."
    tokenizer: str = "reversible"
    "How text is split before it is cut into subwords: reversible, moses or none."
    like: TargetText | None = None
    "The translation model whose targets' pieces and vocabulary it takes, in place of all these."
    force: bool = False
    quiet: bool = False

    def options(self) -> dict[str, Any]:
        """What the result depends on besides the text."""
        if self.like:
            return {"like": self.like.described()}
        if not self.joint_bpe:
            rare = {"min_count": self.min_count} if self.min_count > 1 else {}
            return {"vocabulary": self.vocabulary, **rare}
        return {"joint_bpe": self.joint_bpe, "language": self.language, "tokenizer": self.tokenizer}


def find_text(folder: Path | str, named: Mapping[str, str | None], language: str = "") -> dict[str, Path]:
    """The file of each split: those that are named, else the ones of a folder called by it, as wiki.train.tokens is.

    language: where several could be a split, the one whose name has it at its end or before a compression's (train.de).
    """
    if named["train"]:
        return {split: Path(path) for split, path in named.items() if path}
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder", where=folder, hint="name it with --corpus, or the files with --train FILE")
    found: dict[str, Path] = {split: Path(path) for split, path in named.items() if path}
    for split in SPLITS:
        if split in found:
            continue
        files = sorted(path for path in folder.iterdir() if path.is_file() and split in path.name.split("."))
        if len(files) > 1 and language:
            files = [path for path in files if language in path.name.split(".")[-2:]] or files
        if len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise UserError(f"several files could be {split} ({names})", where=folder, hint=f"name one with --{split}")
        if files:
            found[split] = files[0]
    if "train" not in found:
        hint = "call it train.txt or the like, or name it with --train FILE"
        raise UserError("holds no file of training text", where=folder, hint=hint)
    return {split: found[split] for split in SPLITS if split in found}


def prepare_text(run: TextPreparation) -> dict[str, Any]:
    """Prepare a text, unless the folder holds the same already; returns the manifest."""
    inputs = {split: {"file": path.name, "sha256": _hash(path)} for split, path in run.files.items()}
    described = {"options": run.options(), "inputs": inputs}
    remove_scratch(run.folder)
    there = _finished(run, described)
    if there is not None:
        return there
    with scratch_folder(run.folder) as scratch:
        result = scratch / "result"
        result.mkdir()
        manifest = _build(run, result, described)
        put_in_place(result, run.folder)
    return manifest


def _hash(path: Path) -> str:
    if not path.is_file():
        raise UserError("no such file", where=path, hint="check the path")
    return sha256_of(path)


def _finished(run: TextPreparation, described: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of the same work done before; UserError where something else is in the way."""
    folder = run.folder
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        raise UserError("not a folder", where=folder, hint="choose another with --prepared")
    if not any(folder.iterdir()):
        return None
    if not (folder / MANIFEST_FILE).is_file():
        raise UserError("holds files that nmt-lm prep did not write", where=folder, hint="choose another --prepared")
    there = read_text_manifest(folder)
    if run.force:
        return None
    if any(there.get(name) != value for name, value in described.items()):
        hint = "--force replaces it; --prepared DIR keeps both"
        raise UserError("another preparation is there, of another text or with other options", where=folder, hint=hint)
    return RunningText.open(folder).manifest


def _build(run: TextPreparation, result: Path, described: dict[str, Any]) -> dict[str, Any]:
    """All the work, into the folder of the result."""
    vocabulary, cut, learned = _vocabulary(run, result)
    read: Read = _whole_lines if run.joint_bpe or run.like else word_portions
    vocabulary.save(result / VOCABULARY_FILE)
    splits = {
        split: _encode(read, path, result / ids_file(split), vocabulary, cut) for split, path in run.files.items()
    }
    content = {**described, **learned, "splits": splits}
    content["vocabulary"] = {
        "size": vocabulary.size,
        "subwords": vocabulary.subwords,
        "unknown": vocabulary.unknown is not None,
        "fingerprint": vocabulary.fingerprint,
    }
    hashes = {path.name: sha256_of(path) for path in sorted(result.iterdir())}
    fingerprint = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
    return write_text_manifest(result, content, fingerprint)


def _vocabulary(run: TextPreparation, result: Path) -> tuple[WordVocabulary, Cut, dict[str, Any]]:
    """The rows, what cuts a line into their names, and what the manifest tells of learning them."""
    if run.like:
        run.like.copy_text(result)
        return run.like.vocabulary, run.like.text.pieces_of_target_alone, {}
    return _subwords(run, result) if run.joint_bpe else (_words(run), str.split, {})


def _words(run: TextPreparation) -> WordVocabulary:
    """The words of the training text. Where all have a row, <unk> has one too if held-out text needs it."""
    counts = _counted(word_portions, run.files["train"], str.split)
    vocabulary = WordVocabulary.from_counts(counts, run.vocabulary, min_count=run.min_count)
    if vocabulary.unknown is not None:
        return vocabulary
    known = {*counts, END_NAME}
    others = (path for split, path in run.files.items() if split != "train")
    if all(known.issuperset(text.split()) for path in others for text, _ in word_portions(path)):
        return vocabulary
    return WordVocabulary.from_counts(counts, run.vocabulary, unknown=True)


def _subwords(run: TextPreparation, result: Path) -> tuple[WordVocabulary, Cut, dict[str, Any]]:
    """The pieces that a BPE cuts the training text into, and those that spell in bytes what it lacks."""
    options = TextOptions(source=run.language, target=run.language, tokenizer=run.tokenizer)
    words = _counted(_whole_lines, run.files["train"], options.make_tokenizer("source").words)
    prep = PrepConfig(joint_bpe=run.joint_bpe, tokenizer=run.tokenizer)
    pipeline, learned = learn_bpe(WordCounts(source=words), prep, options, run.quiet)
    pieces: Counter[str] = Counter(dict.fromkeys(pipeline.always_known, 0))
    for word, count in words.items():
        for piece in pipeline.pieces_of_words([word], "source"):
            pieces[piece] += count
    pipeline = pipeline.of_pieces(pieces, pieces)  # from here on every piece is one that training has seen
    pipeline.save(result)
    order = tuple(sorted(pieces, key=lambda piece: (-pieces[piece], piece)))
    told = {"subwords": {"merges": learned.learned, "characters": learned.characters}}
    return WordVocabulary(order, subwords=True), lambda line: pipeline.pieces(line, "source"), told


def _whole_lines(path: Path) -> Iterator[tuple[str, bool]]:
    return ((line, True) for line in bounded_lines(path))


def _counted(read: Read, path: Path, cut: Cut) -> Counter[str]:
    """How often each word occurs; a text without words is a UserError."""
    counts: Counter[str] = Counter()
    for text, _ in read(path):
        counts.update(cut(text))
    if not counts:
        raise UserError("an empty text: it has no word", where=path, hint="check the file")
    return counts


def _encode(read: Read, path: Path, target: Path, vocabulary: WordVocabulary, cut: Cut) -> dict[str, int]:
    """Write a split's words; returns what it holds."""
    lines = words = unknown = 0
    with open(target, "wb") as stream:
        for text, ended in read(path):
            rows = vocabulary.encode(cut(text))
            rows += [END] if ended else []
            stream.write(np.array(rows, dtype=ID_TYPE).tobytes())
            lines, words = lines + ended, words + len(rows)
            if vocabulary.unknown is not None:
                unknown += rows.count(vocabulary.unknown)
    if words == lines:
        raise UserError("an empty text: it has no word", where=path, hint="check the file, or leave the split out")
    return {"lines": lines, "words": words, "unknown": unknown}


def text_summary(manifest: Mapping[str, Any], folder: Path | str) -> str:
    """What was prepared, for people."""
    vocabulary = manifest["vocabulary"]
    unit = "pieces" if vocabulary["subwords"] else "words"
    lines = [f"{folder}: {vocabulary['size']:,} {unit} in the vocabulary, {END_NAME} counted"]
    for name, split in manifest["splits"].items():
        told = f"{split['lines']:,} lines, {split['words']:,} {unit} with {END_NAME}"
        share = (
            f", {100 * split['unknown'] / split['words']:.2f}% of them {UNKNOWN_NAME}" if vocabulary["unknown"] else ""
        )
        lines.append(f"  {name:<6} {told}{share}")
    if vocabulary["unknown"] and not vocabulary["subwords"] and not manifest["splits"]["train"]["unknown"]:
        lines.append(f"  the training text has no {UNKNOWN_NAME}, and so nothing is learned of it: see --vocabulary")
    return "\n".join(lines)
