"""JoeyNMT's recurrent model, trained by `joeynmt train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from joeynmt.config import load_config
from joeynmt.helpers import make_model_dir
from joeynmt.training import TrainManager
from joeynmt.training import train as command
from metering import Counts, Meter, Spec, drive

CONFIG = "config.yaml"
TRAIN_STEP = TrainManager._train_step
# Of a gradient for which there is no batch: what the loop reads where an update is only looked at.
NO_LOSS = (0.0, 0)


def configuration(spec: Spec, limit: int) -> dict[str, Any]:
    """As a user would write it."""
    text, vocabulary = Path(spec["text"]), str(Path(spec["folder"], "vocabulary"))
    dropout = spec["dropout"]
    coder = {"type": "recurrent", "rnn_type": "gru", "hidden_size": spec["hidden"], "num_layers": 1}
    coder |= {"embeddings": {"embedding_dim": spec["embedding"], "dropout": dropout}, "dropout": dropout}
    decoder = coder | {"attention": "bahdanau", "init_hidden": "bridge", "input_feeding": True}
    decoder |= {"hidden_dropout": dropout}
    side = {"level": "word", "voc_file": vocabulary}
    return {
        "name": "benchmark",
        "model_dir": str(Path(spec["folder"], "model")),
        "use_cuda": spec["device"] == "cuda",
        "data": {
            "train": str(text / "train"),
            "dev": str(text / "dev"),
            "dataset_type": "plain",
            "src": side | {"lang": "src"},
            "trg": side | {"lang": "trg"},
        },
        "testing": {},
        "training": {
            "batch_size": limit,
            "batch_type": "token",
            "normalization": "tokens",
            "optimizer": "adam",
            "adam_betas": [0.9, 0.98],
            "learning_rate": spec["learning_rate"],
            "learning_rate_min": 0.0,
            "scheduling": "plateau",
            "label_smoothing": spec["label_smoothing"],
            "clip_grad_norm": 1.0,
            "epochs": 1_000_000,
            "logging_freq": 50,
            "validation_freq": 1_000_000,
        },
        "model": {
            "encoder": coder | {"bidirectional": True},
            "decoder": decoder,
            "tied_embeddings": True,
            "tied_softmax": True,
        },
    }


def make(spec: Spec) -> None:
    """The vocabulary with its specials."""
    words = Path(spec["text"], "words").read_text(encoding="utf-8")
    Path(spec["folder"], "vocabulary").write_text("<unk>\n<pad>\n<s>\n</s>\n" + words, encoding="utf-8")


def train(spec: Spec, limit: int, meter: Meter) -> None:
    """`joeynmt train --skip-test`, its TrainManager's steps watched."""

    def watched(self: TrainManager, batch: Any) -> tuple[float, int]:
        counts = Counts(source=int(batch.src_length.sum()), target=int(batch.ntokens), positions=batch.trg.numel())
        return TRAIN_STEP(self, batch) if meter.begin(self.model, counts) else NO_LOSS

    TrainManager._train_step = watched
    TrainManager._save_checkpoint = lambda self, *_: None
    path = Path(spec["folder"], CONFIG)
    path.write_text(yaml.safe_dump(configuration(spec, limit)), encoding="utf-8")
    config = load_config(path)
    make_model_dir(Path(config["model_dir"]), overwrite=True)
    command(rank=0, world_size=1, cfg=config, skip_test=True)


if __name__ == "__main__":
    drive(make, train)
