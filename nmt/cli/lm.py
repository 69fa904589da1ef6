"""nmt-lm: language models, one subcommand each for preparing text, training, scoring and drawing text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import nmt
from bpe.command import run
from bpe.errors import UserError

PROG = "nmt-lm"
COMMANDS = {
    "prep": "running text -> prepared words or subwords",
    "train": "prepared text -> a model, tied or not",
    "score": "the perplexity of a text, or the log-probability of each of its lines",
    "generate": "text drawn from a model",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] == "train":  # which has exit codes of its own
        from nmt.cli import lm_train

        return lm_train.main(words[1:])
    return run(PROG, command, words)


def command(argv: list[str]) -> None:
    """Hand over to the subcommand."""
    if not argv:
        raise UserError("no command named", hint=f"choose one of {', '.join(COMMANDS)}")
    if argv[0] in ("-h", "--help"):
        print(usage())
    elif argv[0] == "--version":
        print(f"{PROG} {nmt.__version__}")
    elif argv[0] in COMMANDS:
        called: Callable[[list[str]], None] = import_module(f"nmt.cli.lm_{argv[0]}").command
        called(argv[1:])
    else:
        raise UserError(f"unknown command {argv[0]!r}", hint=f"choose one of {', '.join(COMMANDS)}")


def usage() -> str:
    """What there is."""
    lines = [f"  {name:<10} {meaning}" for name, meaning in COMMANDS.items()]
    told = f"{PROG} COMMAND --help tells each one's options"
    return "\n".join([f"usage: {PROG} COMMAND [options]", "", *lines, "", told])


if __name__ == "__main__":
    sys.exit(main())
