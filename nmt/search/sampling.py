"""Translations drawn at random from any model of `nmt.models.interface`, many at a time.

A piece is drawn from the model's distribution at a temperature, then of the `top_k` likeliest pieces, then of the
fewest likeliest that have `top_p` of what is left (nucleus sampling: Holtzman et al., 2020, section 3.1). This order is
Hugging Face's; fairseq takes either top-k or top-p. Exactly k pieces are kept: of equally likely ones the first rows.

Draws can be repeated: the random number of a sentence's draw at a step follows from the seed, the sentence's number,
the draw and the step alone, by a counter-based generator (Philox 4x64: Salmon et al., 2011). What else is in a batch,
the number of threads and the device change a draw only where rounding carries a probability across that number.

Shapes: R rows, one for each draw of each sentence, S source positions, N scored target rows, T steps at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nmt.config import SearchConfig, require
from nmt.device import answers_at_once, sent
from nmt.models.interface import START, Memory, SearchModel, State, Step
from nmt.search.arrivals import max_pieces, padded_sources, plan_batches
from nmt.search.beam import CHECK_STEPS, check_settings
from nmt.search.candidates import Candidates, forbidden_ids, ranking
from nmt.search.expansion import check_numbers
from nmt.search.frontier import Rows
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.search.rules import Owed, penalties, ruled
from nmt.search.scoring import Scoring
from nmt.text.vocabulary import EOS

MAX_SCORES = 2**22
"Rows x target rows drawn from in one step at most (32 MiB in float64, several times)."
FIRST_SORTED = 64
"The likeliest pieces that top_p looks at first, then sixteen times as many where they were too few: sorting is slow."
SUMMED_UNIT = 2**40
"Weights are whole numbers of 1 / SUMMED_UNIT where `running_sums` rounds them; 2^22 of them fit into 63 bits."
LEAVE_SHARE = 8
"Finished rows are dropped when they are at least one in this many."


@dataclass(frozen=True)
class _Task:
    """What is asked of one search."""

    model: SearchModel
    sources: Sequence[np.ndarray]
    config: SearchConfig
    wanted: Wanted

    @cached_property
    def counted(self) -> Tensor:
        """[P] the target ids that are counted."""
        return sent(torch.tensor(self.wanted.counted, dtype=torch.int64), self.model.device)

    def prefix(self, sentence: int) -> Sequence[int]:
        return self.wanted.prefixes[sentence] if self.wanted.prefixes else ()

    def limit(self, sentence: int) -> int:
        """The most pieces the sentence's translation may have."""
        return self.wanted.most_pieces(sentence, max_pieces(len(self.sources[sentence]), self.config))

    def uniforms(self, sentence: int, draw: int, count: int) -> np.ndarray:
        """The numbers in [0, 1) that a draw follows from, [count] float64."""
        number = sentence if self.wanted.numbers is None else self.wanted.numbers[sentence]
        key = np.array([self.config.seed % 2**64, number], dtype=np.uint64)
        raw = np.random.Philox(key=key, counter=np.array([0, draw, 0, 0], dtype=np.uint64)).random_raw(count)
        return np.asarray(raw >> np.uint64(11), dtype=np.float64) * 2.0**-53


@dataclass(frozen=True)
class _Draws(Rows):
    """R translations in the middle of being drawn."""

    names: list[tuple[int, int]]
    "Sentence and draw of each row."
    limits: Tensor
    "[R] the most pieces it may have."
    uniforms: Tensor
    "[R, T] random numbers, one for each step."
    forced: Tensor
    "[R, P] the pieces it begins with, -1 after them."
    barred: Tensor | None
    "[R, N] float32: 0 at the scored target rows it may use, -inf elsewhere; None: all."
    written: Tensor
    "[R, 1 + T] START and its pieces; written in place."
    log_probs: Tensor
    "[R, T] of its pieces, by the model; written in place."
    penalties: Tensor | None
    "[R, T] what the repetition penalty added to them; written in place. None: there is none."
    owed: Tensor | None
    "[R, P] how often each counted piece must still be written; written in place. None: nothing is counted."
    lengths: Tensor
    "[R] int64: pieces of the translation if it is done, else -1; written in place."
    finished: Tensor
    "[R] bool: whether it took </s>; written in place."
    told: list[bool]
    "[R] whether it was given out; written in place."
    attention: Tensor | None
    "[R, T, S] or None when it is not wanted; written in place."
    memory: Memory


@torch.inference_mode()
def sample(
    model: SearchModel, sources: Sequence[np.ndarray], config: SearchConfig, wanted: Wanted
) -> list[list[Hypothesis]]:
    """`num_best` independent translations of each source, in the order of the sources.

    sources: arrays of the model's source ids, without </s>. Each list is sorted as beam search's are, best first and
    cut ones (finished=False) last, but holds a translation as often as it was drawn: its frequency says something.
    log_prob is the model's, whatever settings have made of it in drawing; score is log_prob by length, without
    coverage, and counts the repetition penalty, but neither temperature, top_k nor top_p. A translation is cut where
    the piece after its last allowed one is not </s>. An empty source gives one empty hypothesis without asking the
    model.
    Raises UserError where a setting exceeds its limit or the model's probabilities are not numbers.
    """
    assert not getattr(model, "training", False), "sampling needs model.eval()"
    check_settings(config)
    require(wanted.num_best >= 1, "--n-best", wanted.num_best, "1 or more")
    task = _Task(model, sources, config, wanted)
    found: list[dict[int, Hypothesis]] = [{} for _ in sources]
    lengths = [len(source) for source in sources for _ in range(wanted.num_best)]
    if wanted.progress and 0 in lengths:
        wanted.progress(lengths.count(0) // wanted.num_best)
    for batch in plan_batches(lengths, config.batch_tokens, max(1, MAX_SCORES // model.num_targets)):
        for (sentence, draw), hypothesis in _draw_batch(task, [divmod(row, wanted.num_best) for row in batch]):
            found[sentence][draw] = hypothesis
            if wanted.progress and len(found[sentence]) == wanted.num_best:
                wanted.progress(1)
    return [
        sorted((draws[draw] for draw in sorted(draws)), key=lambda drawn: (not drawn.finished, -drawn.score))
        or [Hypothesis(pieces=(), log_prob=0.0, score=0.0)]
        for draws in found
    ]


def _draw_batch(task: _Task, names: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], Hypothesis]]:
    """Draw for all the rows at once; each is given soon after it ended."""
    draws, state, candidates = _start(task, names)
    last, every = draws.uniforms.size(1) - 1, CHECK_STEPS.get(task.model.device.type, 1)
    for number in range(last + 1):
        previous = draws.written[:, number : number + 1]
        step = task.model.step(draws.memory, state, previous, candidates.output)
        _advance(draws, step, number, candidates, task)
        rows = None
        if number == last or (number + 1) % every == 0:
            lengths = draws.lengths.tolist()
            yield from _collect(draws, lengths, task)
            living = [row for row, length in enumerate(lengths) if length < 0]
            if not living:
                return
            if (len(lengths) - len(living)) * LEAVE_SHARE >= len(lengths):
                rows = sent(torch.tensor(living), task.model.device)
                draws = draws.select(living, rows)
        state = step.state.select(rows, draws.limits.new_zeros(len(draws.names), 1))
    raise AssertionError("every draw ends at its limit")


def _start(task: _Task, names: list[tuple[int, int]]) -> tuple[_Draws, State, Candidates]:
    """The rows before their first step. Each sentence is encoded once, however many draws of it there are."""
    device, count = task.model.device, len(names)
    sentences = sorted({sentence for sentence, _ in names})
    limits = [task.limit(sentence) for sentence, _ in names]
    memory = task.model.encode(*padded_sources([task.sources[sentence] for sentence in sentences], device))
    owners = sent(torch.from_numpy(np.searchsorted(sentences, [sentence for sentence, _ in names])), device)
    state = task.model.initial_state(memory).select(owners, torch.zeros_like(owners)[:, None])
    candidates, barred = _candidates(task, [sentence for sentence, _ in names])
    steps = max(limits) + 1
    uniforms = np.stack([task.uniforms(sentence, draw, steps) for sentence, draw in names])
    width = max(len(task.prefix(sentence)) for sentence in sentences)
    forced = [[*task.prefix(sentence), *[-1] * (width - len(task.prefix(sentence)))] for sentence, _ in names]
    exact = torch.float32 if device.type == "mps" else torch.float64
    attention = torch.zeros(count, steps, memory.mask.size(1), device=device) if task.wanted.attention else None
    penalised = task.config.repetition_penalty != 1
    owed = task.wanted.owed([sentence for sentence, _ in names])
    draws = _Draws(
        names=names,
        limits=sent(torch.tensor(limits), device),
        uniforms=sent(torch.from_numpy(uniforms).to(exact), device),
        forced=sent(torch.tensor(forced, dtype=torch.int64), device),
        barred=barred,
        written=torch.full((count, steps + 1), START, device=device),
        log_probs=torch.zeros(count, steps, device=device),
        penalties=torch.zeros(count, steps, device=device) if penalised else None,
        owed=None if owed is None else sent(torch.from_numpy(owed), device),
        lengths=torch.full((count,), -1, device=device),
        finished=torch.zeros(count, dtype=torch.bool, device=device),
        told=[False] * count,
        attention=attention,
        memory=memory.select(owners),
    )
    return draws, state, candidates


def _candidates(task: _Task, sentences: list[int]) -> tuple[Candidates, Tensor | None]:
    """The target rows scored for a batch, what its shortlists and prefixes name, and which of them each row may use."""
    forbidden = forbidden_ids(task.config, task.wanted)
    if task.wanted.shortlist is None:
        return Candidates.every(task.model, forbidden), None
    lists = {
        sentence: np.union1d(task.wanted.shortlist(task.sources[sentence]), [EOS, *task.prefix(sentence)])
        for sentence in set(sentences)
    }
    return Candidates.of(task.model, [lists[sentence] for sentence in sentences], forbidden)


def _advance(draws: _Draws, step: Step, number: int, candidates: Candidates, task: _Task) -> None:
    """Draw one piece more for every row, and note which of them are done. number: pieces so far."""
    config, counted = task.config, task.counted
    written = draws.written[:, : number + 1]
    forced = draws.forced[:, number] if number < draws.forced.size(1) else None
    log_probs = ruled(
        ranking(step, draws.barred),
        candidates,
        config,
        written=written[:, None],
        short=torch.ones_like(draws.finished) if number < config.min_length else None,
        forced=forced,
        owed=None if draws.owed is None else Owed(counted, draws.owed[:, None], draws.limits - number),
    )[:, 0]
    columns = pick(log_probs, draws.uniforms[:, number], config)
    chosen, pieces = log_probs.gather(1, columns[:, None])[:, 0], candidates.pieces(columns)
    if draws.penalties is not None:
        free = torch.ones_like(draws.finished) if forced is None else forced < 0
        added = penalties(chosen, pieces, written, config.repetition_penalty, rows=free)
        draws.penalties[:, number], chosen = added, chosen - added
    draws.log_probs[:, number] = chosen
    draws.written[:, number + 1] = pieces
    if draws.owed is not None:
        draws.owed.sub_((pieces[:, None] == counted).long())
    if draws.attention is not None:
        draws.attention[:, number] = step.attention[:, 0]
    ended = pieces == EOS
    done = (draws.lengths < 0) & (ended | (draws.limits <= number))
    draws.lengths.masked_fill_(done, number)
    draws.finished.logical_or_(done & ended)


def _collect(draws: _Draws, lengths: list[int], task: _Task) -> Iterator[tuple[tuple[int, int], Hypothesis]]:
    """The rows that are done and were not given out before. lengths: of the draws, on the host."""
    new = [row for row, length in enumerate(lengths) if length >= 0 and not draws.told[row]]
    if not new:
        return
    rows = sent(torch.tensor(new), task.model.device)
    table = zip(*(field[rows].tolist() for field in (draws.written, draws.log_probs, draws.finished)), strict=True)
    for row, (written, log_probs, finished) in zip(new, table, strict=True):
        length, draws.told[row] = lengths[row], True
        own = tuple(log_probs[: length + finished])
        log_prob, penalty, attention = math.fsum(own), 0.0, None
        if draws.penalties is not None:
            penalty = math.fsum(draws.penalties[row, : len(own)].tolist())
        check_numbers(own)
        if draws.attention is not None:
            width = len(task.sources[draws.names[row][0]]) + 1
            attention = draws.attention[row, :length, :width].float().cpu()
        hypothesis = Hypothesis(
            pieces=tuple(written[1 : length + 1]),
            log_prob=log_prob,
            score=Scoring(task.config).score(log_prob + penalty, len(own)),
            penalty=penalty,
            finished=finished,
            attention=attention,
            log_probs=None if attention is None else own,
        )
        yield draws.names[row], hypothesis


def pick(log_probs: Tensor, uniforms: Tensor, config: SearchConfig) -> Tensor:
    """A column for each row, [R], at the settings' temperature, top_k and top_p, by inverting the distribution.

    log_probs: [R, N], -inf where a column cannot be drawn. uniforms: [R] in [0, 1), in the precision of the sums.
    """
    scores = log_probs.to(uniforms.dtype)
    weights = ((scores - scores.amax(1, keepdim=True)) / config.temperature).exp_()  # the likeliest has 1
    if config.top_k:
        weights.masked_fill_(~likeliest(scores, config.top_k), 0)
    if config.top_p < 1:
        weights.masked_fill_(~nucleus(scores, weights, config.top_p), 0)
    sums = running_sums(weights)
    total = sums[:, -1:]
    below = torch.minimum(uniforms[:, None] * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(sums, below, right=True)[:, 0].clamp_(max=scores.size(1) - 1)


def running_sums(weights: Tensor) -> Tensor:
    """[R, N] weights -> what they add up to so far along a row, in any unit.

    CUDA adds up in no promised order, which changes what is rounded away: there in whole numbers.
    """
    return whole_sums(weights) if weights.device.type == "cuda" else weights.cumsum(1)


def whole_sums(weights: Tensor) -> Tensor:
    """The same, of weights up to 1 that are rounded first, to multiples of 1 / SUMMED_UNIT: exact in every order.

    A piece a trillion times less likely than the likeliest is never drawn then.
    """
    return (weights * SUMMED_UNIT).round_().long().cumsum(1).to(weights.dtype)


def likeliest(scores: Tensor, count: int) -> Tensor:
    """Where the `count` largest of each row are, [R, N] bool; of equal ones the first."""
    if count >= scores.size(1):
        return torch.ones_like(scores, dtype=torch.bool)
    least = scores.topk(count, dim=1).values[:, -1:]
    return _largest(scores, least, torch.full_like(least, count, dtype=torch.int64))


def nucleus(scores: Tensor, weights: Tensor, share: float) -> Tensor:
    """The fewest columns, by falling score, whose weights add up to `share` of all: [R, N] bool; of equal the first."""
    if not answers_at_once(scores.device):
        return _nucleus_unasked(scores, weights, share)
    kept = torch.zeros_like(scores, dtype=torch.bool)
    wanted, size = share * weights.sum(1, keepdim=True), FIRST_SORTED
    rows = torch.arange(len(scores), device=scores.device)
    while len(rows):
        size = min(size, scores.size(1))
        values, order = scores[rows].topk(size, dim=1)
        ordered = weights[rows].gather(1, order)
        needed = ordered.cumsum(1) - ordered < wanted[rows]
        enough = ~needed[:, -1] if size < scores.size(1) else torch.ones_like(rows, dtype=torch.bool)
        counts = needed[enough].sum(1, keepdim=True).clamp_(min=1)
        kept[rows[enough]] = _largest(scores[rows[enough]], values[enough].gather(1, counts - 1), counts)
        rows, size = rows[~enough], size * 16
    return kept


def _nucleus_unasked(scores: Tensor, weights: Tensor, share: float) -> Tensor:
    """The same without a question to the device: all columns are sorted at once."""
    values, order = scores.sort(dim=1, descending=True, stable=True)
    sums = running_sums(weights.gather(1, order))
    before = torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :-1]], 1)
    counts = (before < share * sums[:, -1:]).sum(1, keepdim=True).clamp_(min=1)
    return _largest(scores, values.gather(1, counts - 1), counts)


def _largest(scores: Tensor, least: Tensor, counts: Tensor) -> Tensor:
    """Where the `counts` largest of each row are, the last of them `least`; both [R, 1]; of equal ones the first."""
    above, level = scores > least, scores == least
    return above | (level & (level.cumsum(1) <= counts - above.sum(1, keepdim=True)))
