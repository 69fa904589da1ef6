"""Beam search over any model of `nmt.models.interface`, many sentences at a time.

As in DL4MT, Nematus and Marian, a hypothesis that ends gives up its place for good, unless `search.stopping` says
otherwise (`nmt.search.expansion` has those rules): with K places, each step keeps the best K - F continuations of a
sentence of which F hypotheses have ended. A sentence is done when no living hypothesis can still beat its `num_best`
ended ones, which is exact: probabilities only fall and coverage is never positive, so that a hypothesis with
log-probability L scores at most L / scale(longest allowed length). With a beam wide enough the result is that of
exhaustive search. With a repetition penalty, L is what the penalty has made of it, which is never positive and only
falls either. With a language model (`Step.fused`), L counts what it adds, which is never positive.

Sentences are sorted by length. One that is done leaves: its rows are dropped from the memory, the state and every
tensor of the frontier by index, and the next sentences take the places that became free, between two steps. Rows know
nothing of each other, so that this changes no result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import SearchConfig, require
from nmt.device import sent
from nmt.models.interface import START, Memory, SearchModel, State
from nmt.search.arrivals import Arrivals, Queue, max_pieces
from nmt.search.candidates import Candidates, forbidden_ids
from nmt.search.expansion import Expansion, hypotheses_of
from nmt.search.frontier import Ended, Frontier
from nmt.search.history import History
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.search.rules import remembers
from nmt.search.scoring import Scoring

MAX_SCORES = {"cpu": 6 * 2**20}
"""Sentences x hypotheses x target rows scored in one step at most: 24 MiB in float32 on the CPU.

Above 32 MiB the C library asks the system for memory, page by page, anew at every step. Other devices: MANY_SCORES.
"""
MANY_SCORES = 2**28
SHARED_SHORTLISTS = 2
"How many times the pieces of one sentence's shortlist a batch is taken to score."
LEAVE_SHARE = 8
"Rows of finished sentences are dropped, and their places taken, when they are at least one in this many."
CHECK_STEPS = {"cpu": 1, "cuda": 4, "mps": 4}
"The host asks every so many steps who is done, since asking waits for the device."
MAX_LENGTH_PENALTY, MAX_LENGTH_RATIO, MAX_PIECES, MAX_REPETITION_PENALTY = 10.0, 100.0, 10_000, 1000.0
MAX_LANGUAGE_MODEL_WEIGHT = 1000.0
"Limits of the settings: beyond them, float32 or the memory for back pointers overflows."


@torch.inference_mode()
def beam_search(
    model: SearchModel, sources: Sequence[np.ndarray], config: SearchConfig, wanted: Wanted | None = None
) -> list[list[Hypothesis]]:
    """The best translations of each source, best first, in the order of the sources.

    sources: arrays of the model's source ids, without </s>. A trained model must be in evaluation mode. Fewer than
    `wanted.num_best` hypotheses come back only where there are no more. Hypotheses cut at the length limit
    (finished=False) fill up the list after the finished ones. An empty source gives one empty hypothesis without asking
    the model. Ties go to whichever torch.topk puts first, always the same one for the same input.
    Raises UserError where num_best exceeds the beam, a setting its limit, or the model's probabilities are not numbers.
    """
    assert not getattr(model, "training", False), "search needs model.eval()"
    wanted = wanted or Wanted()
    check_settings(config)
    if not 1 <= wanted.num_best <= config.beam:
        problem = f"{wanted.num_best} translations of each sentence asked of a beam of {config.beam}"
        raise UserError(problem, where="search.beam", hint="raise the beam or ask for fewer")
    results: list[list[Hypothesis]] = [[Hypothesis(pieces=(), log_prob=0.0, score=0.0)] for _ in sources]
    progress = wanted.progress or (lambda count: None)
    if empty := sum(not len(source) for source in sources):
        progress(empty)
    for done in Search(model, sources, config, wanted).run():
        for sentence, hypotheses in done:
            results[sentence] = hypotheses
        progress(len(done))
    return results


def check_settings(config: SearchConfig) -> None:
    """Limits beyond which numbers overflow are UserErrors."""
    penalty, ratio = config.length_penalty, config.max_length_ratio
    require(penalty <= MAX_LENGTH_PENALTY, "search.length_penalty", penalty, f"at most {MAX_LENGTH_PENALTY:g}")
    require(ratio <= MAX_LENGTH_RATIO, "search.max_length_ratio", ratio, f"at most {MAX_LENGTH_RATIO:g}")
    most, least = MAX_REPETITION_PENALTY, 1 / MAX_REPETITION_PENALTY
    fits = least <= config.repetition_penalty <= most
    require(fits, "search.repetition_penalty", config.repetition_penalty, f"{least:g} to {most:g}")
    weight = config.language_model_weight
    fits = weight <= MAX_LANGUAGE_MODEL_WEIGHT
    require(fits, "search.language_model_weight", weight, f"at most {MAX_LANGUAGE_MODEL_WEIGHT:g}")
    for name in ("min_length", "max_length"):
        require(getattr(config, name) <= MAX_PIECES, f"search.{name}", getattr(config, name), f"at most {MAX_PIECES:,}")


@dataclass(frozen=True)
class Active:
    """The sentences at work: B rows each."""

    frontier: Frontier
    memory: Memory
    state: State


class Search:
    """One call of `beam_search`."""

    def __init__(self, model: SearchModel, sources: Sequence[np.ndarray], config: SearchConfig, wanted: Wanted) -> None:
        self.model, self.sources, self.config, self.wanted = model, sources, config, wanted
        limits = [self._limit(sentence) for sentence in range(len(sources))]
        self.scoring = Scoring(config)
        self.expansion = Expansion(config, wanted, max(limits, default=0), model.device)
        self.check_steps = CHECK_STEPS.get(model.device.type, 1)
        most = MAX_SCORES.get(model.device.type, MANY_SCORES)
        self.queue = Queue(model, sources, config, max(1, most // (config.beam * self._scored())))
        self.forbidden = forbidden_ids(config, wanted)
        self.candidates = None if wanted.shortlist else Candidates.every(model, self.forbidden)

    def _scored(self) -> int:
        """About how many target rows sentences score together: with shortlists, some times what one of them does."""
        if self.wanted.shortlist is None or not self.sources:
            return self.model.num_targets
        longest = max(self.sources, key=len)
        return min(self.model.num_targets, SHARED_SHORTLISTS * len(self.wanted.shortlist(longest)))

    def _limit(self, sentence: int) -> int:
        return self.wanted.most_pieces(sentence, max_pieces(len(self.sources[sentence]), self.config))

    def run(self) -> Iterator[list[tuple[int, list[Hypothesis]]]]:
        """(sentence, hypotheses) of those that leave, as they leave."""
        active, number = self._first(), 0
        while active is not None:
            assert self.candidates is not None
            step = self.model.step(active.memory, active.state, active.frontier.pieces, self.candidates.output)
            frontier = self.expansion.advance(active.frontier, step, active.memory.mask, self.candidates)
            active, number = replace(active, frontier=frontier, state=step.state), number + 1
            if number % self.check_steps or (frontier.calm and self.expansion.can_ask):
                active = self._ordered(active, None, frontier.log_probs.size(1))
                continue
            leaving, staying, width = _ask(self.expansion.places_left(frontier).tolist())
            if leaving:
                left = frontier.select(leaving, self._rows(leaving))
                yield hypotheses_of(left, [len(self.sources[i]) + 1 for i in left.sentences], self.scoring, self.wanted)
            if not staying:
                active = self._first()
            elif not leaving:
                active = self._ordered(active, None, width)
            else:
                active = self._refilled(self._ordered(active, staying, width))

    def _rows(self, numbers: Sequence[int]) -> Tensor:
        return sent(torch.tensor(numbers), self.model.device)

    def _ordered(self, active: Active, numbers: Sequence[int] | None, width: int) -> Active:
        """Ready for the next step: the given rows (None: all), `width` hypotheses each, their states in their order."""
        frontier, memory, rows = active.frontier, active.memory, None
        if numbers is not None:
            rows = self._rows(numbers)
            frontier, memory = frontier.select(numbers, rows), memory.select(rows)
        frontier = frontier.narrowed(width)
        return Active(frontier, memory, active.state.select(rows, frontier.parents))

    def _first(self) -> Active | None:
        """The next sentences, where none is at work; None: no sentence is left."""
        arrivals = self.queue.take()
        return None if arrivals is None else self._with_candidates(self._begun(arrivals))

    def _refilled(self, active: Active) -> Active:
        """With as many new sentences as there is room for."""
        longest = max(len(self.sources[sentence]) for sentence in active.frontier.sentences) + 1
        both = Active(active.frontier, active.memory.narrow(longest), active.state)
        room = self.queue.room(longest, len(active.frontier.sentences))
        changed = False
        while room > 0 and (arrivals := self.queue.take(room)):
            both, changed = both_active(both, self._begun(arrivals)), True
            room -= len(arrivals.sentences)
        return self._with_candidates(both) if changed else active

    def _with_candidates(self, active: Active) -> Active:
        """Ready to score what the shortlists of all sentences at work name."""
        if active.frontier.shortlists is None:
            return active
        self.candidates, barred = Candidates.of(self.model, active.frontier.shortlists, self.forbidden)
        alone = len(active.frontier.sentences) == 1
        return replace(active, frontier=replace(active.frontier, barred=None if alone else barred))

    def _begun(self, arrivals: Arrivals) -> Active:
        """New sentences before their first step: one hypothesis of no pieces for each."""
        device, num, beam = self.model.device, len(arrivals.sentences), self.config.beam
        limits = [self._limit(sentence) for sentence in arrivals.sentences]
        nothing = torch.full((num, beam), -torch.inf, device=device)
        zeros = torch.zeros(num, beam, dtype=torch.int64, device=device)
        size = arrivals.memory.mask.size(1)
        kept, penalised = size if self.wanted.attention else 0, self.config.repetition_penalty != 1
        frontier = Frontier(
            sentences=arrivals.sentences,
            limits=limits,
            max_pieces=sent(torch.tensor(limits), device),
            steps=zeros[:, 0],
            best_scale=sent(torch.tensor([self.scoring.scale(limit + 1) for limit in limits]), device),
            log_probs=torch.zeros(num, 1, device=device),
            pieces=torch.full_like(zeros[:, :1], START),
            parents=zeros[:, :1],
            ended=Ended(nothing, nothing, torch.zeros_like(nothing), zeros, zeros),
            cut=nothing,
            cut_coverage=torch.zeros_like(nothing),
            history=History.empty(max(limits) + 1, nothing, source_length=kept, penalised=penalised),
            shortlists=self._shortlists(arrivals.sentences),
            barred=None,
            forced=self._forced(arrivals.sentences),
            written=zeros[:, :1, None][:, :, :0] if remembers(self.config) else None,
            owed=self._owed(arrivals.sentences),
            penalties=torch.zeros(num, 1, device=device) if penalised else None,
            attended=torch.zeros(num, 1, size, device=device) if self.config.coverage_penalty else None,
        )
        return Active(frontier, arrivals.memory, arrivals.state)

    def _shortlists(self, sentences: list[int]) -> list[np.ndarray] | None:
        """The target ids that the sentences may use: their shortlists and what their translations must begin with."""
        if self.wanted.shortlist is None:
            return None
        found = [self.wanted.shortlist(self.sources[sentence]) for sentence in sentences]
        if not self.wanted.prefixes:
            return found
        given = [np.asarray(self.wanted.prefixes[sentence], dtype=np.int64) for sentence in sentences]
        return [np.union1d(ids, pieces) if len(pieces) else ids for ids, pieces in zip(found, given, strict=True)]

    def _forced(self, sentences: list[int]) -> Tensor | None:
        """[B, P], P the same for all sentences of the search so that their rows can be joined."""
        if not self.wanted.prefixes or not any(self.wanted.prefixes):
            return None
        longest = max(map(len, self.wanted.prefixes))
        rows = [[*self.wanted.prefixes[sentence], *[-1] * (longest + 1)] for sentence in sentences]
        return sent(torch.tensor([row[: longest + 1] for row in rows]), self.model.device)

    def _owed(self, sentences: list[int]) -> Tensor | None:
        """[B, 1, P] how often each counted piece is wanted."""
        owed = self.wanted.owed(sentences)
        return None if owed is None else sent(torch.from_numpy(owed)[:, None], self.model.device)


def both_active(active: Active, new: Active) -> Active:
    """Both, the active ones first."""
    first, second = active.frontier, new.frontier
    width = max(first.log_probs.size(1), second.log_probs.size(1))
    longest = max(active.memory.mask.size(1), new.memory.mask.size(1))
    memory = active.memory.join(new.memory)
    written = min(first.num_written(), max(first.limits + second.limits))
    first, second = (frontier.widened(width, longest, written) for frontier in (first, second))
    state = active.state.join(new.state.select(None, torch.zeros_like(second.parents)))
    return Active(replace(first, barred=None).join(replace(second, barred=None)), memory, state)


def _ask(places: Sequence[int]) -> tuple[list[int], list[int], int]:
    """Rows that leave now, rows that stay, and how many hypotheses those need. places: each row's, 0: it is done."""
    done = [row for row, count in enumerate(places) if count == 0]
    if len(done) * LEAVE_SHARE < len(places):
        return [], list(range(len(places))), max(places)
    return done, [row for row, count in enumerate(places) if count], max(places)
