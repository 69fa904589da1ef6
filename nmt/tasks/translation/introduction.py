"""What is told before a translation model is trained."""

from __future__ import annotations

import torch

from nmt.config import Config
from nmt.data.batching import EpochPlan
from nmt.data.mixing import MixedPlan
from nmt.folder.ledger import matrix_lines, mode_lines, way_lines
from nmt.models.build import VocabularySizes, build_empty


def introduction(
    config: Config, sizes: VocabularySizes, plan: EpochPlan, num_pairs: int, *, matrices: bool
) -> list[str]:
    """The ledger and the plan: vocabulary, every matrix, sizes of the modes, batches. num_pairs: too long ones too."""
    lines = [
        f"{config.prep.source} -> {config.prep.target}, {config.model.tying} tying, in {config.training.precision}",
        f"vocabulary: source {sizes.source:,}, target {sizes.target:,}, union {sizes.union:,}",
    ]
    if matrices:
        lines.append("parameters (= NAME: the same storage, counted once):")
        lines += matrix_lines(build_empty(config.model, sizes, torch.device("meta")))
    lines += way_lines(config.model, sizes)
    if config.training.tie_gradient_scale:
        lines.append(f"gradients of shared matrices, by role: {', '.join(config.training.tie_gradient_scale)}")
    lines += ["size in each tying mode:", *mode_lines(config.model, sizes)]
    settings, batches = config.training, plan.batches(0)
    lines.append(
        f"{plan.num_pairs:,} of {num_pairs:,} pairs have at most {settings.max_length} pieces a side; "
        f"{len(batches):,} batches an epoch, {100 * batches.padding():.1f}% padding"
    )
    if isinstance(plan, MixedPlan):
        lines += [f"  mixed in: {text}, {count:,} pairs" for text, count in zip(settings.mix, plan.taken, strict=True)]
    if settings.bpe_dropout:
        lines[-1] += ", both before BPE-dropout"
        if not config.prep.bpe_dropout:
            lines.append(
                "BPE-dropout: a drawn piece that the vocabulary lacks is cut smaller, or its word left whole; "
                "a folder made by nmt-prep --set prep.bpe_dropout=true lacks none"
            )
    return lines
