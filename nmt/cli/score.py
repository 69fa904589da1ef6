"""nmt-score: log-probabilities of given translations."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.cli.common import config_from, make_parser, run
from nmt.device import set_threads
from nmt.scorer import Scorer

PROG = "nmt-score"
DESCRIPTION = """Print the log-probability of each pair, one per line: natural logarithm, summed over the target's
pieces and the end symbol. Of an n-best list (number ||| text ||| ...), each line again with that as its score."""
BLOCK_LINES = 4096


@dataclass(frozen=True)
class Pair:
    """What is scored."""

    source: str
    target: str
    number: int | None = None
    "Of the source line in an n-best list, from 0."


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, score block by block, print."""
    parser = make_parser(PROG, DESCRIPTION, ("paths.model", "runtime.device", "runtime.threads"))
    parser.add_argument("--source", metavar="FILE", required=True, help="source lines, plain or .gz")
    parser.add_argument("--target", metavar="FILE", help="their translations")
    parser.add_argument("--n-best", metavar="FILE", help="several for each: lines of number ||| text ||| anything")
    parser.add_argument("--pieces", action="store_true", help="lines are segmented already")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: the sum, and that of each piece")
    arguments = parser.parse_args(argv)
    if (arguments.target is None) == (arguments.n_best is None):
        raise UserError("one of --target and --n-best is needed", hint="name a file of translations or an n-best list")
    config = config_from(arguments)
    set_threads(config.runtime.threads)
    scorer = Scorer.load(config.paths.model, device=config.runtime.device)
    if arguments.target:
        pairs = _parallel(arguments.source, arguments.target)
    else:
        pairs = _listed(arguments.source, arguments.n_best)
    while block := list(islice(pairs, BLOCK_LINES)):
        sources, targets = [pair.source for pair in block], [pair.target for pair in block]
        for pair, log_probs in zip(block, scorer.score(sources, targets, segmented=arguments.pieces), strict=True):
            print(_line(pair, log_probs, as_json=arguments.json))


def _line(pair: Pair, log_probs: Sequence[float], *, as_json: bool) -> str:
    total = math.fsum(log_probs)
    if as_json:
        number = {} if pair.number is None else {"number": pair.number}
        return json.dumps(number | {"log_prob": total, "pieces": log_probs})
    return f"{total:.6f}" if pair.number is None else f"{pair.number} ||| {pair.target} ||| {total:.6f}"


def _parallel(source_path: str, target_path: str) -> Iterator[Pair]:
    """Line n of one file with line n of the other."""
    source, target = read_lines(Path(source_path)), read_lines(Path(target_path))
    for done, (first, second) in enumerate(zip_longest(source, target)):
        if first is None or second is None:
            ends = ((first, source), (second, target))
            counts = [done + (line is not None) + sum(1 for _ in rest) for line, rest in ends]
            raise UserError(
                f"{source_path} has {counts[0]:,} lines but {target_path} has {counts[1]:,}",
                hint="line n of one must translate line n of the other",
            )
        yield Pair(first, second)


def _listed(source_path: str, list_path: str) -> Iterator[Pair]:
    """Each line of an n-best list with the source line that its number names."""
    sources = list(read_lines(Path(source_path)))
    for line_number, line in enumerate(read_lines(Path(list_path)), 1):
        fields = [field.strip() for field in line.split("|||")]
        place = f"{list_path}:{line_number}"
        if len(fields) < 2 or not (fields[0].isascii() and fields[0].isdigit()):
            raise UserError("no line of an n-best list", where=place, hint="write number ||| text ||| score")
        number = int(fields[0])
        if number >= len(sources):
            problem = f"translates line {number}, counted from 0, but {source_path} has {len(sources):,} lines"
            raise UserError(problem, where=place, hint="name the source that the list was made from")
        yield Pair(sources[number], fields[1], number)


if __name__ == "__main__":
    sys.exit(main())
