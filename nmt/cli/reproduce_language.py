"""nmt-reproduce table5 and table6: from a running text to the comparison of tied and untied language models."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from bpe.errors import UserError
from nmt.cli.common import FLAGS, Parser, make_parser, overrides
from nmt.configfile import Values
from nmt.data.running_text import RunningText
from nmt.prepare.running_text import TextPreparation, find_text, prepare_text
from nmt.reproduce.language.experiment import LanguageExperiment
from nmt.reproduce.language.paper import LANGUAGE_TABLES, NUM_WORDS, LanguageTable
from nmt.reproduce.language.recipes import SCALES
from nmt.reproduce.language.report import FILES, language_summary, write_language_report
from nmt.reproduce.language.results import collect
from nmt.reproduce.language.schedule import LanguageSchedule
from nmt.reproduce.language.sizes import language_sizes_text, table_sizes

DESCRIPTION = """Trains every model of the table on one text, scores it and writes a report (Markdown, JSON, one HTML
page). Everything lands in --out. Stopped at any point and called again, it continues; what is finished is not done
again."""
KEYS = ("paths.corpus", "training.max_epochs", "runtime.device", "runtime.threads")
ALLOWED = ("lm.", "training.", "runtime.")
OWN = ("lm.tying", "lm.projection", "lm.architecture", "training.seed")
"Keys that the rows of a table differ in."


def command_of(table: str) -> Callable[[list[str]], None]:
    """The subcommand of a table."""
    return lambda argv: command(table, argv)


def command(table: str, argv: list[str]) -> None:
    """Parse, run, print."""
    prog = f"nmt-reproduce {table}"
    arguments = _parse(prog, table, argv)
    if arguments.sizes:
        found = LANGUAGE_TABLES[table]
        print(json.dumps(table_sizes(found), indent=1) if arguments.json else language_sizes_text(found))
        return
    experiment = experiment_of(table, arguments)
    train_waiting(experiment, arguments)
    results = collect(experiment, arguments.name, shlex.join([*prog.split(), *argv]))
    write_language_report(results, experiment.folder)
    print(json.dumps(results.as_dict(), indent=1) if arguments.json else language_summary(results))
    if not arguments.quiet:
        print(f"written: {', '.join(str(experiment.folder / name) for name in FILES)}", file=sys.stderr)


def _parse(prog: str, table: str, argv: list[str]) -> Namespace:
    about = f"{LANGUAGE_TABLES[table].title} of Press & Wolf (2017). {DESCRIPTION}"
    parser = make_parser(prog, about, KEYS)
    add_training_flags(parser, f"reproduction-{table}")
    add_text_flags(parser)
    parser.add_argument("--sizes", action="store_true", help="the table's models counted; needs no data")
    arguments = parser.parse_args(argv)
    check_training_flags(arguments)
    return arguments


def add_training_flags(parser: Parser, out: str, *, jobs: bool = True) -> None:
    """What a comparison of language models is told, and where it goes by default. jobs: whether some run at a time."""
    add = parser.add_argument
    scales = "small (the default): narrow models, few epochs; paper: the exact recipes of configs/language"
    add("--scale", choices=SCALES, default=SCALES[0], help=scales)
    add("--seeds", type=int, default=1, metavar="N", help="models of each row, seeds 1 to N (1)")
    if jobs:
        add("--jobs", type=int, default=1, metavar="N", help="trainings at a time (1); --threads is of each")
    add("--out", default=out, metavar="DIR", help=f"folder of everything ({out})")
    add("--name", default="", metavar="TEXT", help="what the text is called in the report")
    add("--report-only", action="store_true", help="train nothing; report what is there")
    add("--json", action="store_true", help="print JSON")


def add_text_flags(parser: Parser) -> None:
    """What is said of the text besides --corpus."""
    add = parser.add_argument
    add("--prepared", metavar="DIR", help="text that nmt-lm prep prepared, instead of --corpus")
    add("--vocabulary", type=int, default=NUM_WORDS, metavar="N", help=f"rows of --corpus's ({NUM_WORDS:,})")


def check_training_flags(arguments: Namespace) -> None:
    """UserError for a number out of range."""
    for flag in ("seeds", "jobs"):
        value = getattr(arguments, flag, 1)
        if not 1 <= value <= 1000:
            raise UserError(f"{value} is out of range: it must be 1 to 1,000", where=f"--{flag}")
    if getattr(arguments, "vocabulary", NUM_WORDS) < 3:
        raise UserError(f"{arguments.vocabulary} is out of range: it must be 3 or more", where="--vocabulary")


def refuse_training_flags(parser: Parser, arguments: Namespace) -> None:
    """UserError where models are there already and something is said of training them."""
    names = ("scale", "prepared", "vocabulary", "seeds", "jobs", "report_only")
    said = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) != parser.get_default(name)]
    said += [str(FLAGS[key]["flag"]) if key in FLAGS else key for key in overrides(arguments)]
    if said:
        problem = "is said of training, and --from takes models that are trained"
        raise UserError(problem, where=said[0], hint="leave one of the two out")


def train_waiting(experiment: LanguageExperiment, arguments: Namespace) -> None:
    """Every run that is not finished, unless --report-only."""
    if not arguments.report_only:
        waiting = [run for run in experiment.runs if experiment.scores(run) is None]
        LanguageSchedule(experiment, jobs=arguments.jobs, quiet=arguments.quiet).work(waiting)


def experiment_of(table: str, arguments: Namespace) -> LanguageExperiment:
    """The comparison that is asked for, its text prepared, its folder claimed."""
    values = training_values(arguments)
    corpus = values.pop("paths.corpus", "corpus")
    folder = Path(arguments.out).resolve()
    prepared = Path(arguments.prepared).resolve() if arguments.prepared else folder / "prepared"
    experiment = LanguageExperiment(
        folder=folder,
        table_name=table,
        scale=arguments.scale,
        seeds=tuple(range(1, arguments.seeds + 1)),
        prepared=prepared,
        more=values,
    )
    check_rows(experiment)
    if not arguments.prepared:
        files = files_of(str(corpus), experiment.table)
        run = TextPreparation(files=files, folder=prepared, vocabulary=arguments.vocabulary, quiet=arguments.quiet)
        prepare_text(run)
    experiment.claim(RunningText.open(prepared).fingerprint)
    return experiment


def training_values(arguments: Namespace) -> Values:
    """What the user set. UserError for what is not to be set here."""
    values = overrides(arguments)
    for key in values:
        if key != "paths.corpus" and (not key.startswith(ALLOWED) or key in OWN):
            problem = "is what the table's models differ in" if key in OWN else "is nothing of language models"
            raise UserError(problem, where=key, hint="leave it out")
    return values


def check_rows(experiment: LanguageExperiment) -> None:
    """Whatever is out of range is said before any work."""
    for row in experiment.table.rows:
        experiment.config(row)


def files_of(corpus: str, table: LanguageTable) -> dict[str, Path]:
    """The files of a folder's splits; where a table reports no validation, its test text stands in for it."""
    files = find_text(corpus, {"train": None, "valid": None, "test": None})
    if "valid" not in files and "valid" not in table.splits and "test" in files:
        files["valid"] = files["test"]
    if "valid" not in files:
        raise UserError("holds no file of validation text", where=corpus, hint="call it valid.txt or the like")
    return files
