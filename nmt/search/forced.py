"""A model led along given translations: what it thought of each piece, what else it thought of, where it looked.

Sees a model as search does, step by step, so that copies made for speed and several models as one can be asked too.
`nmt.translate.scorer` has the same log-probabilities, and nothing else, from one pass over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.models.interface import START, SearchModel
from nmt.search.arrivals import padded_sources


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What a model says of one translation, for each of its T pieces and, last, for </s>."""

    log_probs: tuple[float, ...]
    "Natural log-probability of the piece, T + 1 of them."
    runners_up: tuple[tuple[tuple[int, float], ...], ...]
    "For each step the likeliest target ids and their log-probabilities, best first, the piece itself among them."
    attention: Tensor
    "[T + 1, S + 1] float32 on the CPU, each row's source weights; the last column is the source's </s>."


@torch.inference_mode()
def follow(
    model: SearchModel,
    sources: Sequence[np.ndarray],
    targets: Sequence[Sequence[int]],
    *,
    runners_up: int = 0,
    batch_sentences: int = 32,
) -> list[Followed]:
    """Lead the model along each target, given its source, and on to </s>.

    sources: arrays of the model's source ids, targets: ids of its target view, both without </s>; either may be empty.
    runners_up: likeliest ids to tell of at each step. A model that trains must be in evaluation mode.
    Costs one decoder step for each position of a batch; batches are of like length.
    """
    assert len(sources) == len(targets), "one target for each source"
    order = sorted(range(len(targets)), key=lambda index: (-len(targets[index]), -len(sources[index])))
    found: dict[int, Followed] = {}
    for start in range(0, len(order), batch_sentences):
        rows = order[start : start + batch_sentences]
        followed = _follow_batch(model, [sources[row] for row in rows], [targets[row] for row in rows], runners_up)
        found.update(zip(rows, followed, strict=True))
    return [found[index] for index in range(len(targets))]


def _follow_batch(
    model: SearchModel, sources: Sequence[np.ndarray], targets: Sequence[Sequence[int]], runners_up: int
) -> list[Followed]:
    """One batch, padded; what is computed at padding is left out at the end."""
    source, source_lengths = padded_sources(sources, model.device)
    labels, target_lengths = padded_sources([np.array(target, dtype=np.int64) for target in targets], model.device)
    memory, output = model.encode(source, source_lengths), model.output()
    state, previous = model.initial_state(memory), torch.full_like(labels[:, :1], START)
    count = min(runners_up, model.num_targets - 1)  # padding is no runner-up
    log_probs, best, attention = [], [], []
    for number in range(labels.size(1)):
        step = model.step(memory, state, previous, output)
        state, previous = step.state, labels[:, number : number + 1]
        log_probs.append(step.log_probs[:, 0].gather(1, previous)[:, 0])
        best.append(step.log_probs[:, 0].topk(count))
        attention.append(step.attention[:, 0])
    values = torch.stack(log_probs, 1).tolist()
    weights = torch.stack(attention, 1).float().cpu()
    best_values, best_ids = (torch.stack(tensors, 1).tolist() for tensors in zip(*best, strict=True))
    sizes = zip(target_lengths.tolist(), source_lengths.tolist(), strict=True)
    return [
        Followed(
            log_probs=tuple(values[row][:steps]),
            runners_up=tuple(
                tuple(zip(*found, strict=True))
                for found in zip(best_ids[row][:steps], best_values[row][:steps], strict=True)
            ),
            attention=weights[row, :steps, :width].clone(),
        )
        for row, (steps, width) in enumerate(sizes)
    ]
