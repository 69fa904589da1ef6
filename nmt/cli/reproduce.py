"""nmt-reproduce: the paper's tables, one subcommand each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import nmt
from bpe.errors import UserError
from nmt.cli import (
    reproduce_advise,
    reproduce_all,
    reproduce_gradients,
    reproduce_language,
    reproduce_render,
    reproduce_similarity,
    reproduce_table1,
    reproduce_table2,
    reproduce_table3,
    reproduce_table4,
    reproduce_table7,
    reproduce_table8,
    reproduce_tying,
)
from nmt.cli.common import run

PROG = "nmt-reproduce"
TABLES: dict[str, tuple[Callable[[list[str]], None], str]] = {
    "table8": (reproduce_table8.command, "train the three tying modes on a corpus, score and compare them"),
    "table1": (
        reproduce_table1.command,
        "how two languages share the pieces of a joint BPE, and what tying would save",
    ),
    "table2": (reproduce_table2.command, "train word2vec untied and tied, score its rows on word similarity"),
    "table3": (reproduce_table3.command, "score the rows of small language models on word similarity"),
    "table4": (reproduce_table4.command, "which of the matrices of untied and tied models are alike"),
    "table5": (reproduce_language.command_of("table5"), "large language models with dropout, tied and untied"),
    "table6": (reproduce_language.command_of("table6"), "small language models without dropout, tied and untied"),
    "table7": (reproduce_table7.command, "the small models of table 6 on text8, IMDB and BBC"),
    "all": (reproduce_all.command, "one page for the whole paper, from the reports of its tables"),
    "gradients": (reproduce_gradients.command, "how the two roles of a tied embedding share its updates (section 3)"),
    "similarity": (reproduce_similarity.command, "what tying does to the embeddings of trained models"),
    "tying": (reproduce_tying.command, "what each role of a tied table does to it in training"),
    "advise": (reproduce_advise.command, "how a pair of languages should be tied: counts and a short paired training"),
    "render": (reproduce_render.command, "a report again from its JSON, as this version shows it"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Hand over to the table's own command."""
    if not argv:
        raise UserError("no table named", hint=f"choose one of {', '.join(TABLES)}")
    if argv[0] in ("-h", "--help"):
        print(usage())
    elif argv[0] == "--version":
        print(f"{PROG} {nmt.__version__}")
    elif argv[0] in TABLES:
        TABLES[argv[0]][0](argv[1:])
    else:
        raise UserError(f"unknown table {argv[0]!r}", hint=f"choose one of {', '.join(TABLES)}")


def usage() -> str:
    """What there is."""
    lines = [f"  {name:<12} {meaning}" for name, (_, meaning) in TABLES.items()]
    return "\n".join(
        [f"usage: {PROG} TABLE [options]", "", *lines, "", f"{PROG} TABLE --help tells each one's options"]
    )


if __name__ == "__main__":
    sys.exit(main())
