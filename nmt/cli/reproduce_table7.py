"""nmt-reproduce table7: Table 6's models on text8, IMDB and BBC."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import make_parser
from nmt.cli.reproduce_language import (
    KEYS,
    add_training_flags,
    check_rows,
    check_training_flags,
    files_of,
    train_waiting,
    training_values,
)
from nmt.data.running_text import RunningText
from nmt.prepare.running_text import TextPreparation, prepare_text
from nmt.reproduce.language.experiment import LanguageExperiment
from nmt.reproduce.language.paper import TABLE_7, table_7_name
from nmt.reproduce.language.report import write_language_report
from nmt.reproduce.table7 import collect_texts
from nmt.reproduce.table7_report import table7_text, write_table7

PROG = "nmt-reproduce table7"
DESCRIPTION = """Table 7 of Press & Wolf (2017): trains Table 6's small models on text8, IMDB and BBC as nmt-data has
them, text after text, scores them and writes a report (Markdown, JSON, one HTML page). A text that is not there is left
open. Everything lands in --out, a folder for each text. Stopped at any point and called again, it continues; what is
finished is not done again."""
OUT = "reproduction-table7"


def command(argv: list[str]) -> None:
    """Parse, run, print."""
    parser = make_parser(PROG, DESCRIPTION, [key for key in KEYS if key != "paths.corpus"])
    where = f"folders of the texts {', '.join(TABLE_7)} (corpus/NAME, where it is there)"
    parser.add_argument("--corpus", nargs="+", action="extend", default=[], metavar="NAME=DIR", help=where)
    add_training_flags(parser, OUT)
    arguments = parser.parse_args(argv)
    check_training_flags(arguments)
    experiments = _experiments(arguments)
    for experiment in experiments.values():
        train_waiting(experiment, arguments)
    found = collect_texts(experiments, arguments.scale, shlex.join([*PROG.split(), *argv]))
    for key, results in found.texts.items():
        write_language_report(results, experiments[key].folder)
    written = write_table7(found, Path(arguments.out))
    print(json.dumps(found.as_dict(), indent=1, ensure_ascii=False) if arguments.json else table7_text(found))
    if not arguments.quiet:
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def _experiments(arguments: Namespace) -> dict[str, LanguageExperiment]:
    """By text: those that are named or lie in corpus/, and those that were prepared before."""
    corpora, values = _corpora(arguments.corpus), training_values(arguments)
    found = {}
    for key in TABLE_7:
        folder = Path(arguments.out).resolve() / key
        experiment = LanguageExperiment(
            folder=folder,
            table_name=table_7_name(key),
            scale=arguments.scale,
            seeds=tuple(range(1, arguments.seeds + 1)),
            prepared=folder / "prepared",
            more=values,
        )
        check_rows(experiment)
        if key in corpora or experiment.prepared.is_dir():
            found[key] = experiment
    if not found:
        hint = "nmt-data fetch bbc --corpus corpus/bbc, or name folders with --corpus bbc=DIR"
        raise UserError(f"no text is there, none of {', '.join(TABLE_7)}", where="corpus", hint=hint)
    for key, experiment in found.items():
        if key in corpora:
            _prepare(key, corpora[key], experiment, quiet=arguments.quiet)
        experiment.claim(RunningText.open(experiment.prepared).fingerprint)
    return found


def _corpora(named: list[str]) -> dict[str, Path]:
    """Text -> its folder."""
    found = {key: folder for key in TABLE_7 if (folder := Path("corpus") / key).is_dir()}
    for each in named:
        key, _, place = each.partition("=")
        if key not in TABLE_7 or not place:
            problem = f"{each!r} is not NAME=DIR with a text of the table"
            raise UserError(problem, where="--corpus", hint=f"its texts are {', '.join(TABLE_7)}")
        found[key] = Path(place)
    return found


def _prepare(key: str, corpus: Path, experiment: LanguageExperiment, *, quiet: bool) -> None:
    text = TABLE_7[key]
    prepare_text(
        TextPreparation(
            files=files_of(str(corpus), experiment.table),
            folder=experiment.prepared,
            vocabulary=text.vocabulary,
            min_count=text.min_count,
            quiet=quiet,
        )
    )
