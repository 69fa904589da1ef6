"""nmt-lm score: the perplexity of a text by the paper's protocol, or each line's log-probability."""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator

import numpy as np

import nmt
from bpe.command import Parser
from bpe.errors import UserError
from nmt.cli.lm_train import MODEL
from nmt.data.streams import Streams
from nmt.device import pick_device, set_threads
from nmt.folder.language import LanguageBundle, load_language_bundle
from nmt.language.perplexity import Perplexity, measure
from nmt.language.scoring import LineScorer
from nmt.text.lines import bounded_lines, lines_of
from nmt.text.words import END

STEPS = 64
"Words of each stream read at a time."


def command(argv: list[str]) -> None:
    """Parse, load, score, print."""
    arguments = _parse(argv)
    bundle = _load(arguments)
    lines = _lines(arguments.file)
    if arguments.lines or arguments.each_line_alone or arguments.mc_dropout:
        _score_lines(bundle, lines, arguments)
    else:
        found = perplexity_of(bundle, lines, arguments.streams, arguments.file or "standard input")
        if arguments.json:
            values = {"perplexity": found.perplexity, "cross_entropy": found.cross_entropy, "words": found.words}
            print(json.dumps(values | {"unit": found.unit, "streams": found.streams, "protocol": found.protocol}))
        else:
            print(found.describe())


def perplexity_of(bundle: LanguageBundle, lines: Iterable[tuple[str, str]], streams: int, where: str) -> Perplexity:
    """Of a text, every line's end counted. where: its name in errors."""
    rows = [row for line, place in lines for row in (*bundle.rows(line, place), END)]
    if len(rows) < 2 * streams or all(row == END for row in rows):
        raise UserError("an empty text: there is no word to predict", where=where, hint="check the file")
    return measure(bundle.model, Streams(np.array(rows, dtype=np.int32), streams, STEPS, whole=True), unit=bundle.unit)


def _score_lines(bundle: LanguageBundle, lines: Iterable[tuple[str, str]], arguments: Namespace) -> None:
    scorer = LineScorer(bundle, carried=not arguments.each_line_alone, draws=arguments.mc_dropout, seed=arguments.seed)
    total, words = 0.0, 0
    for line in scorer.lines(lines):
        total, words = total + line.log_prob, words + line.words
        if arguments.json:
            print(json.dumps({"text": line.text, bundle.unit: line.words, "log_probability": line.log_prob}))
        elif arguments.lines:
            print(f"{line.log_prob:.4f}\t{line.words}\t{line.text}")
    if not words:
        raise UserError("an empty text: there is no word to predict", where=arguments.file or "standard input")
    state = (
        "each line from a zero state after <eos>" if arguments.each_line_alone else "1 stream, state carried from zero"
    )
    dropout = f"mean of {arguments.mc_dropout} draws of dropout" if arguments.mc_dropout else "no dropout"
    protocol = f"{state}, <eos> counted, {dropout}, {words:,} {bundle.unit} predicted"
    print(
        f"perplexity {math.exp(-total / words):,.2f} ({protocol})",
        file=sys.stderr if arguments.lines or arguments.json else sys.stdout,
    )


def _lines(path: str | None) -> Iterator[tuple[str, str]]:
    """Lines with their places."""
    name = path or "standard input"
    lines = bounded_lines(path) if path else lines_of(sys.stdin.buffer, name)
    return ((line, f"{name}:{number}") for number, line in enumerate(lines, 1))


def _load(arguments: Namespace) -> LanguageBundle:
    set_threads(arguments.threads)
    return load_language_bundle(arguments.model, pick_device(arguments.device))


def _parse(argv: list[str]) -> Namespace:
    parser = Parser(
        prog="nmt-lm score", description="Perplexity of a text; see --lines for its lines.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"nmt-lm {nmt.__version__}")
    parser.add_argument("file", nargs="?", metavar="FILE", help="the text (default: standard input)")
    add_model_flags(parser)
    parser.add_argument("--streams", type=int, default=1, metavar="N", help="cut the text into N streams (default: 1)")
    parser.add_argument("--lines", action="store_true", help="print log-probability, words and text of each line")
    parser.add_argument("--each-line-alone", action="store_true", help="the state begins at zero in every line")
    parser.add_argument("--mc-dropout", type=int, default=0, metavar="N", help="average N draws of dropout")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of --mc-dropout")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if arguments.streams < 1 or arguments.mc_dropout < 0:
        parser.error("--streams must be 1 or more, --mc-dropout 0 or more")
    if arguments.streams > 1 and (arguments.lines or arguments.each_line_alone or arguments.mc_dropout):
        parser.error("--streams is of a whole text without dropout, not of its lines")
    return arguments


def add_model_flags(parser: Parser) -> None:
    """--model, --device and --threads."""
    parser.add_argument(
        "--model", default=MODEL, metavar="DIR", help=f"model folder, or weights in one (default: {MODEL})"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads")
