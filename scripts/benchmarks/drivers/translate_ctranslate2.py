"""CTranslate2, which runs Transformers of other toolkits: ours, converted. A driver for our own interpreter.

Sentences go to two workers of one thread where there are two threads, and a sentence alone to all threads: each is the
faster way there.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import ctranslate2
import torch
from ctranslate2.specs import common_spec
from ctranslate2.specs.transformer_spec import TransformerSpec
from driving import Loaded, Spec, drive

from nmt.folder.bundle import load_bundle
from nmt.layers.linear import FeedForward, Linear
from nmt.layers.positions import sinusoids
from nmt.layers.transformer import EPSILON, DecoderLayer, Layer
from nmt.layers.tying import unique_parameters
from nmt.models.transformer.model import Stack, TransformerModel
from nmt.text.vocabulary import PAD, SPECIAL_NAMES

POSITIONS = 512
# It ends without </s>, so that its last step writes a piece.
LAST_STEP = 1
HIDDEN = -1e9
"The bias of padding, which no translation may hold."


def make(spec: Spec) -> None:
    """The model folder of ours as CTranslate2's, in float32; a precision is chosen when it is loaded."""
    bundle = load_bundle(Path(spec["our_folder"]), torch.device("cpu"))
    model = cast(TransformerModel, bundle.model)
    options = model.options
    sizes = (options.layers, options.decoder_layers)
    activation = {"relu": common_spec.Activation.RELU, "gelu": common_spec.Activation.GELU}[options.layer.activation]
    pre_norm = options.layer.norm == "pre"
    target = TransformerSpec.from_config(sizes, options.layer.heads, pre_norm=pre_norm, activation=activation)
    with torch.no_grad():
        _fill(target, model)
    pieces = [*SPECIAL_NAMES, *bundle.vocabulary.decode(range(len(SPECIAL_NAMES), bundle.vocabulary.size))]
    target.register_source_vocabulary(pieces)
    target.register_target_vocabulary(pieces)
    target.config.unk_token, target.config.eos_token = SPECIAL_NAMES[1:]
    target.config.bos_token = target.config.decoder_start_token = SPECIAL_NAMES[PAD]  # its embedding is not read
    target.config.add_source_eos, target.config.layer_norm_epsilon = True, EPSILON
    target.validate()
    target.optimize()
    target.save(spec["folder"])


def _fill(target: TransformerSpec, model: TransformerModel) -> None:
    """Our weights into its variables. Equal ones, which tying makes, it stores once."""
    matrices = model.embeddings
    target.encoder.embeddings[0].weight = matrices.source_input.numpy()
    target.decoder.embeddings.weight = matrices.target_input.numpy()
    bias = matrices.output_bias.clone()
    bias[PAD] = HIDDEN
    target.decoder.projection.weight, target.decoder.projection.bias = matrices.output.numpy(), bias.numpy()
    target.decoder.start_from_zero_embedding = True
    for side, stack in ((target.encoder, model.encoder), (target.decoder, model.decoder)):
        side.position_encodings.encodings = sinusoids(torch.arange(POSITIONS), stack.inputs.size).numpy()
        _fill_stack(side, stack)


def _fill_stack(side: common_spec.LayerSpec, stack: Stack) -> None:
    _norm(side.layer_norm, stack.norm)
    for target, module in zip(side.layer, stack.layers, strict=True):
        layer = cast(Layer, module)
        own, feedforward = layer.self_attention, cast(FeedForward, layer.feedforward)
        _linears(target.self_attention.linear, own.inputs, own.outputs)
        _norm(target.self_attention.layer_norm, layer.around_self.norm)
        if isinstance(layer, DecoderLayer):
            cross = layer.cross_attention
            _linears(target.attention.linear, cross.query, cross.source, cross.outputs)
            _norm(target.attention.layer_norm, layer.around_cross.norm)
        _linears((target.ffn.linear_0, target.ffn.linear_1), feedforward.inner, feedforward.outer)
        _norm(target.ffn.layer_norm, layer.around_feedforward.norm)


def _linears(targets: list[common_spec.LinearSpec], *linears: Linear) -> None:
    for target, linear in zip(targets, linears, strict=True):
        target.weight, target.bias = linear.weight.numpy(), linear.bias.numpy()


def _norm(target: common_spec.LayerNormSpec, norm: torch.nn.Module) -> None:
    target.gamma, target.beta = norm.weight.numpy(), norm.bias.numpy()


def load(spec: Spec) -> Loaded:
    """Both ways to run it."""
    bundle = load_bundle(Path(spec["our_folder"]), torch.device("cpu"))
    threads, folder = spec["threads"], spec["folder"]
    same = {"device": spec["device"], "compute_type": spec["search"]["compute_type"]}
    many = ctranslate2.Translator(folder, inter_threads=threads, intra_threads=1, **same)
    alone = ctranslate2.Translator(folder, inter_threads=1, intra_threads=threads, **same)
    pieces = spec["length"] + LAST_STEP
    settings = {"beam_size": spec["beam"], "max_batch_size": spec["batch"], "batch_type": "examples"}
    settings |= {"min_decoding_length": pieces, "max_decoding_length": pieces}

    def translate(lines: list[str]) -> list[str]:
        translator = alone if len(lines) == 1 else many
        found = translator.translate_batch([line.split() for line in lines], **settings)
        return [" ".join(one.hypotheses[0]) for one in found]

    return Loaded(
        translate=translate,
        parameters=sum(parameter.numel() for parameter in unique_parameters(bundle.model).values()),
        rows=bundle.vocabulary.size,
        decoder=None,
    )


if __name__ == "__main__":
    drive(make, load)
