"""nmt-score: log-probabilities of given translations."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.cli.common import config_from, make_parser, run
from nmt.device import set_threads
from nmt.scorer import Scorer

PROG = "nmt-score"
DESCRIPTION = """Print the log-probability of each pair, one per line: natural logarithm, summed over the target's
pieces and the end symbol."""
BLOCK_LINES = 4096


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, score block by block, print."""
    parser = make_parser(PROG, DESCRIPTION, ("paths.model", "runtime.device", "runtime.threads"))
    parser.add_argument("--source", metavar="FILE", required=True, help="source lines, plain or .gz")
    parser.add_argument("--target", metavar="FILE", required=True, help="their translations")
    parser.add_argument("--pieces", action="store_true", help="lines are segmented already")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: the sum, and that of each piece")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    set_threads(config.runtime.threads)
    scorer = Scorer.load(config.paths.model, device=config.runtime.device)
    source, target = read_lines(Path(arguments.source)), read_lines(Path(arguments.target))
    done = 0
    while True:
        sources, targets = list(islice(source, BLOCK_LINES)), list(islice(target, BLOCK_LINES))
        if len(sources) != len(targets):
            counts = [
                done + len(block) + sum(1 for _ in rest) for block, rest in ((sources, source), (targets, target))
            ]
            raise UserError(
                f"{arguments.source} has {counts[0]:,} lines but {arguments.target} has {counts[1]:,}",
                hint="line n of one must translate line n of the other",
            )
        if not sources:
            return
        for log_probs in scorer.score(sources, targets, segmented=arguments.pieces):
            total = math.fsum(log_probs)
            print(json.dumps({"log_prob": total, "pieces": log_probs}) if arguments.json else f"{total:.6f}")
        done += len(sources)


if __name__ == "__main__":
    sys.exit(main())
