"""JoeyNMT's recurrent model: built from its own configuration, translates by the functions behind its `translate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from driving import Loaded, Spec, drive, read_lines, unique_parameters
from joeynmt import prediction
from joeynmt.config import load_config, parse_global_args
from joeynmt.model import build_model
from joeynmt.text.vocabulary import Vocabulary

CONFIG, VOCABULARY, CHECKPOINT = "config.yaml", "vocabulary.txt", "best.ckpt"
# JoeyNMT ends without </s>, so that its last step may write a piece.
LAST_STEP = 1


def configuration(spec: Spec) -> dict[str, Any]:
    """As a user would write it."""
    folder, width = spec["folder"], {"embedding_dim": spec["embedding"], "dropout": 0.0}
    coder = {"type": "recurrent", "rnn_type": "gru", "embeddings": width, "hidden_size": spec["hidden"]}
    coder |= {"dropout": 0.0, "num_layers": 1}
    decoder = coder | {"attention": "bahdanau", "init_hidden": "bridge", "input_feeding": True}
    side = {"level": "word", "voc_file": str(Path(folder, VOCABULARY))}
    pieces = spec["length"] + LAST_STEP
    return {
        "name": "benchmark",
        "model_dir": folder,
        "use_cuda": spec["device"] == "cuda",
        "data": {
            "test": "unused",
            "dataset_type": "stream",
            "src": side | {"lang": "src"},
            "trg": side | {"lang": "trg"},
        },
        "testing": {
            "load_model": str(Path(folder, CHECKPOINT)),
            "beam_size": spec["beam"],
            "beam_alpha": 1.0,
            "batch_size": spec["batch"],
            "batch_type": "sentence",
            "min_output_length": pieces,
            "max_output_length": pieces,
        },
        "training": {"batch_size": 64},
        "model": {
            "encoder": coder | {"bidirectional": True},
            "decoder": decoder,
            "tied_embeddings": True,
            "tied_softmax": True,
        },
    }


def make(spec: Spec) -> None:
    """Configuration, vocabulary and checkpoint."""
    folder = Path(spec["folder"])
    words = read_lines(spec["words"])
    (folder / CONFIG).write_text(yaml.safe_dump(configuration(spec)), encoding="utf-8")
    (folder / CHECKPOINT).touch()  # the configuration is refused without it
    args = parse_global_args(load_config(folder / CONFIG), mode="translate")
    vocabulary = Vocabulary(words, args.data["special_symbols"])
    vocabulary.to_file(folder / VOCABULARY)
    model = build_model(args.model, vocabulary, vocabulary)
    torch.save({"model_state": model.state_dict()}, folder / CHECKPOINT)


def load(spec: Spec) -> Loaded:
    """What `joeynmt translate` does before and after it reads its input."""
    args = parse_global_args(load_config(Path(spec["folder"], CONFIG)), mode="translate")
    model, _, _, data = prediction.prepare(args, rank=0, mode="translate")
    # It reads min_output_length and does not hand it on to the search.
    prediction.search = partial(prediction.search, min_output_length=args.test.min_output_length)

    def translate(lines: list[str]) -> list[str]:
        data.reset_cache()
        for line in lines:
            data.set_item(line)
        rest = {"num_workers": args.num_workers, "args": args.test, "autocast": args.autocast}
        _, _, found, _, _, _ = prediction.predict(
            model, data, args.device, args.n_gpu, compute_loss=False, normalization="none", **rest
        )
        return list(found)

    return Loaded(
        translate=translate,
        parameters=unique_parameters(model),
        rows=len(model.trg_vocab),
        decoder=model.decoder,
    )


if __name__ == "__main__":
    drive(make, load)
