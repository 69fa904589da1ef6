"""The flags that say where the word similarity sets are."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from bpe.command import Parser
from nmt.corpora.obtain import DownloadSettings, default_cache
from nmt.reproduce.benchmarks import BenchmarkSource


def add_benchmark_flags(parser: Parser, *, mirror: str) -> None:
    """--benchmarks, --cache, and the flag that names another place to fetch from."""
    add = parser.add_argument
    add("--benchmarks", metavar="DIR", help="folder of the word similarity sets (else fetched)")
    add(mirror, dest="mirror", metavar="FOLDER-OR-URL", help="fetch the word similarity sets here")
    add("--cache", metavar="DIR", help="where downloads are kept ($NMT_CACHE, else ~/.cache/nmt)")


def benchmark_source(arguments: Namespace) -> BenchmarkSource:
    """What was said by them and by --quiet."""
    cache = Path(arguments.cache) if arguments.cache else default_cache()
    return BenchmarkSource(
        folder=Path(arguments.benchmarks) if arguments.benchmarks else None,
        source=DownloadSettings(cache=cache.expanduser(), mirror=arguments.mirror, quiet=arguments.quiet),
    )
