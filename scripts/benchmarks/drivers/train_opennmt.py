"""OpenNMT-py's recurrent model or its Transformer, trained by `onmt_train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from metering import Counts, Meter, Spec, drive
from onmt.bin.train import _get_parser
from onmt.bin.train import train as command
from onmt.trainer import Trainer

CONFIG = "config.yaml"
MAKE_UPDATE = Trainer._gradient_accumulation


def recurrent(spec: Spec) -> dict[str, Any]:
    """The recurrent model's options."""
    sizes = {"layers": 1, "word_vec_size": spec["embedding"], "hidden_size": spec["hidden"]}
    return {"encoder_type": "brnn", "decoder_type": "rnn", "rnn_type": "GRU", **sizes}


def transformer(spec: Spec) -> dict[str, Any]:
    """The Transformer's."""
    sizes = {"layers": spec["layers"], "heads": spec["heads"], "transformer_ff": spec["feedforward"]}
    sizes |= {"word_vec_size": spec["embedding"], "hidden_size": spec["embedding"]}
    kinds = {"encoder_type": "transformer", "decoder_type": "transformer", "position_encoding": True}
    return {**kinds, **sizes, "add_qkvbias": True, "add_ffnbias": True, "attention_dropout": [0.0]}


def make(spec: Spec) -> None:
    """The configuration as a user would write it."""
    folder, text = Path(spec["folder"]), Path(spec["text"])
    corpus = {"path_src": str(text / "train.src"), "path_tgt": str(text / "train.trg"), "transforms": [], "weight": 1}
    config = {
        "data": {"corpus": corpus},
        "src_vocab": str(text / "words"),
        "share_vocab": True,
        "src_vocab_size": spec["rows"],
        "tgt_vocab_size": spec["rows"],
        "vocab_size_multiple": 1,
        "save_model": str(folder / "model"),
        "overwrite": True,
        **(transformer(spec) if "layers" in spec else recurrent(spec)),
        "share_embeddings": True,
        "share_decoder_embeddings": True,
        "dropout": [spec["dropout"]],
        "label_smoothing": spec["label_smoothing"],
        "optim": "adam",
        "adam_beta2": 0.98,
        "learning_rate": spec["learning_rate"],
        "max_grad_norm": 1,
        "param_init": 0.1,
        "normalization": "tokens",
        "batch_type": "tokens",
        "bucket_size": spec["pairs"],
        "num_workers": 0,
        "train_steps": 1_000_000,
        "save_checkpoint_steps": 1_000_000,
        "valid_steps": 1_000_000,
        **({"world_size": 1, "gpu_ranks": [0]} if spec["device"] == "cuda" else {}),
    }
    (folder / CONFIG).write_text(yaml.safe_dump(config), encoding="utf-8")


def train(spec: Spec, limit: int, meter: Meter) -> None:
    """onmt_train, its Trainer's updates watched."""

    def watched(self: Trainer, batches: list[dict[str, Any]], normalization: int, total: Any, report: Any) -> None:
        (batch,) = batches
        labels = batch["tgt"][:, 1:, 0]
        counts = Counts(
            source=int(batch["srclen"].sum()),
            target=int((labels != self.train_loss.padding_idx).sum()),
            positions=labels.numel(),
        )
        if not meter.begin(self.model, counts):
            return
        before = total.n_words
        MAKE_UPDATE(self, batches, normalization, total, report)
        if total.n_words == before:  # it goes on without the batch
            raise MemoryError("a batch did not fit in the GPU's memory")

    Trainer._gradient_accumulation = watched
    config = str(Path(spec["folder"], CONFIG))
    command(_get_parser().parse_args(["-config", config, "-batch_size", str(limit)]))


if __name__ == "__main__":
    drive(make, train)
