"""nmt-evaluate: translate a test set, or take a translation of it, and score it with sacreBLEU."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bpe.errors import UserError
from bpe.progress import Progress
from nmt.cli.common import config_from, run
from nmt.cli.pipes import open_output
from nmt.cli.searching import load_translator, search_parser
from nmt.config import Config
from nmt.evaluate import metrics, scoring, testsets
from nmt.evaluate.kept import count_kept
from nmt.evaluate.metrics import Options
from nmt.evaluate.scoring import NUM_SAMPLES
from nmt.evaluate.testsets import TestSet, TextFile
from nmt.folder.bundle import versions
from nmt.prepare.names import names_language
from nmt.text.languages import read_tag
from nmt.translate.translator import Translator

PROG = "nmt-evaluate"
DESCRIPTION = """Translate a test set with a model and print BLEU, chrF2, chrF2++ and TER with sacreBLEU's signatures.
The test set is test.{source,target} of the corpus folder, or --source and --reference, or one of sacreBLEU's
(--testset wmt14/full). --hypotheses scores a translation that is there already; no model is read."""
FILE_FLAGS = {
    "--source": "raw source lines",
    "--hypotheses": "score these lines instead of translating",
    "--baseline": "another system's lines, for a paired bootstrap test",
    "--output": "keep the translations here",
}


@dataclass(frozen=True)
class System:
    """Translations of a test set, and where they come from."""

    lines: list[str]
    origin: dict[str, Any]
    "For the report: model folder, search settings and speed, or the file of hypotheses."


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, evaluate, print."""
    arguments = parse(argv)
    config = config_from(arguments)
    translator = None if arguments.hypotheses else load_translator(arguments)
    source, target = _languages(config, translator)
    target = target or _language_of(arguments.reference)
    options = Options(target_language=target, tokenize=arguments.tokenize, lowercase=arguments.lowercase)
    metrics.make_bleu(options)  # a tokenizer that is not there shows before the work
    test = _test_set(arguments, config.paths.corpus, source, target)
    system = _given(arguments.hypotheses) if translator is None else _translated(translator, test, arguments.quiet)
    if arguments.output:
        with open_output(arguments.output) as write:
            write("".join(f"{line}\n" for line in system.lines).encode("utf-8"))
    report = _report(arguments, test, system, options)
    if not arguments.quiet:
        sys.stderr.write("".join(f"{note}\n" for note in metrics.notes(options)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack a character of the examples
    print(json.dumps(report) if arguments.json else "\n".join(_text(report)))


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line, checked for flags that contradict each other."""
    arguments = _parser().parse_args(argv)
    if arguments.testset and (arguments.source or arguments.reference):
        raise UserError("--testset brings its own source and reference", hint="leave out one or the other")
    if arguments.source and not arguments.reference:
        raise UserError("--source without --reference", hint="name both files")
    if arguments.reference and not (arguments.source or arguments.hypotheses):
        raise UserError("--reference without --source or --hypotheses", hint="name what to translate or what to score")
    if arguments.confidence < 0 or arguments.confidence == 1:
        raise UserError(f"{arguments.confidence} samples give no interval", where="--confidence", hint="give 2 or more")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = search_parser(PROG, DESCRIPTION, ("paths.corpus", "prep.source", "prep.target"))
    add = parser.add_argument
    for flag, meaning in FILE_FLAGS.items():
        add(flag, metavar="FILE", help=meaning)
    references = "raw reference lines; several files are several references of each line"
    add("--reference", nargs="+", action="extend", default=[], metavar="FILE", help=references)
    add("--testset", metavar="NAME", help="a test set of sacreBLEU's, downloaded once")
    add("--tokenize", metavar="NAME", help="sacreBLEU's tokenizer for BLEU (default: the language's)")
    add("--lowercase", action="store_true", help="ignore case in BLEU and chrF")
    add("--sentence-level", action="store_true", help="the scores of each line too")
    intervals = f"95%% confidence intervals by bootstrap, of N samples ({NUM_SAMPLES})"
    add("--confidence", nargs="?", type=int, default=0, const=NUM_SAMPLES, metavar="N", help=intervals)
    add("--examples", type=int, default=0, metavar="N", help="show N sentences and their translations")
    add("--json", action="store_true", help="print one JSON object")
    return parser


def _languages(config: Config, translator: Translator | None) -> tuple[str, str]:
    """The user's, else the model's, else none."""
    own = translator.bundle.config.prep if translator else config.prep
    return config.prep.source or own.source or "", config.prep.target or own.target or ""


def _language_of(references: Sequence[str]) -> str:
    """What the end of a reference's name says, where nothing else names a language."""
    for path in references:
        ending = path.removesuffix(".gz").rpartition(".")[2]
        if names_language(ending) and read_tag(ending).known:
            return ending
    return ""


def _test_set(arguments: argparse.Namespace, corpus: str, source: str, target: str) -> TestSet:
    if arguments.reference:
        return testsets.from_files(arguments.source, arguments.reference)
    if not (source and target):
        raise UserError("which languages?", hint="give --src and --tgt, or --reference")
    if arguments.testset:
        return testsets.from_sacrebleu(arguments.testset, source, target)
    return testsets.from_corpus(corpus, source, target)


def _given(path: str) -> System:
    file = TextFile.read(path)
    return System(file.lines, {"hypotheses": file.description()})


def _translated(translator: Translator, test: TestSet, quiet: bool) -> System:
    assert test.source is not None
    started = time.monotonic()
    with Progress("translating", len(test.source.lines), quiet=quiet) as progress:
        lines = translator.translate(test.source.lines, progress=progress.advance)
    seconds = time.monotonic() - started
    bundle = translator.bundle
    origin = {
        "model": str(bundle.folder.resolve()),
        "weights": bundle.metadata,
        "ensemble": [str(other.folder.resolve()) for other in translator.ensemble],
        "search": dataclasses.asdict(translator.search),
        "seconds": round(seconds, 3),
        "sentences_per_second": round(len(lines) / max(seconds, 1e-9), 2),
    }
    return System(lines, origin)


def _report(arguments: argparse.Namespace, test: TestSet, system: System, options: Options) -> dict[str, Any]:
    references, more = test.reference.lines, test.more_references
    samples = arguments.confidence
    scores = scoring.score(system.lines, references, options, more_references=more, num_samples=samples)
    report: dict[str, Any] = dataclasses.asdict(scores)
    report |= {"notes": metrics.notes(options), "test_set": test.description(), **system.origin, "versions": versions()}
    if arguments.sentence_level:
        sentences = scoring.score_sentences(system.lines, references, options, more_references=more)
        report |= {"sentences": sentences.scores, "sentence_signatures": sentences.signatures}
    if arguments.baseline:
        baseline = TextFile.read(arguments.baseline)
        found = scoring.paired_bootstrap(baseline.lines, system.lines, references, options, more_references=more)
        report["comparison"] = {"with": baseline.description(), **dataclasses.asdict(found)}
    if test.source:
        report["placeholders"] = dataclasses.asdict(count_kept(test.source.lines, system.lines))
    if arguments.examples > 0:
        sources = test.source.lines if test.source else [""] * len(references)
        keys = ("source", "reference", "translation")
        triples = list(zip(sources, references, system.lines, strict=True))[: arguments.examples]
        report["examples"] = [dict(zip(keys, triple, strict=True)) for triple in triples]
    return report


def _text(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    lines = []
    for example in report.get("examples", []):
        lines += [f"{name:<12} {text}" for name, text in example.items()] + [""]
    if "sentences" in report:
        lines.append("\t".join(("line", *metrics.NAMES.values())))
        for number, scores in enumerate(report["sentences"], 1):
            lines.append("\t".join((str(number), *(f"{scores[key]:.2f}" for key in metrics.NAMES))))
        lines += [f"BLEU of lines  {report['sentence_signatures']['bleu']}", ""]
    for key, name in metrics.NAMES.items():
        interval = report["confidence"][key] if report["confidence"] else None
        shown = f"  95%: {interval['mean']:.2f} ± {interval['half_width']:.2f}" if interval else ""
        lines.append(f"{name:<7} {report[key]:6.2f}{shown}  {report['signatures'][key]}")
    if "comparison" in report:
        compared = report["comparison"]
        lines.append(
            f"BLEU of {compared['with']['path']} {compared['baseline']:.2f}, this {compared['system']:.2f} "
            f"± {compared['confidence']:.2f} (95%), p = {compared['p_value']:.4f}  {compared['signature']}"
        )
    if "placeholders" in report:
        lines += _kept(**report["placeholders"])
    speed = f", {report['sentences_per_second']:,.1f} sentences/s" if "sentences_per_second" in report else ""
    lines.append(f"{report['test_set']['name']}: {report['num_lines']:,} lines{speed}")
    return lines


def _kept(num_strings: int, num_kept: int, num_added: int, num_lines: int) -> list[str]:
    if not num_strings + num_added:
        return []
    share, what = num_kept / max(1, num_strings), "placeholders, tags and addresses of the source"
    return [f"kept   {share:6.1%}  {num_kept:,} of {num_strings:,} {what} ({num_lines:,} lines); {num_added:,} added"]


if __name__ == "__main__":
    sys.exit(main())
