"""nmt-data: list the catalogue, show an entry, fetch a corpus into the corpus folder."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nmt
from nmt.cli.common import Parser, run
from nmt.config import PathsConfig
from nmt.corpora.catalogue import CORPORA, find
from nmt.corpora.fetch import fetch
from nmt.corpora.obtain import DownloadSettings, default_cache
from nmt.corpora.records import SHOWN_PAIRS, Corpus, Pair, megabytes

PROG = "nmt-data"


def make_parser() -> Parser:
    """The command line: list, show, fetch."""
    parser = Parser(prog=PROG, description="Lists and fetches corpora by name.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROG} {nmt.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="what can be fetched", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="machine-readable")
    show = commands.add_parser("show", help="licence, citation, files and checksums of a corpus", allow_abbrev=False)
    show.add_argument("name", metavar="NAME")
    show.add_argument("--json", action="store_true", help="machine-readable")
    add_fetch(commands.add_parser("fetch", help="fetch a corpus into the corpus folder", allow_abbrev=False))
    return parser


def add_fetch(parser: argparse.ArgumentParser) -> None:
    """The flags of nmt-data fetch."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--src", metavar="LANG", help="source language")
    parser.add_argument("--tgt", metavar="LANG", help="target language")
    parser.add_argument("--corpus", metavar="DIR", default=PathsConfig().corpus, help="folder to write to (corpus)")
    parser.add_argument("--from", dest="mirror", metavar="FOLDER-OR-URL", help="take the files from here")
    parser.add_argument("--cache", metavar="DIR", help="where downloads are kept ($NMT_CACHE, else ~/.cache/nmt)")
    parser.add_argument("--force", action="store_true", help="replace the text of the same splits in the corpus folder")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def command(argv: list[str]) -> None:
    """Parse, call, print."""
    arguments = make_parser().parse_args(argv)
    if arguments.command == "list":
        print_list(arguments.json)
    elif arguments.command == "show":
        print_entry(find(arguments.name), arguments.json)
    else:
        fetch_command(arguments)


def print_list(as_json: bool) -> None:
    """One line a corpus and pair, or all of it as JSON."""
    if as_json:
        print(json.dumps([entry(corpus) for corpus in CORPORA.values()], indent=2, ensure_ascii=False))
        return
    rows = [("NAME", "PAIR", "DOWNLOAD", "LINES", "FOR")]
    for corpus in CORPORA.values():
        listed = [pair for pair in corpus.pairs if len(corpus.pairs) <= SHOWN_PAIRS or pair in corpus.outputs]
        rows += [
            (corpus.name, corpus.label(pair), download_size(corpus, pair), line_counts(corpus, pair), corpus.purpose)
            for pair in listed
        ]
        if others := [pair for pair in corpus.pairs if pair not in listed]:
            more = f"{others[0][0]}-.. ({len(others)} more)"
            rows.append((corpus.name, more, download_size(corpus, others[0]), "?", f"{PROG} show {corpus.name}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row[:4], widths, strict=True)), row[4]]))
    print(f"\nLicence, citation, files and checksums: {PROG} show NAME. Fetch: {PROG} fetch NAME --src en --tgt de")
    print(f"Text in one language (train.txt, valid.txt, test.txt): {PROG} fetch NAME")


def download_size(corpus: Corpus, pair: Pair) -> str:
    """The sizes that are known, added up."""
    sizes = [file.size for file in corpus.files(pair)]
    known = sum(size for size in sizes if size is not None)
    if not known:
        return "small"
    return megabytes(known) if None not in sizes else f"{megabytes(known)}+"


def line_counts(corpus: Corpus, pair: Pair) -> str:
    """train + valid + test, as far as they are known."""
    counts = []
    for split in corpus.splits:
        lines = corpus.expected(pair, f"{split}.{pair[0]}").lines
        about = corpus.approximate_pairs.get(pair) if split == "train" else None
        counts.append(f"{lines:,}" if lines is not None else f"~{about:,}" if about else "?")
    return " + ".join(counts)


def entry(corpus: Corpus) -> dict[str, Any]:
    """All that the catalogue knows of a corpus, as JSON."""
    texts = ("name", "title", "purpose", "licence", "citation", "source", "notes")
    return {key: getattr(corpus, key) for key in texts} | {
        "pairs": [
            {
                "pair": list(pair),
                "download": [asdict(file) for file in corpus.files(pair)],
                "written": {name: asdict(corpus.expected(pair, name)) for name in corpus.written(pair)},
                "approximate_training_pairs": corpus.approximate_pairs.get(pair),
            }
            for pair in corpus.pairs
        ]
    }


def print_entry(corpus: Corpus, as_json: bool) -> None:
    """One entry in full."""
    if as_json:
        print(json.dumps(entry(corpus), indent=2, ensure_ascii=False))
        return
    for key in ("name", "title", "purpose", "licence", "citation", "source", "notes"):
        print(f"{key + ':':<10}{getattr(corpus, key)}")
    print(f"{'pairs:':<10}{' '.join(map(corpus.label, corpus.pairs))}")
    for pair in corpus.pairs if len(corpus.pairs) <= SHOWN_PAIRS else corpus.outputs:
        print(f"\n{corpus.label(pair)}: downloads {download_size(corpus, pair)}")
        for file in corpus.files(pair):
            size = f"{file.size:,} bytes" if file.size else "size unknown"
            print(f"  {file.name}  {size}  {file.url}\n    {checksum(file.sha256, file.md5)}  ({file.checksum_source})")
        print("  writes")
        for name in corpus.written(pair):
            expected = corpus.expected(pair, name)
            lines = f"{expected.lines:,} lines" if expected.lines else "lines counted when written"
            lines += f", {expected.words:,} words" if expected.words else ""
            note = "" if expected.strict else "  (of another public copy)"
            print(f"    {name}  {lines}  {checksum(expected.sha256, '')}{note}")


def checksum(sha256: str, md5: str) -> str:
    """A checksum with its name."""
    if sha256:
        return f"sha256 {sha256}"
    return f"md5 {md5}" if md5 else "no published checksum; recorded when first fetched"


def fetch_command(arguments: argparse.Namespace) -> None:
    """nmt-data fetch."""
    corpus = find(arguments.name)
    pair = corpus.resolve(arguments.src, arguments.tgt)
    cache = Path(arguments.cache) if arguments.cache else default_cache()
    source = DownloadSettings(cache=cache.expanduser(), mirror=arguments.mirror, quiet=arguments.quiet)
    folder = Path(arguments.corpus)

    def announce() -> None:
        where = f" from {arguments.mirror}" if arguments.mirror else f", kept in {source.cache}"
        said = f"{corpus.name} {corpus.label(pair)}: {download_size(corpus, pair)} to download{where}"
        if not arguments.quiet:
            say(f"{said}; licence: {corpus.licence}")

    result = fetch(corpus, pair, folder, source, force=arguments.force, announce=announce)
    print(f"{corpus.name} {corpus.label(pair)} {'is there already, verified' if result.already else 'is'} in {folder}/")
    for file in result.files:
        words = f", {file.words:,} words" if file.words is not None else ""
        print(f"  {file.name}  {file.lines:,} lines{words}  sha256 {file.sha256}")
    for remark in result.remarks:
        say(f"note: {remark}")
    missing = [split for split in ("train", "valid", "test") if split not in corpus.splits]
    if missing and {"train", "valid", "test"} & set(corpus.splits):
        print(f"This corpus has no {' and no '.join(missing)}.")


def say(text: str) -> None:
    """A remark on standard error."""
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit code."""
    return run(PROG, command, argv)


if __name__ == "__main__":
    sys.exit(main())
