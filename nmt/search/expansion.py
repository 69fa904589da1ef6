"""One step of beam search: the best continuations of every hypothesis, and what has ended.

Shapes: B sentences, K hypotheses a sentence (the beam), W <= K of them alive, S source positions, N scored target rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.device import answers_at_once, sent
from nmt.models.interface import Step
from nmt.search.candidates import Candidates, ranking
from nmt.search.frontier import Ended, Frontier
from nmt.search.hypothesis import Hypothesis, ranked
from nmt.search.request import Wanted
from nmt.search.rules import Owed, penalties, ruled
from nmt.search.scoring import Scoring, coverage, inner_pieces
from nmt.search.topk import top_continuations
from nmt.text.vocabulary import EOS


class Expansion:
    """Takes a frontier one piece further."""

    def __init__(self, config: SearchConfig, wanted: Wanted, longest: int, device: torch.device) -> None:
        """longest: the most pieces any translation may have."""
        self.config, self.num_best, self.narrows = config, wanted.num_best, config.stopping == "exact"
        self.counted = sent(torch.tensor(wanted.counted, dtype=torch.int64), device)
        scoring = Scoring(config)
        self.scales = sent(torch.tensor([scoring.scale(length) for length in range(longest + 2)]), device)
        self.places = torch.arange(config.beam if self.narrows else 2 * config.beam, device=device)
        self.can_ask = answers_at_once(device)
        "Elsewhere what most steps do not need is done in all of them, since asking would wait for the device."

    def advance(self, frontier: Frontier, step: Step, mask: Tensor, candidates: Candidates) -> Frontier:
        """One piece more for every hypothesis. step: of the model, for this frontier. mask: [B, S] of its sources."""
        before, steps = frontier.log_probs, frontier.steps
        log_probs = self._ruled(frontier, step, candidates)
        count = self.config.beam if self.narrows else 2 * self.config.beam  # should all of the best end
        values, parents, columns = top_continuations(before, log_probs, count)
        pieces = candidates.pieces(columns)
        penalised = self._penalised(frontier, log_probs, parents, columns, pieces)
        is_end, here = pieces == EOS, (frontier.max_pieces == steps)[:, None]
        covered: Tensor | None = None
        if self.config.coverage_penalty:
            frontier, covered = _attended(frontier, step.attention, mask, here)
        if not frontier.calm or not self.can_ask or (is_end | here).any():
            within = self.places[: values.size(1)] < self._places(frontier)[:, None]
            values = values.masked_fill(~within, -torch.inf) if self.narrows else values
            ending = values.masked_fill(~(is_end & within), -torch.inf)
            frontier = self._with_ended(frontier, ending, parents, covered)
            frontier = replace(frontier, cut=_cut(frontier, here), calm=False)
            living = values.masked_fill(is_end | here, -torch.inf)
            hopeless = self._hopeless(frontier, living.amax(1))
            values, order = living.masked_fill(hopeless[:, None], -torch.inf).sort(dim=1, descending=True, stable=True)
            pieces, parents = pieces.gather(1, order), parents.gather(1, order)
            penalised = None if penalised is None else penalised.gather(1, order)
        if not self.narrows:
            values, pieces, parents = (each[:, : self.config.beam] for each in (values, pieces, parents))
            penalised = None if penalised is None else penalised[:, : self.config.beam]
        own = values if penalised is None else values - penalised
        kept = {"pieces": pieces, "parents": parents, "log_probs": own, "penalties": penalised}
        frontier.history.record(steps, kept, step.attention)
        return replace(
            frontier,
            log_probs=values,
            pieces=pieces,
            parents=parents,
            steps=steps + 1,
            written=None if frontier.written is None else _appended(frontier.written, pieces, parents),
            owed=None if frontier.owed is None else still_owed(frontier.owed, parents, pieces, self.counted),
            penalties=penalised,
            attended=None if frontier.attended is None else _of_parents(frontier.attended, parents),
        )

    def places_left(self, frontier: Frontier) -> Tensor:
        """How many hypotheses each sentence's next step needs, [B]; 0: it is done."""
        living = frontier.log_probs[:, 0] != -torch.inf
        return torch.where(living, self._places(frontier), 0)

    def _places(self, frontier: Frontier) -> Tensor:
        """[B] how many of the best continuations count: those that have ended take up theirs, or not."""
        count = frontier.ended.count()
        return self.config.beam - count if self.narrows else torch.full_like(count, self.config.beam)

    def _hopeless(self, frontier: Frontier, best: Tensor) -> Tensor:
        """[B] bool, sentences that are over. best: [B] the log-probability of the likeliest living hypothesis."""
        if self.narrows:
            return best / frontier.best_scale <= frontier.ended.scores[:, self.num_best - 1]
        worst = frontier.ended.scores[:, -1]
        if self.config.stopping == "first":
            return worst != -torch.inf
        length = (frontier.steps + 1).clamp(max=len(self.scales) - 1)
        return best / self.scales[length] <= worst

    def _ruled(self, frontier: Frontier, step: Step, candidates: Candidates) -> Tensor:
        """The step's log_probs [B, W, N], written over: -inf where a rule forbids the piece."""
        log_probs = ranking(step, frontier.barred)
        short = frontier.steps < self.config.min_length if self.config.min_length else None
        owed = None
        if frontier.owed is not None:
            owed = Owed(self.counted, frontier.owed, frontier.max_pieces - frontier.steps)
        rules = {"written": frontier.written, "short": short, "forced": _forced(frontier)}
        return ruled(log_probs, candidates, self.config, **rules, owed=owed)

    def _penalised(
        self, frontier: Frontier, log_probs: Tensor, parents: Tensor, columns: Tensor, pieces: Tensor
    ) -> Tensor | None:
        """What the repetition penalty has added to each continuation, [B, K]; None: there is none.

        log_probs: of the step, [B, W, N], after the rules. The other tensors, [B, K]: the continuations.
        """
        if frontier.penalties is None or frontier.written is None:
            return None
        chosen = log_probs.flatten(1).gather(1, parents * log_probs.size(2) + columns)
        written, forced = _of_parents(frontier.written, parents), _forced(frontier)
        free = torch.ones_like(pieces, dtype=torch.bool) if forced is None else (forced < 0)[:, None]
        added = penalties(chosen, pieces, written, self.config.repetition_penalty, rows=free)
        return frontier.penalties.gather(1, parents) + added

    def _with_ended(self, frontier: Frontier, log_probs: Tensor, parents: Tensor, covered: Tensor | None) -> Frontier:
        """With what ends now. log_probs: [B, K], -inf: does not end. covered: [B, W], coverage of the parents."""
        steps = frontier.steps[:, None]
        scores = log_probs / self.scales[(steps + 1).clamp(max=len(self.scales) - 1)]
        covered = torch.zeros_like(log_probs) if covered is None else covered.gather(1, parents)
        if self.config.coverage_penalty:
            scores = scores + self.config.coverage_penalty * covered
        new = Ended(scores, log_probs, covered, steps.expand_as(parents), parents)
        return replace(frontier, ended=frontier.ended.merged(new))


def _forced(frontier: Frontier) -> Tensor | None:
    """The piece that each sentence's hypotheses must go on with, [B], -1: any; None: nowhere any."""
    if frontier.forced is None:
        return None
    place = frontier.steps.clamp(max=frontier.forced.size(1) - 1)
    return frontier.forced.gather(1, place[:, None])[:, 0]


def _cut(frontier: Frontier, here: Tensor) -> Tensor:
    """Log-probabilities of cut hypotheses, [B, K]; here: [B, 1], where they are cut now, before the step."""
    missing = (0, frontier.cut.size(1) - frontier.log_probs.size(1))
    return torch.where(here, functional.pad(frontier.log_probs, missing, value=-torch.inf), frontier.cut)


def _attended(frontier: Frontier, attention: Tensor, mask: Tensor, here: Tensor) -> tuple[Frontier, Tensor]:
    """The frontier with a step's attention, [B, W, S], added, and the coverage of each hypothesis, [B, W].

    here: [B, 1], where hypotheses are cut now: without the step.
    """
    assert frontier.attended is not None
    inner = inner_pieces(mask)
    cut = coverage(frontier.attended, inner)
    cut = functional.pad(cut, (0, frontier.cut.size(1) - cut.size(1)))
    total = frontier.attended + attention
    kept = torch.where(here, cut, frontier.cut_coverage)
    return replace(frontier, attended=total, cut_coverage=kept), coverage(total, inner)


def _of_parents(values: Tensor, parents: Tensor) -> Tensor:
    """values [B, W, X] and parents [B, K] -> [B, K, X]."""
    return values.gather(1, parents[:, :, None].expand(-1, -1, values.size(2)))


def still_owed(owed: Tensor, parents: Tensor, pieces: Tensor, counted: Tensor) -> Tensor:
    """[B, W, P] -> [B, K, P]: what the parents owed, without the new pieces."""
    return _of_parents(owed, parents) - (pieces[:, :, None] == counted).long()


def _appended(written: Tensor, pieces: Tensor, parents: Tensor) -> Tensor:
    """[B, W, t] -> [B, K, t + 1]: what the parents had written, and the new pieces."""
    return torch.cat([_of_parents(written, parents), pieces[:, :, None]], 2)


def hypotheses_of(
    frontier: Frontier, widths: Sequence[int], scoring: Scoring, wanted: Wanted
) -> list[tuple[int, list[Hypothesis]]]:
    """The hypotheses of finished sentences, best first, read back. widths: of their sources, </s> included."""
    ended = frontier.ended
    tables = (ended.log_probs, ended.coverage, ended.steps, ended.parents, frontier.cut, frontier.cut_coverage)
    rows = zip(*(table.tolist() for table in tables), strict=True)
    frontier = replace(frontier, history=frontier.history.cpu())
    results = []
    for row, (log_probs, covered, steps, parents, cut, cut_covered) in enumerate(rows):
        limit = frontier.limits[row]
        found = [(*each, True) for each in zip(log_probs, covered, steps, parents, strict=True)]
        found += [(*each, limit, place, False) for place, each in enumerate(zip(cut, cut_covered, strict=True))]
        check_numbers([log_prob for log_prob, *_ in found])
        hypotheses = [_read(frontier, row, widths[row], scoring, entry) for entry in found if entry[0] != -math.inf]
        results.append((frontier.sentences[row], ranked(hypotheses, wanted.num_best)))
    return results


def _read(
    frontier: Frontier, row: int, width: int, scoring: Scoring, entry: tuple[float, float, int, int, bool]
) -> Hypothesis:
    """entry: log-probability as ranked, coverage, pieces, the hypothesis at the last piece, whether </s> follows."""
    ranked_by, covered, length, last, finished = entry
    path = frontier.history.trace(row, last, length)
    log_prob = ranked_by - path.penalty
    log_probs = None
    if path.log_probs is not None:
        totals = [0.0, *path.log_probs, *([log_prob] if finished else [])]
        log_probs = tuple(after - before for before, after in pairwise(totals))
    return Hypothesis(
        pieces=path.pieces,
        log_prob=log_prob,
        score=scoring.score(ranked_by, length + finished, covered),
        penalty=path.penalty,
        finished=finished,
        attention=None if path.attention is None else path.attention[:, :width],
        log_probs=log_probs,
    )


class NotNumbers(UserError):
    """The model's probabilities are NaN."""


def check_numbers(log_probs: Sequence[float]) -> None:
    """Raise NotNumbers, a UserError, where the model's numbers are none."""
    if any(math.isnan(log_prob) for log_prob in log_probs):
        raise NotNumbers(
            "the model's probabilities are not numbers (NaN)", hint="its training diverged: use an earlier checkpoint"
        )
