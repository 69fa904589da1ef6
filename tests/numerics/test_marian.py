"""The post-norm Transformer with the weights of Hugging Face's MarianMT: the same logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nmt.config import ModelConfig
from nmt.data.batching import Batch
from nmt.layers.linear import Linear
from nmt.layers.tying import load_unique, unique_parameters
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import START, TranslationModel
from nmt.models.table import NETWORKS
from nmt.tying import Tying

transformers = pytest.importorskip("transformers", reason="needs the extra 'marian'")
pytestmark = pytest.mark.numeric
ROWS, SIZE, PADDING = 50, 16, 49
"Marian's padding is the last piece; its embedding is zero, and it is what a translation begins with."


def marian(tying: Tying) -> nn.Module:
    """Two layers a side, random numbers of the size that training gives them."""
    config = transformers.MarianConfig(
        vocab_size=ROWS, d_model=SIZE, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=24, decoder_ffn_dim=24, activation_function="swish",
        scale_embedding=True, static_position_embeddings=True, pad_token_id=PADDING, eos_token_id=0,
        decoder_start_token_id=PADDING, max_position_embeddings=64,
        share_encoder_decoder_embeddings=tying is Tying.THREE_WAY, tie_word_embeddings=tying is not Tying.UNTIED,
    )  # fmt: skip
    model = transformers.MarianMTModel(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm.weight" not in name and "embed_positions" not in name:
                parameter.normal_(std=0.3, generator=generator)
        model.final_logits_bias.normal_(generator=generator)
        for side in (model.model.encoder, model.model.decoder):
            side.embed_tokens.weight[PADDING] = 0
    return model


def ours(theirs: nn.Module, tying: Tying) -> TranslationModel:
    """The same model. Our padding is row 0, so that pieces move up by one: ids 1 to 50 are Marian's 0 to 49."""
    config = ModelConfig(
        architecture="transformer", tying=tying.value, embedding_size=SIZE, layers=2, heads=4, feedforward_size=24,
        norm="post", activation="swish", dropout=0.0,
    )  # fmt: skip
    model = build_model(config, VocabularySizes(ROWS + 1, ROWS + 1, ROWS + 1)).eval()
    tensors = dict(unique_parameters(model))
    with torch.no_grad():
        tables = (theirs.model.encoder.embed_tokens, theirs.model.decoder.embed_tokens, theirs.lm_head)
        names = ("source_input", "target_input", "output")
        found = {f"embeddings.{name}": raised(table.weight) for name, table in zip(names, tables, strict=True)}
        found["embeddings.output_bias"] = raised(theirs.final_logits_bias[0])
        for side, layers in (("encoder", model.encoder_layers), ("decoder", model.decoder_layers)):
            for number, layer in enumerate(layers):
                other = getattr(theirs.model, side).layers[number]
                own = other.self_attn
                fill(layer.self_attention.inputs, own.q_proj, own.k_proj, own.v_proj)
                fill(layer.self_attention.outputs, own.out_proj)
                fill(layer.feedforward.inner, other.fc1)
                fill(layer.feedforward.outer, other.fc2)
                layer.around_self.norm.load_state_dict(other.self_attn_layer_norm.state_dict())
                layer.around_feedforward.norm.load_state_dict(other.final_layer_norm.state_dict())
                if side == "decoder":
                    cross = other.encoder_attn
                    fill(layer.cross_attention.query, cross.q_proj)
                    fill(layer.cross_attention.source, cross.k_proj, cross.v_proj)
                    fill(layer.cross_attention.outputs, cross.out_proj)
                    layer.around_cross.norm.load_state_dict(other.encoder_attn_layer_norm.state_dict())
        load_unique(model, {name: found.get(name, tensor.detach()) for name, tensor in tensors.items()})
    return model


def raised(rows: Tensor) -> Tensor:
    """A row of zeros, and theirs behind it."""
    return torch.cat([rows.new_zeros(1, *rows.shape[1:]), rows])


def fill(linear: Linear, *theirs: nn.Module) -> None:
    linear.weight.copy_(torch.cat([each.weight for each in theirs]))
    linear.bias.copy_(torch.cat([each.bias for each in theirs]))


@pytest.mark.parametrize("tying", Tying)
def test_logits_are_marians(tying: Tying) -> None:
    theirs = marian(tying)
    model = ours(theirs, tying)
    generator = torch.Generator().manual_seed(2)
    source_lengths, target_lengths = torch.tensor([7, 3, 5]), torch.tensor([4, 6, 2])
    source, target = (torch.randint(0, PADDING, (3, size), generator=generator) for size in (7, 6))
    mask = torch.arange(7) < source_lengths[:, None]
    before = torch.cat([torch.full((3, 1), PADDING), target[:, :-1]], 1)
    shifted = (source + 1) * mask, (target + 1) * (torch.arange(6) < target_lengths[:, None])
    batch = Batch.of(shifted[0], source_lengths, shifted[1], target_lengths, (0, 1, 2))
    with torch.no_grad():
        logits = theirs(input_ids=source, attention_mask=mask.long(), decoder_input_ids=before).logits
        expected = logits.transpose(0, 1).flatten(0, 1).index_select(0, batch.target_positions)
        found = model.embeddings.scores(model.readout(batch))[:, 1:]
        assert expected.std() > 0.5
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        steps_of_search(model, batch, logits)


def steps_of_search(model: TranslationModel, batch: Batch, logits: Tensor) -> None:
    """The copy made for search, step by step."""
    copy = NETWORKS["transformer"].for_search(model, "float32")
    memory, output = copy.encode(batch.source, batch.source_lengths), copy.output()
    state, previous = copy.initial_state(memory), torch.full((3, 1), START)
    for step in range(2):
        one = copy.step(memory, state, previous, output)
        state, previous = one.state, batch.target[:, step : step + 1]
        torch.testing.assert_close(one.log_probs[:, 0, 1:], logits[:, step].log_softmax(-1), atol=1e-4, rtol=0)
