"""nmt-evaluate: translate a test set, or take a translation of it, and score it with sacreBLEU."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from bpe.progress import Progress
from bpe.textfiles import write_lines
from nmt import evaluation, testsets
from nmt.bundle import versions
from nmt.cli.common import config_from, make_parser, run
from nmt.cli.translate import SEARCH_KEYS, load_translator
from nmt.evaluation import Comparison, Scores
from nmt.testsets import TestSet, TextFile

DESCRIPTION = """Translate a test set with a model and print BLEU, chrF2 and TER with their sacreBLEU signatures.
The test set is corpus/test.{source,target}, or --source and --reference, or one of sacreBLEU's (--testset wmt14/full).
--hypotheses scores a translation that exists already, without a model."""


@dataclass(frozen=True)
class Translated:
    """Translations with where they come from and how long they took."""

    lines: list[str]
    origin: dict[str, Any]


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = make_parser("nmt-evaluate", DESCRIPTION, ["paths.corpus", "prep.source", "prep.target", *SEARCH_KEYS])
    parser.add_argument("--source", metavar="FILE", help="raw source lines")
    parser.add_argument("--reference", metavar="FILE", help="raw reference lines")
    parser.add_argument("--testset", metavar="NAME", help="a test set of sacreBLEU, such as wmt14/full")
    parser.add_argument("--hypotheses", metavar="FILE", help="score these lines; no model is read")
    parser.add_argument("--baseline", metavar="FILE", help="another system's lines, for a paired bootstrap test")
    parser.add_argument("--tokenize", metavar="NAME", help="sacreBLEU's tokenizer for BLEU (default: the language's)")
    parser.add_argument("--lowercase", action="store_true", help="ignore case in BLEU and chrF2")
    parser.add_argument("--output", metavar="FILE", help="keep the translations")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="print N sentences with their translations")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    arguments = parser.parse_args(argv)
    if arguments.testset and (arguments.source or arguments.reference):
        raise UserError("--testset brings its own source and reference", hint="leave out one or the other")
    if arguments.source and not arguments.reference:
        raise UserError("--source without --reference", hint="name both files")
    if arguments.reference and not arguments.source and not arguments.hypotheses:
        raise UserError("--reference without --source or --hypotheses", hint="name the file to translate or to score")
    return arguments


def main(argv: list[str]) -> None:
    """Evaluate and print."""
    arguments = parse(argv)
    config = config_from(arguments)
    translator, languages = None, (config.prep.source or "", config.prep.target or "")
    if not arguments.hypotheses:
        translator = load_translator(arguments)
        own = translator.bundle.config.prep
        languages = (config.prep.source or own.source or "", config.prep.target or own.target or "")
    source, reference = _texts(arguments, config.paths.corpus, languages)
    if translator is None:
        file = TextFile.read(arguments.hypotheses)
        translated = Translated(file.lines, {"hypotheses": file.description()})
    else:
        assert source is not None
        translated = _translate(translator, source, quiet=arguments.quiet)
    options: dict[str, Any] = {"target_language": languages[1], "tokenize": arguments.tokenize}
    scores = evaluation.score(translated.lines, reference.lines, lowercase=arguments.lowercase, **options)
