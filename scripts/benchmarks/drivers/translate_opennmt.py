"""OpenNMT-py's RNN or Transformer: built from its own options, translates by the engine behind `onmt_translate`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pyonmttok
import torch
from driving import Loaded, Spec, drive, read_lines, unique_parameters
from onmt.constants import DefaultTokens
from onmt.inference_engine import InferenceEnginePY
from onmt.inputters.inputter import vocabs_to_dict
from onmt.model_builder import build_model
from onmt.opts import train_opts, translate_opts
from onmt.utils.misc import set_random_seed, use_gpu
from onmt.utils.parse import ArgumentParser

CHECKPOINT = "model.pt"
# OpenNMT-py ends without </s>, so that its last step may write a piece.
LAST_STEP = 1


def recurrent(spec: Spec) -> list[str]:
    """The recurrent model's options."""
    words = ["-encoder_type", "brnn", "-decoder_type", "rnn", "-rnn_type", "GRU", "-layers", "1", "-dropout", "0"]
    return [*words, "-word_vec_size", str(spec["embedding"]), "-hidden_size", str(spec["hidden"])]


def transformer(spec: Spec) -> list[str]:
    """The Transformer's."""
    words = ["-encoder_type", "transformer", "-decoder_type", "transformer", "-position_encoding"]
    words += ["-add_qkvbias", "-add_ffnbias", "-dropout", "0", "-attention_dropout", "0"]
    words += ["-layers", str(spec["layers"]), "-heads", str(spec["heads"]), "-transformer_ff", str(spec["feedforward"])]
    return [*words, "-word_vec_size", str(spec["embedding"]), "-hidden_size", str(spec["embedding"])]


def make(spec: Spec) -> None:
    """A checkpoint as onmt_train leaves it, without an optimizer."""
    specials = [DefaultTokens.UNK, DefaultTokens.PAD, DefaultTokens.BOS, DefaultTokens.EOS]
    vocabulary = pyonmttok.build_vocab_from_tokens(
        [*specials, *read_lines(spec["words"])], minimum_frequency=0, special_tokens=specials
    )
    vocabulary.default_id = vocabulary[DefaultTokens.UNK]
    parser = ArgumentParser()
    train_opts(parser)
    words = ["-data", "{}", "-src_vocab", "unused", "-save_model", "unused", "-param_init", "0.1"]
    words += transformer(spec) if "layers" in spec else recurrent(spec)
    words += ["-share_vocab", "-share_embeddings", "-share_decoder_embeddings"]
    options = parser.parse_args(words)
    ArgumentParser.update_model_opts(options)
    ArgumentParser.validate_model_opts(options)
    vocabularies = {
        "src": vocabulary,
        "tgt": vocabulary,
        "data_task": "seq2seq",
        "decoder_start_token": DefaultTokens.BOS,
    }
    model = build_model(options, Namespace(world_size=1, gpu_ranks=[], gpu=-1), vocabularies, None, -1)
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("generator")}
    checkpoint = {"model": state, "generator": model.generator.state_dict(), "opt": options}
    torch.save(checkpoint | {"vocab": vocabs_to_dict(vocabularies)}, Path(spec["folder"], CHECKPOINT))


def load(spec: Spec) -> Loaded:
    """What `onmt_translate` does before it reads its input."""
    parser = ArgumentParser()
    translate_opts(parser)
    pieces, folder = str(spec["length"] + LAST_STEP), Path(spec["folder"])
    words = ["-model", str(folder / CHECKPOINT), "-src", "unused", "-output", str(folder / "unused")]
    words += ["-beam_size", str(spec["beam"]), "-batch_size", str(spec["batch"]), "-batch_type", "sents"]
    words += ["-min_length", pieces, "-max_length", pieces, "-max_length_ratio", "0"]
    words += ["-gpu", "0" if spec["device"] == "cuda" else "-1"]
    options = parser.parse_args(words)
    ArgumentParser.validate_translate_opts(options)
    ArgumentParser._get_all_transform_translate(options)
    ArgumentParser._validate_transforms_opts(options)
    ArgumentParser.validate_translate_opts_dynamic(options)
    set_random_seed(options.seed, use_gpu(options))
    engine = InferenceEnginePY(options)
    model = engine.translator.model

    def translate(lines: list[str]) -> list[str]:
        _, found = engine.infer_list(lines)
        return [best[0] for best in found]

    return Loaded(
        translate=translate,
        parameters=unique_parameters(model),
        rows=len(engine.vocabs["tgt"]),
        decoder=model.decoder,
    )


if __name__ == "__main__":
    drive(make, load)
