"""nmt-prep: corpus/ -> prepared/."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from bpe.command import num_cores
from bpe.errors import UserError
from nmt.cli.common import config_from, make_parser, overrides, run
from nmt.config import Config
from nmt.prepare.dask_cluster import LOCAL
from nmt.prepare.files import CorpusFiles, find_corpus, named_files
from nmt.prepare.leftout import in_words, left_out
from nmt.prepare.like import LikeModel
from nmt.prepare.preparation import Preparation, prepare
from nmt.prepare.report import summary
from nmt.text.languages import read_tag
from nmt.text.tokenization import without_rules

KEYS = (
    "paths.corpus",
    "paths.prepared",
    "prep.source",
    "prep.target",
    "prep.joint_bpe",
    "prep.sentencepiece",
    "prep.tokenizer",
    "prep.protect",
    "prep.min_length",
    "prep.max_length",
    "prep.max_ratio",
    "prep.max_word_length",
    "prep.min_alphabetic",
    "prep.deduplicate",
    "prep.drop",
    "prep.detect_languages",
    "prep.unescape_entities",
    "runtime.threads",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run nmt-prep; returns the exit code."""
    return run("nmt-prep", _main, argv)


def _main(argv: list[str]) -> None:
    arguments = _parse(argv)
    like = _like(arguments)
    config = config_from(arguments, like.options(overrides(arguments)) if like else None)
    files = _files(arguments, config)
    preparation = Preparation(
        files=files,
        prep=replace(config.prep, source=files.source, target=files.target),
        folder=Path(config.paths.prepared).resolve(),
        like=like,
        force=arguments.force,
        num_workers=config.runtime.threads or num_cores(),
        dask=arguments.dask,
        quiet=arguments.quiet,
    )
    if not arguments.quiet:
        print(_what(files, config), file=sys.stderr)
    with _clean_exit_on_terminate():
        prepared = prepare(preparation)
    if arguments.json:
        print(json.dumps(prepared.manifest, ensure_ascii=False, indent=1))
    elif not arguments.quiet:
        print(summary(prepared.manifest, Path(config.paths.prepared), config.model.embedding_size))
    if prepared.already and not arguments.quiet:
        print(f"{config.paths.prepared}: already prepared from the same text with the same options", file=sys.stderr)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = make_parser("nmt-prep", "Prepare parallel text: learn the joint BPE and one vocabulary, write ids.", KEYS)
    pair = {"nargs": "+", "action": "append", "default": [], "metavar": "FILE"}
    both = "source and target, or one .tsv or .tmx with both"
    parser.add_argument("--train", **pair, help=f"training text: {both}; may be repeated")  # type: ignore[arg-type]
    parser.add_argument("--valid", **pair, help=f"validation text: {both}")  # type: ignore[arg-type]
    parser.add_argument("--test", **pair, help=f"test text: {both}")  # type: ignore[arg-type]
    parser.add_argument("--like", metavar="MODEL", help="take the text pipeline and the vocabulary of a model folder")
    parser.add_argument("--extend", action="store_true", help="with --like: new pieces join the model's vocabulary")
    parser.add_argument("--force", action="store_true", help="replace what is prepared there already")
    dask = "work on the Dask cluster at tcp://HOST:PORT; without an address on --threads Dask workers started here"
    parser.add_argument("--dask", nargs="?", const=LOCAL, metavar="ADDRESS", help=dask)
    parser.add_argument("--json", action="store_true", help="print the manifest, not the summary")
    return parser.parse_args(argv)


def _like(arguments: argparse.Namespace) -> LikeModel | None:
    """The model whose text is the pattern."""
    if arguments.like is None:
        if arguments.extend:
            raise UserError("--extend says that a model's vocabulary may grow", hint="name the model with --like MODEL")
        return None
    return LikeModel.read(arguments.like, extend=arguments.extend)


def _files(arguments: argparse.Namespace, config: Config) -> CorpusFiles:
    """The corpus: the files that are named, else those of the folder."""
    named = {split: getattr(arguments, split) for split in ("train", "valid", "test")}
    if named["train"]:
        if getattr(arguments, "paths.corpus") is not None:
            raise UserError("--train names the text and so does --corpus", hint="use one of them")
        return named_files(named, config.prep.source, config.prep.target)
    return find_corpus(config.paths.corpus, config.prep.source, config.prep.target, named)


def _what(files: CorpusFiles, config: Config) -> str:
    """The direction and the files, so that a wrong one shows before the work, and what else is in their folder."""
    lines = [f"{read_tag(files.source)} -> {read_tag(files.target)} ({files.chosen})"]
    for split, pairs in files.splits.items():
        names = [" ".join(dict.fromkeys(map(str, pair.paths()))) for pair in pairs]
        lines += [f"  {split}: {', '.join(names)}"]
    if files.folder is not None:
        lines += in_words(left_out(files.folder, files))
    lines += filter(None, (without_rules(config.prep.tokenizer, tag) for tag in (files.source, files.target)))
    return "\n".join(lines)


@contextmanager
def _clean_exit_on_terminate() -> Iterator[None]:
    """SIGTERM leaves as Ctrl-C does, so that what was begun is removed."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
