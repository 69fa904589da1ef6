"""The parts of an update, by architecture: where in a model they end, and the multiply-adds of their products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn
from torch.utils.hooks import RemovableHandle

from nmt.config import ModelConfig
from nmt.data.batching import Batch
from nmt.layers.linear import FeedForward
from nmt.layers.multihead import CrossAttention, SelfAttention
from nmt.models.interface import TranslationModel
from nmt.models.rnn.model import RNNModel
from nmt.models.transformer.model import TransformerModel

BATCH, OPTIMIZER, READOUT = "making the batch", "optimizer", "readout, softmax, loss"
REST = "embeddings, dropout, norm, rest"
ENCODER, PROJECTIONS, LOOP = "encoder", "keys, input products", "decoder loop"
ATTENTION, FEEDFORWARD, BETWEEN = "attention", "feed-forward", "norms, dropout, sums between them"

Mark = Callable[[str], None]
"Told the name of what ended just now."


@dataclass(frozen=True, kw_only=True)
class UpdateParts:
    """Of one architecture. All that is not named elsewhere is REST."""

    names: tuple[str, ...]
    hooks: Callable[[TranslationModel, Mark], Iterator[RemovableHandle]]
    "Hooks that mark the ends of the model's parts, forward and backward."
    multiply_adds: Callable[[ModelConfig, int, Batch], Mapping[str, float]]
    "(model, target rows, batch): of the parts' products, one forward pass; padding does not count."


def _rnn_hooks(model: TranslationModel, mark: Mark) -> Iterator[RemovableHandle]:
    assert isinstance(model, RNNModel)
    encoder, decoder, readout = model.encoder, model.decoder, model.output_layer
    yield encoder.register_forward_pre_hook(lambda *_: mark(REST))
    yield encoder.register_forward_hook(lambda *_: mark(ENCODER))
    yield decoder.register_forward_pre_hook(lambda *_: mark(PROJECTIONS))
    yield decoder.register_forward_hook(lambda *_: mark(LOOP))
    yield readout.register_forward_pre_hook(lambda *_: mark(REST))
    yield decoder.register_full_backward_pre_hook(lambda *_: mark(READOUT))
    yield decoder.register_full_backward_hook(lambda *_: mark(LOOP))
    yield encoder.register_full_backward_pre_hook(lambda *_: mark(PROJECTIONS))
    yield encoder.register_full_backward_hook(lambda *_: mark(ENCODER))


def _rnn_multiply_adds(model: ModelConfig, rows: int, batch: Batch) -> dict[str, float]:
    e, h, c = model.embedding_size, model.hidden_size, 2 * model.hidden_size
    source, target = float(batch.source_lengths.sum()), float(batch.num_target_tokens)
    attended = float((batch.source_lengths * batch.target_lengths).sum())
    return {
        ENCODER: source * 2 * 3 * h * (e + h),
        PROJECTIONS: source * c * c + target * e * 3 * h,
        LOOP: target * (3 * h * h + h * c + 3 * h * (h + c)) + attended * 2 * c,
        READOUT: target * (e * (h + e + c) + e * rows),
    }


def _transformer_hooks(model: TranslationModel, mark: Mark) -> Iterator[RemovableHandle]:
    assert isinstance(model, TransformerModel)
    for module in model.modules():
        if isinstance(module, (SelfAttention, CrossAttention, FeedForward)):
            yield from _around(module, FEEDFORWARD if isinstance(module, FeedForward) else ATTENTION, mark)
    for side in (model.encoder, model.decoder):
        yield side.inputs.register_forward_hook(lambda *_: mark(REST))
    yield model.decoder.norm.register_forward_hook(lambda *_: mark(BETWEEN))
    yield model.decoder.norm.register_full_backward_pre_hook(lambda *_: mark(READOUT))


def _around(module: nn.Module, name: str, mark: Mark) -> Iterator[RemovableHandle]:
    yield module.register_forward_pre_hook(lambda *_: mark(BETWEEN))
    yield module.register_forward_hook(lambda *_: mark(name))
    yield module.register_full_backward_pre_hook(lambda *_: mark(BETWEEN))
    yield module.register_full_backward_hook(lambda *_: mark(name))


def _transformer_multiply_adds(model: ModelConfig, rows: int, batch: Batch) -> dict[str, float]:
    d, f, e = model.width or model.embedding_size, model.feedforward_size, model.embedding_size
    layers, decoder_layers = model.layers, model.decoder_layers or model.layers
    sources, targets = batch.source_lengths.double(), batch.target_lengths.double()
    source, target = float(sources.sum()), float(targets.sum())
    itself = layers * float((sources * sources).sum()) + decoder_layers * float((targets * targets).sum())
    across = decoder_layers * float((sources * targets).sum())
    maps = layers * 4 * source + decoder_layers * (6 * target + 2 * source)
    return {
        ATTENTION: d * d * maps + 2 * d * (itself + across),
        FEEDFORWARD: 2 * d * f * (layers * source + decoder_layers * target),
        READOUT: target * (e * rows + (d * e if d != e else 0)),
    }


PARTS_OF: Mapping[str, UpdateParts] = {
    "rnn": UpdateParts(
        names=(BATCH, ENCODER, PROJECTIONS, LOOP, READOUT, OPTIMIZER, REST),
        hooks=_rnn_hooks,
        multiply_adds=_rnn_multiply_adds,
    ),
    "transformer": UpdateParts(
        names=(BATCH, ATTENTION, FEEDFORWARD, BETWEEN, READOUT, OPTIMIZER, REST),
        hooks=_transformer_hooks,
        multiply_adds=_transformer_multiply_adds,
    ),
}
