"""What a translation must and must not hold, as -inf in the log-probabilities of its next piece.

Shapes: B sentences, K hypotheses a sentence, N scored columns, t pieces so far. log_probs: [B, K, N], which every
function changes in place and hands back. ids: [N] int64, the target id of each column, rising; None: column = id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from nmt.config import SearchConfig
from nmt.device import answers_at_once
from nmt.search.candidates import Candidates
from nmt.text.vocabulary import EOS


def remembers(config: SearchConfig) -> bool:
    """Whether a rule asks what a hypothesis has written so far."""
    return config.no_repeat_ngram > 0 or config.repetition_penalty != 1


@dataclass(frozen=True)
class Owed:
    """Pieces that translations hold as often as they are told. P of them are counted."""

    pieces: Tensor
    "[P] int64, target ids, distinct."
    counts: Tensor
    "[B, K, P] int64, how often each is still to be written; 0 or less: not again."
    left: Tensor
    "[B] int64, how many pieces may still be written."


def ruled(
    log_probs: Tensor,
    candidates: Candidates,
    config: SearchConfig,
    *,
    written: Tensor | None = None,
    short: Tensor | None = None,
    forced: Tensor | None = None,
    owed: Owed | None = None,
) -> Tensor:
    """All rules together: every hypothesis that had a piece to go on with still has one.

    written: [B, K, t] target ids so far, -1 at places before a row's start; only where a rule `remembers`.
    short: [B] bool, rows that are not to end yet. forced: [B] the pieces that `force` takes, which no other rule
    touches. owed: pieces that are counted, which may repeat. None: no such rule.
    """
    ids, free = candidates.ids, None if forced is None else forced < 0
    forbid_columns(log_probs, candidates.forbidden, rows=free)
    if written is not None and config.no_repeat_ngram:
        own = None if owed is None else _of_pieces(log_probs, ids, owed.pieces)
        forbid_repeats(log_probs, ids, written, config.no_repeat_ngram, rows=free)
        if own is not None:  # what was lowered is raised again
            log_probs.scatter_reduce_(2, *own, "amax")
    if written is not None and config.repetition_penalty != 1:
        penalise(log_probs, ids, written, config.repetition_penalty, rows=free)
    if owed is not None:
        keep_to_counts(log_probs, ids, owed, rows=free)
    if short is not None:
        forbid_end(log_probs, ids, short if free is None else short & free)
    return log_probs if forced is None else force(log_probs, ids, forced)


def forbid_columns(log_probs: Tensor, columns: Iterable[slice], *, rows: Tensor | None = None) -> Tensor:
    """The given columns are forbidden. rows: [B] bool, where; None: everywhere."""
    for own in columns:
        if rows is None:
            log_probs[:, :, own] = -torch.inf
        else:
            log_probs[:, :, own].masked_fill_(rows[:, None, None], -torch.inf)
    return log_probs


def penalise(
    log_probs: Tensor, ids: Tensor | None, written: Tensor, penalty: float, *, rows: Tensor | None = None
) -> Tensor:
    """Log-probabilities of pieces that were written already are multiplied by `penalty`, once each.

    The repetition penalty of CTRL (Keskar et al., 2019, section 4.1), whose scores, where negative, are multiplied;
    log-probabilities are never positive. Beam search of Hugging Face does the same. written: [B, K, t] target ids, -1
    at places before a row's start. rows: [B] bool, where; None: everywhere.
    """
    columns, here = _columns(ids, written.clamp(min=0))
    here = here & (written >= 0)
    if rows is not None:
        here = here & rows[:, None, None]
    values = log_probs.gather(2, columns)
    values = torch.where(here, values * penalty, values)  # a place that is none names some column, as it was
    return log_probs.scatter_reduce_(2, columns, values, "amin" if penalty > 1 else "amax")


def penalties(log_probs: Tensor, pieces: Tensor, written: Tensor, penalty: float, *, rows: Tensor) -> Tensor:
    """What `penalise` added to the log-probabilities of chosen pieces, of their shape, [...].

    log_probs: as `ruled` left them. written: [..., t] as above, before these pieces. rows: broadcast to [...], where
    the penalty holds.
    """
    again = (written == pieces[..., None]).any(-1) & rows & (log_probs != -torch.inf)
    return torch.where(again, log_probs - log_probs / penalty, torch.zeros_like(log_probs))


def forbid_repeats(
    log_probs: Tensor, ids: Tensor | None, prefixes: Tensor, size: int, *, rows: Tensor | None = None
) -> Tensor:
    """No sequence of `size` pieces comes twice: the pieces that would complete one are forbidden, </s> never.

    prefixes: [B, K, t] int64 target ids so far; -1 marks places before a row's start. rows: [B] bool, where the rule
    holds; None: everywhere.
    """
    length = prefixes.size(2)
    if length < size:
        return log_probs
    windows = prefixes.unfold(2, size, 1)  # [B, K, t - size + 1, size]
    last = prefixes[:, :, None, length - size + 1 :]
    repeated = (windows[..., :-1] == last).all(3) & (windows >= 0).all(3) & (windows[..., -1] != EOS)
    if rows is not None:
        repeated &= rows[:, None, None]
    columns, scored = _columns(ids, windows[..., -1].clamp(min=0))
    most = torch.full_like(columns, torch.inf, dtype=log_probs.dtype).masked_fill_(repeated & scored, -torch.inf)
    return log_probs.scatter_reduce_(2, columns, most, "amin")


def forbid_end(log_probs: Tensor, ids: Tensor | None, rows: Tensor) -> Tensor:
    """</s> may not follow in the given rows, [B] bool, unless nothing else may."""
    column = _end(log_probs, ids)
    end = log_probs.index_select(2, column)
    others = log_probs.index_fill_(2, column, -torch.inf).amax(2, keepdim=True)
    forbidden = rows[:, None, None] & (others != -torch.inf)
    return log_probs.index_copy_(2, column, end.masked_fill_(forbidden, -torch.inf))


def force(log_probs: Tensor, ids: Tensor | None, pieces: Tensor) -> Tensor:
    """Only the given piece may follow, at the model's own probability. pieces: [B] target ids that are scored; -1: any.

    On a CPU only rows with a piece are written, so that none costs little.
    """
    if not answers_at_once(log_probs.device):
        return _force_unasked(log_probs, ids, pieces)
    rows = (pieces >= 0).nonzero()[:, 0]
    if rows.numel() == 0:
        return log_probs
    columns, _ = _columns(ids, pieces[rows])
    columns = columns[:, None, None].expand(-1, log_probs.size(1), 1)
    chosen = log_probs[rows]
    log_probs[rows] = torch.full_like(chosen, -torch.inf).scatter_(2, columns, chosen.gather(2, columns))
    return log_probs


def _force_unasked(log_probs: Tensor, ids: Tensor | None, pieces: Tensor) -> Tensor:
    """The same without a question to the device."""
    columns, _ = _columns(ids, pieces.clamp(min=0))
    columns = columns[:, None, None].expand(-1, log_probs.size(1), 1)
    chosen = log_probs.gather(2, columns)
    log_probs.masked_fill_((pieces >= 0)[:, None, None], -torch.inf)
    return log_probs.scatter_(2, columns, chosen)


def keep_to_counts(log_probs: Tensor, ids: Tensor | None, owed: Owed, *, rows: Tensor | None = None) -> Tensor:
    """A counted piece may follow as often as it is owed, and </s> when nothing is; both at the model's own probability.

    Where nothing is likelier than </s>, or no room is left for anything else, one that is owed must follow. rows: [B]
    bool, where the rule holds; None: everywhere.
    """
    if not answers_at_once(log_probs.device):
        return _keep_unasked(log_probs, ids, owed, rows)
    columns, scored = _columns(ids, owed.pieces)
    columns, counts = columns[scored], owed.counts[:, :, scored]  # those that are scored
    if rows is not None:
        counts = torch.where(rows[:, None, None], counts, torch.ones_like(counts))
    own = log_probs.index_select(2, columns).masked_fill_(counts <= 0, -torch.inf)
    log_probs.index_copy_(2, columns, own)
    owing = (counts > 0).any(2) if rows is None else (counts > 0).any(2) & rows[:, None]
    sentences, hypotheses = owing.nonzero(as_tuple=True)
    if sentences.numel() == 0:
        return log_probs
    some = log_probs[sentences, hypotheses]  # [owing hypotheses, N]
    end = _end(log_probs, ids)
    full = owed.left[sentences] <= counts.clamp(min=0).sum(2)[sentences, hypotheses]
    must = full | (some[:, end[0]] >= some.amax(1))
    some[:, end[0]] = -torch.inf
    alone = torch.full_like(some, -torch.inf).index_copy_(1, columns, own[sentences, hypotheses])
    log_probs[sentences, hypotheses] = torch.where(must[:, None], alone, some)
    return log_probs


def _keep_unasked(log_probs: Tensor, ids: Tensor | None, owed: Owed, rows: Tensor | None) -> Tensor:
    """The same without a question to the device: every hypothesis is treated as if it owed something."""
    columns, scored = _columns(ids, owed.pieces)
    columns = columns.expand_as(owed.counts)
    free = scored if rows is None else scored & rows[:, None, None]  # a piece, of a sentence, that the rule is for
    spent, wanted = free & (owed.counts <= 0), free & (owed.counts > 0)
    most = torch.full_like(log_probs[:, :, :1], torch.inf).expand(spent.shape).masked_fill(spent, -torch.inf)
    log_probs.scatter_reduce_(2, columns, most, "amin")
    owing, end = wanted.any(2), _end(log_probs, ids)
    at_end = log_probs.index_select(2, end)
    left = (owed.counts * wanted).sum(2)
    must = owing & ((owed.left[:, None] <= left) | (at_end[:, :, 0] >= log_probs.amax(2)))
    log_probs.index_copy_(2, end, at_end.masked_fill(owing[:, :, None], -torch.inf))
    own = log_probs.gather(2, columns).masked_fill(~(free & must[:, :, None]), -torch.inf)
    log_probs.masked_fill_(must[:, :, None], -torch.inf)
    return log_probs.scatter_reduce_(2, columns, own, "amax")


def _end(log_probs: Tensor, ids: Tensor | None) -> Tensor:
    """The column of </s>, [1]."""
    return _columns(ids, torch.full((1,), EOS, device=log_probs.device))[0]


def _columns(ids: Tensor | None, pieces: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of target ids of any shape, and whether they are scored at all; a column of those is any."""
    if ids is None:
        return pieces, torch.ones_like(pieces, dtype=torch.bool)
    columns = torch.searchsorted(ids, pieces).clamp_(max=ids.numel() - 1)
    return columns, ids[columns] == pieces


def _of_pieces(log_probs: Tensor, ids: Tensor | None, pieces: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of target ids, [P], and what stands there, both [B, K, P]; -inf where a piece is not scored."""
    columns, scored = _columns(ids, pieces)
    columns = columns.expand(*log_probs.shape[:2], -1)
    return columns, log_probs.gather(2, columns).masked_fill_(~scored, -torch.inf)
