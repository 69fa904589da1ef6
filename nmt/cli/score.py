"""nmt-score: log-probabilities of given translations."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat

from bpe.errors import UserError
from nmt.cli.common import run
from nmt.cli.entries import Reader, ScoredEntry, translations
from nmt.cli.searching import load_asked, models_parser
from nmt.search.scoring import Scoring
from nmt.translate.fusion import JoiningModel
from nmt.translate.scorer import Scorer

PROG = "nmt-score"
DESCRIPTION = """Print the log-probability of each pair, one per line: natural logarithm, summed over the target's
pieces and the end symbol. Of an n-best list (number ||| text ||| ...), each line again with that as its score. Texts
are cut into pieces anew, which need not be the pieces that a search found: --translations scores exactly those."""
KEYS = (
    "paths.model",
    "search.length_penalty",
    "search.length_normalization",
    "search.prefix_source",
    "search.language_model",
    "search.language_model_weight",
    "runtime.device",
    "runtime.threads",
)
LENGTH_KEYS = {"search.length_penalty": "--length-penalty", "search.length_normalization": "--length-normalization"}
SUMMARIES: dict[str, Callable[[Totals], float]] = {
    "cross-entropy": lambda totals: totals.cost / totals.pairs,
    "ce-mean-words": lambda totals: totals.cost / totals.pieces,
    "ce-sum": lambda totals: totals.cost,
    "perplexity": lambda totals: totals.perplexity,
}
"""As marian-scorer names them, in nats: of a pair, of a piece, of all, and e to the power of that of a piece.

Pieces count </s>.
"""
BLOCK_LINES = 4096


@dataclass
class Totals:
    """Of all that was scored."""

    cost: float = 0.0
    "Minus the log-probability."
    pieces: int = 0
    "</s> included, where it was scored."
    pairs: int = 0
    "Blank lines that nmt-translate answered without the model left out."

    def add(self, log_probs: Sequence[float]) -> None:
        """One more."""
        self.cost -= math.fsum(log_probs)
        self.pieces += len(log_probs)
        self.pairs += bool(log_probs)

    @property
    def perplexity(self) -> float:
        """e to the power of the cross entropy of a piece."""
        mean = self.cost / self.pieces
        return math.exp(mean) if mean < math.log(sys.float_info.max) else math.inf


@dataclass(frozen=True)
class ScoreForm:
    """What is printed of an entry."""

    scoring: Scoring | None
    "Normalises by length; None: log-probabilities are scores."
    as_json: bool
    weight: float = 0.0
    "Of the language model's log-probability in a score."

    def line(self, entry: ScoredEntry, log_probs: Sequence[float], language: Sequence[float] | None) -> str:
        """The line of an entry, given the log-probabilities of its pieces and of </s>. language: a language model's."""
        total, theirs = math.fsum(log_probs), math.fsum(language or ())
        score = total + self.weight * theirs
        if self.scoring:
            score = self.scoring.score(score, len(log_probs))
        if self.as_json:
            number = {} if entry.number is None else {"number": entry.number}
            ranked = {"score": score} if self.scoring or language is not None else {}
            told = {} if language is None else {"language_log_prob": theirs, "language_pieces": language}
            return json.dumps(number | {"log_prob": total} | ranked | {"pieces": log_probs} | told)
        numbers = [score] if language is None else [score, total, theirs]
        columns = [f"{number:.6f}" for number in numbers]
        return "\t".join(columns) if entry.number is None else " ||| ".join([str(entry.number), entry.text, *columns])


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse, score block by block, print."""
    arguments = parse(argv)
    asked = load_asked(arguments)
    scorer = Scorer(asked.bundle, ensemble=asked.ensemble, search=asked.search)
    language = JoiningModel.of(asked.search, asked.bundle)
    if language and arguments.summary:
        raise UserError("--summary is of the translation model alone", hint="leave out --language-model")
    weight = asked.search.language_model_weight if language else 0.0
    form = ScoreForm(Scoring(asked.search) if arguments.normalize else None, arguments.json, weight)
    entries, totals = _entries(arguments, scorer), Totals()
    while block := list(islice(entries, BLOCK_LINES)):
        joining = language_log_probs_of(language, block) if language else repeat(None)
        for entry, log_probs, others in zip(block, log_probs_of(scorer, block), joining, strict=False):
            totals.add(log_probs)
            if not arguments.summary:
                print(form.line(entry, log_probs, others))
    if arguments.summary:
        print(_summary(totals, arguments.summary, as_json=arguments.json))


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line, checked for flags that contradict each other."""
    parser = models_parser(PROG, DESCRIPTION, KEYS)
    parser.add_argument("--source", metavar="FILE", help="source lines, plain or compressed")
    parser.add_argument("--target", metavar="FILE", help="their translations")
    parser.add_argument(
        "--n-best", metavar="FILE", help="several for each: lines of number ||| text ||| anything; cut into pieces anew"
    )
    parser.add_argument(
        "--translations", metavar="FILE", help="what nmt-translate --json wrote: its very pieces; brings its source"
    )
    parser.add_argument("--pieces", action="store_true", help="lines are segmented already")
    parser.add_argument(
        "--normalize", action="store_true", help="divide by length, as search ranks: --length-penalty ..."
    )
    parser.add_argument("--summary", choices=SUMMARIES, help="one number for all: per pair, per piece, sum, perplexity")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: the sum, and that of each piece")
    arguments = parser.parse_args(argv)
    if sum(bool(given) for given in (arguments.target, arguments.n_best, arguments.translations)) != 1:
        problem = "one of --target, --n-best and --translations is needed"
        raise UserError(problem, hint="name a file of translations, an n-best list or what nmt-translate --json wrote")
    if arguments.translations and (arguments.source or arguments.pieces):
        raise UserError("--translations brings its own source and pieces", hint="leave out --source and --pieces")
    if not arguments.translations and not arguments.source:
        raise UserError("--source is needed", hint="name the lines that were translated")
    if not arguments.normalize:
        for key, flag in LENGTH_KEYS.items():
            if getattr(arguments, key) is not None:
                raise UserError(f"{flag} counts with --normalize only", hint="add --normalize")
    elif arguments.summary:
        raise UserError("--summary is of log-probabilities, not of scores", hint="leave out --normalize")
    return arguments


def log_probs_of(scorer: Scorer, entries: Sequence[ScoredEntry]) -> Iterator[list[float]]:
    """Log-probabilities of each entry's pieces, and of </s> where it follows, part after part."""
    parts = [part for entry in entries for part in entry.parts]
    return _by_entry(entries, scorer.score_pieces([part.source for part in parts], [part.target for part in parts]))


def language_log_probs_of(language: JoiningModel, entries: Sequence[ScoredEntry]) -> Iterator[list[float]]:
    """The same by a language model, to which each part is a line of its own."""
    return _by_entry(entries, language.score_pieces([part.target for entry in entries for part in entry.parts]))


def _by_entry(entries: Sequence[ScoredEntry], parts: Iterable[list[float]]) -> Iterator[list[float]]:
    """The parts' log-probabilities put together by entry."""
    found = iter(parts)
    for entry in entries:
        pairs = [(next(found), part.finished) for part in entry.parts]
        yield [value for values, finished in pairs for value in (values if finished else values[:-1])]


def _entries(arguments: argparse.Namespace, scorer: Scorer) -> Iterator[ScoredEntry]:
    if arguments.translations:
        return translations(arguments.translations)
    reader = Reader(scorer, arguments.pieces)
    if arguments.target:
        return reader.parallel(arguments.source, arguments.target)
    return reader.listed(arguments.source, arguments.n_best)


def _summary(totals: Totals, kind: str, *, as_json: bool) -> str:
    if not totals.pieces:
        raise UserError("nothing was scored, so there is no summary of it", hint="give lines with text")
    if not as_json:
        return f"{SUMMARIES[kind](totals):.6f}"
    numbers = {name.replace("-", "_"): function(totals) for name, function in SUMMARIES.items()}
    return json.dumps(numbers | {"pairs": totals.pairs, "pieces": totals.pieces})


if __name__ == "__main__":
    sys.exit(main())
