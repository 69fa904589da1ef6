"""nmt-shortlist: collect, for each source piece, the target pieces that search may score in its stead."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import config_from, make_parser, run
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import VOCABULARY, read_manifest
from nmt.shortlist import Shortlist, ShortlistOptions
from nmt.shortlist.coverage import measure
from nmt.text.vocabulary import Vocabulary

PROG = "nmt-shortlist"
DESCRIPTION = """Learn from prepared data which target pieces each source piece suggests, and write them into the model
folder as shortlist.safetensors, in place of an older one: with --shortlist, nmt-translate scores only these, the most
frequent target pieces, and the sentence's own pieces. Worth its while where the vocabulary is large."""
NUMBERS = {
    "per_piece": "target pieces that a source piece suggests, besides the frequent ones",
    "frequent": "most frequent target pieces, which any sentence may use",
    "max_pairs": "training pairs to learn from; of more, those with rare pieces are preferred",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, learn, write, say what came of it."""
    parser = make_parser(PROG, DESCRIPTION, ("paths.model", "paths.prepared"))
    for name, meaning in NUMBERS.items():
        help_text = f"{meaning} (default {getattr(ShortlistOptions, name):,})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=help_text)
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    given = {name: getattr(arguments, name) for name in NUMBERS if getattr(arguments, name) is not None}
    options = ShortlistOptions(**given)
    folder, corpus = Path(config.paths.model), PreparedCorpus.open(config.paths.prepared)
    check_vocabulary(folder, corpus)
    shortlist = Shortlist.build(corpus.split("train"), corpus.vocabulary, options, quiet=arguments.quiet)
    path = shortlist.save(folder)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, {summary(shortlist, corpus)}")


def check_vocabulary(folder: Path, corpus: PreparedCorpus) -> None:
    """A shortlist is of ids: other data will do if it was prepared with the model's vocabulary."""
    read_manifest(folder)
    if Vocabulary.load(folder / VOCABULARY).fingerprint != corpus.vocabulary.fingerprint:
        raise UserError(
            f"has another vocabulary than {corpus.folder}", where=folder, hint="name its data with --prepared"
        )


def summary(shortlist: Shortlist, corpus: PreparedCorpus) -> str:
    """What is in it, and how much of the validation data it covers."""
    vocabulary = corpus.vocabulary
    text = f"{len(shortlist.targets):,} suggestions of {vocabulary.source_size:,} source pieces"
    if not corpus.has_split("valid"):
        return text
    found = measure(shortlist.for_view(vocabulary.target_view(shared=True)), corpus.split("valid"), vocabulary)
    return (
        f"{text}\nvalidation data: {found.candidates:,.0f} of {vocabulary.target_size:,} target pieces a sentence, "
        f"{found.pieces:.2%} of the references' pieces among them, {found.sentences:.1%} of the references whole"
    )


if __name__ == "__main__":
    sys.exit(main())
