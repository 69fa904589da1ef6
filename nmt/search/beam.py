"""Beam search over any model of `nmt.models.interface`, many sentences at a time.

As in DL4MT, Nematus and Marian, a hypothesis that ends gives up its place for good: with K places, each step keeps the
best K - F continuations of a sentence of which F hypotheses have ended. A sentence is done when no living hypothesis
can still beat its `num_best` ended ones, which is exact: probabilities only fall, so that a hypothesis with
log-probability L scores at most L / (longest allowed length)**length_penalty. With a beam wide enough the result is
that of exhaustive search.

Sentences are sorted by length and searched in batches. A sentence that is done leaves: its rows are dropped from the
memory, the state and every tensor here by index, so that those still searching do not pay for it. Rows know nothing of
each other, so the rows that became free could take new sentences between two steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bpe.errors import UserError
from nmt.config import SearchConfig, require
from nmt.models.interface import Step, TranslationModel
from nmt.search.history import History
from nmt.search.hypothesis import Hypothesis, normalized, ranked
from nmt.search.topk import top_continuations
from nmt.vocabulary import EOS

SPARE_PIECES = 10
"A translation has at most max_length_ratio times the source's pieces, plus this."
MAX_SCORES = 2**25
"Sentences x hypotheses x target rows scored in one step at most (128 MiB in float32)."
LEAVE_SHARE = 8
"Rows of finished sentences are dropped when they are at least one in this many."
CHECK_STEPS = {"cpu": 1, "cuda": 4, "mps": 4}
"The host asks every so many steps who is done, since asking waits for the device."
MAX_LENGTH_PENALTY, MAX_LENGTH_RATIO = 10.0, 100.0
"Limits of the settings: beyond them, float32 or the memory for back pointers overflows."

Progress = Callable[[int], object]
"Called with the number of sentences that were just finished."


@dataclass(frozen=True)
class Ended:
    """Hypotheses that took </s>, the best first. All [B, K]; where there is none, score is -inf."""

    scores: Tensor
    log_probs: Tensor
    steps: Tensor
    "The step of </s>, which is the number of pieces before it."
    parents: Tensor
    "The hypothesis that </s> continues."

    def merged(self, other: Ended) -> Ended:
        """The best K of both."""
        scores, order = torch.cat([self.scores, other.scores], 1).topk(self.scores.size(1), dim=1)
        rest = ((self.log_probs, other.log_probs), (self.steps, other.steps), (self.parents, other.parents))
        return Ended(scores, *(torch.cat(pair, 1).gather(1, order) for pair in rest))

    def count(self) -> Tensor:
        """How many there are, [B]."""
        return (self.scores != -torch.inf).sum(1)

    def select(self, rows: Tensor) -> Ended:
        """The given rows, [N] int64."""
        return Ended(
            *(field.index_select(0, rows) for field in (self.scores, self.log_probs, self.steps, self.parents))
        )


@dataclass(frozen=True)
class Frontier:
    """B sentences in the middle of their search, with up to W living hypotheses each (W <= K)."""

    sentences: list[int]
    "Which sentence of the caller each row is."
    max_pieces: Tensor
    "[B] int64"
    best_scale: Tensor
    "[B] (max_pieces + 1)**length_penalty: the most a log-probability can still be divided by."
    log_probs: Tensor
    "[B, W], falling along W; -inf: no hypothesis. All -inf: the sentence is done."
    pieces: Tensor
    "[B, W] the last piece of each hypothesis."
    parents: Tensor
    "[B, W] which hypothesis it was one step before."
    ended: Ended
    cut: Tensor
    "[B, K] log-probabilities of hypotheses that reached max_pieces; -inf elsewhere."
    history: History

    def select(self, rows: Tensor) -> Frontier:
        """The given rows, [N] int64."""
        names = ("max_pieces", "best_scale", "log_probs", "pieces", "parents", "cut")
        return Frontier(
            sentences=[self.sentences[row] for row in rows.tolist()],
            ended=self.ended.select(rows),
            history=self.history.select(rows),
            **{name: getattr(self, name).index_select(0, rows) for name in names},
        )

    def narrowed(self, width: int) -> Frontier:
        """The first `width` hypotheses: as many as some sentence has places for."""
        return replace(
            self,
            log_probs=self.log_probs[:, :width],
            pieces=self.pieces[:, :width],
            parents=self.parents[:, :width],
        )


@dataclass(frozen=True)
class _Wanted:
    config: SearchConfig
    num_best: int
    attention: bool


@torch.inference_mode()
def beam_search(
    model: TranslationModel,
    sources: Sequence[np.ndarray],
    config: SearchConfig,
    *,
    num_best: int = 1,
    keep_attention: bool = False,
    progress: Progress | None = None,
) -> list[list[Hypothesis]]:
    """The `num_best` best translations of each source, best first, in the order of the sources.

    sources: arrays of the model's source ids, without </s>. The model must be in evaluation mode. Fewer than `num_best`
    hypotheses come back only where there are no more. Hypotheses cut at the length limit (finished=False) fill up the
    list after the finished ones. An empty source gives one empty hypothesis without asking the model.
    Ties go to whichever torch.topk puts first, always the same one for the same input.
    Raises UserError where num_best exceeds the beam, a setting its limit, or the model's probabilities are not numbers.
    """
    assert not model.training, "search needs model.eval()"
    _check_settings(config, num_best)
    results: list[list[Hypothesis]] = [[Hypothesis(pieces=(), log_prob=0.0, score=0.0)] for _ in sources]
    wanted = _Wanted(config, num_best, keep_attention)
    max_sentences = max(1, MAX_SCORES // (config.beam * model.embeddings.output.size(0)))
    lengths = [len(source) for source in sources]
    if progress and 0 in lengths:
        progress(lengths.count(0))
    for batch in plan_batches(lengths, config.batch_tokens, max_sentences):
        for done in _search_batch(model, [(i, sources[i]) for i in batch], wanted):
            for sentence, hypotheses in done:
                results[sentence] = hypotheses
            if progress:
                progress(len(done))
    return results


def _check_settings(config: SearchConfig, num_best: int) -> None:
    if not 1 <= num_best <= config.beam:
        raise UserError(
            f"{num_best} translations of each sentence asked of a beam of {config.beam}", where="search.beam"
        )
    penalty, ratio = config.length_penalty, config.max_length_ratio
    require(penalty <= MAX_LENGTH_PENALTY, "search.length_penalty", penalty, f"at most {MAX_LENGTH_PENALTY:g}")
    require(ratio <= MAX_LENGTH_RATIO, "search.max_length_ratio", ratio, f"at most {MAX_LENGTH_RATIO:g}")


def plan_batches(lengths: Sequence[int], batch_tokens: int, max_sentences: int) -> Iterator[list[int]]:
    """Indices of sources of like length, longest first; empty sources are left out.

    A batch's padded size, </s> included, is at most `batch_tokens`, unless one sentence alone exceeds it.
    """
    order = sorted((index for index, length in enumerate(lengths) if length), key=lambda index: -lengths[index])
    batch: list[int] = []
    for index in order:
        width = lengths[batch[0]] + 1 if batch else 0
        if batch and (len(batch) == max_sentences or width * (len(batch) + 1) > batch_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def max_pieces(source_length: int, config: SearchConfig) -> int:
    """The most pieces a translation may have, </s> not counted on either side."""
    return math.ceil(config.max_length_ratio * source_length) + SPARE_PIECES


def _search_batch(
    model: TranslationModel, batch: list[tuple[int, np.ndarray]], wanted: _Wanted
) -> Iterator[list[tuple[int, list[Hypothesis]]]]:
    """Search one batch; yields (sentence, hypotheses) of those that leave, as they leave."""
    device = model.embeddings.output.device
    source, lengths = _padded([ids for _, ids in batch], device)
    limits = [max_pieces(len(ids), wanted.config) for _, ids in batch]
    frontier = _start([sentence for sentence, _ in batch], limits, source, wanted)
    memory = model.encode(source, lengths)
    state = model.initial_state(memory)
    previous: Tensor | None = None
    check_steps = CHECK_STEPS.get(device.type, 1)
    for number in range(max(limits) + 1):
        step = model.step(memory, state, previous)
        frontier = _advance(frontier, step, number, wanted, at_limit=number in limits)
        rows = torch.arange(len(frontier.sentences), device=device)
        if number % check_steps == 0 or number == max(limits):
            leaving, staying, width = _ask(frontier, wanted.config.beam)
            if leaving:
                yield _collect(frontier.select(torch.tensor(leaving, device=device)), number + 1, wanted)
                if not staying:
                    return
                rows = torch.tensor(staying, device=device)
                frontier, memory = frontier.select(rows), memory.select(rows)
            frontier = frontier.narrowed(width)
        state, previous = step.state.select(rows, frontier.parents), frontier.pieces
    raise AssertionError("every sentence ends at its limit")


def _start(sentences: list[int], limits: list[int], source: Tensor, wanted: _Wanted) -> Frontier:
    """The frontier before the first step: one hypothesis of no pieces for each sentence."""
    device, num, beam = source.device, len(sentences), wanted.config.beam
    nothing = torch.full((num, beam), -torch.inf, device=device)
    zeros = torch.zeros(num, beam, dtype=torch.int64, device=device)
    source_length = source.size(1) if wanted.attention else 0
    return Frontier(
        sentences=sentences,
        max_pieces=torch.tensor(limits, device=device),
        best_scale=torch.tensor([float((n + 1) ** wanted.config.length_penalty) for n in limits], device=device),
        log_probs=torch.zeros(num, 1, device=device),
        pieces=zeros[:, :1],
        parents=zeros[:, :1],
        ended=Ended(nothing, nothing, zeros, zeros),
        cut=nothing,
        history=History.empty(max(limits) + 1, num, beam, source_length=source_length, device=device),
    )


def _advance(frontier: Frontier, step: Step, number: int, wanted: _Wanted, *, at_limit: bool) -> Frontier:
    """Take one piece more for every hypothesis. number: pieces so far. at_limit: it is some sentence's max_pieces."""
    beam, before = wanted.config.beam, frontier.log_probs
    values, parents, pieces = top_continuations(before, step.log_probs, beam)
    places = beam - frontier.ended.count()
    values = values.masked_fill(torch.arange(values.size(1), device=values.device) >= places[:, None], -torch.inf)
    is_end = pieces == EOS
    end_log_probs = values.masked_fill(~is_end, -torch.inf)
    scores = end_log_probs / float((number + 1) ** wanted.config.length_penalty)
    ended = frontier.ended.merged(Ended(scores, end_log_probs, torch.full_like(parents, number), parents))
    living, cut = values.masked_fill(is_end, -torch.inf), frontier.cut
    if at_limit:
        here = (frontier.max_pieces == number)[:, None]
        cut = torch.where(here, functional.pad(before, (0, beam - before.size(1)), value=-torch.inf), cut)
        living = living.masked_fill(here, -torch.inf)
    hopeless = living.amax(1) / frontier.best_scale <= ended.scores[:, wanted.num_best - 1]
    living, order = living.masked_fill(hopeless[:, None], -torch.inf).sort(dim=1, descending=True, stable=True)
    pieces, parents = pieces.gather(1, order), parents.gather(1, order)
    frontier.history.record(number, pieces, parents, step.attention)
    return replace(frontier, log_probs=living, pieces=pieces, parents=parents, ended=ended, cut=cut)


def _ask(frontier: Frontier, beam: int) -> tuple[list[int], list[int], int]:
    """Rows that leave now, rows that stay, and how many hypotheses those need. Waits for the device, once."""
    living = frontier.log_probs[:, 0] != -torch.inf
    places = torch.where(living, beam - frontier.ended.count(), 0).tolist()
    done = [row for row, count in enumerate(places) if count == 0]
    if len(done) * LEAVE_SHARE < len(places):
        return [], list(range(len(places))), max(places)
    return done, [row for row, count in enumerate(places) if count], max(places)


def _collect(frontier: Frontier, steps: int, wanted: _Wanted) -> list[tuple[int, list[Hypothesis]]]:
    """Read the hypotheses of finished sentences back, on the CPU."""
    history, ended = frontier.history.until(steps), frontier.ended
    tables = [field.tolist() for field in (ended.log_probs, ended.steps, ended.parents, frontier.cut)]
    results = []
    for row, (sentence, limit) in enumerate(zip(frontier.sentences, frontier.max_pieces.tolist(), strict=True)):
        log_probs, lengths, parents, cut = (table[row] for table in tables)
        found = list(zip(log_probs, lengths, parents, [True] * len(log_probs), strict=True))
        found += [(log_prob, limit, hypothesis, False) for hypothesis, log_prob in enumerate(cut)]
        _check_numbers([log_prob for log_prob, *_ in found])
        hypotheses = [
            _hypothesis(history, row, entry, wanted.config.length_penalty) for entry in found if entry[0] != -math.inf
        ]
        results.append((sentence, ranked(hypotheses, wanted.num_best)))
    return results


def _hypothesis(history: History, row: int, entry: tuple[float, int, int, bool], length_penalty: float) -> Hypothesis:
    """entry: log-probability, pieces, the hypothesis at the last piece, and whether </s> follows."""
    log_prob, length, last, finished = entry
    pieces, attention = history.trace(row, last, length)
    score = normalized(log_prob, length + finished, length_penalty)
    return Hypothesis(pieces=pieces, log_prob=log_prob, score=score, finished=finished, attention=attention)


def _check_numbers(log_probs: list[float]) -> None:
    if any(math.isnan(log_prob) for log_prob in log_probs):
        raise UserError(
            "the model's probabilities are not numbers (NaN)", hint="its training diverged: use an earlier checkpoint"
        )


def _padded(sources: Sequence[np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """[B, S] int64 with </s> at each end and 0 after it, and the lengths, [B], </s> included."""
    lengths = [len(source) + 1 for source in sources]
    ids = np.zeros((len(sources), max(lengths)), dtype=np.int64)
    for row, source in enumerate(sources):
        ids[row, : len(source)] = source
        ids[row, len(source)] = EOS
    return torch.from_numpy(ids).to(device), torch.tensor(lengths, device=device)
