"""nmt-reproduce table3: word similarity of the rows of small language models, tied and untied."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from nmt.cli.common import make_parser
from nmt.cli.reproduce_benchmarks import add_benchmark_flags, benchmark_source
from nmt.cli.reproduce_language import (
    KEYS,
    add_text_flags,
    add_training_flags,
    check_training_flags,
    experiment_of,
    refuse_training_flags,
    train_waiting,
)
from nmt.reproduce import paper
from nmt.reproduce.language.rows import open_experiment
from nmt.reproduce.table3 import Table3Caption, score_rows
from nmt.reproduce.table3_report import table3_text, write_table3

PROG = "nmt-reproduce table3"
DESCRIPTION = """Score the rows of the input, the output and the tied matrix of small language models on five word
similarity benchmarks, as in Press & Wolf (2017), Table 3. The models are those that nmt-reproduce table6 trained, named
by --from, or an untied and a tied one for each seed, trained here on the text of --corpus; what is finished is not done
again."""


def command(argv: list[str]) -> None:
    """Parse, train where it must, score, print."""
    parser = make_parser(PROG, DESCRIPTION, KEYS)
    add = parser.add_argument
    add("--from", dest="trained", metavar="DIR", help="folder of nmt-reproduce table6, whose models are taken")
    columns = "whose figures stand beside ours, of the paper's two texts (ptb)"
    add("--column", choices=tuple(paper.TABLE_3), default="ptb", help=columns)
    add_benchmark_flags(parser, mirror="--benchmarks-from")
    add_training_flags(parser, "reproduction-table3")
    add_text_flags(parser)
    arguments = parser.parse_args(argv)
    check_training_flags(arguments)
    folder = Path(arguments.out)
    if arguments.trained:
        refuse_training_flags(parser, arguments)
        experiment = open_experiment(Path(arguments.trained))
        benchmarks = benchmark_source(arguments).read(folder)
    else:
        benchmarks = benchmark_source(arguments).read(folder)
        experiment = experiment_of("table3", arguments)
        train_waiting(experiment, arguments)
    caption = Table3Caption(arguments.name, arguments.column, shlex.join([*PROG.split(), *argv]))
    found = score_rows(experiment, benchmarks, caption, quiet=arguments.quiet)
    written = write_table3(found, folder)
    print(json.dumps(found.as_dict(), indent=1, ensure_ascii=False) if arguments.json else table3_text(found))
    if not arguments.quiet:
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)
