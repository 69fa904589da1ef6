"""fairseq's `lstm` model: made by its own task, translates by its own hub interface."""

from __future__ import annotations

from pathlib import Path

import torch
from driving import Loaded, Spec, drive, read_lines, unique_parameters
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models.lstm import LSTMModel
from omegaconf import OmegaConf

CHECKPOINT = "checkpoint.pt"


def make(spec: Spec) -> None:
    """Dictionaries and a checkpoint, as fairseq-preprocess and fairseq-train leave them."""
    folder = Path(spec["folder"])
    dictionary = "".join(f"{word} 1\n" for word in read_lines(spec["words"]))
    for language in ("src", "trg"):
        (folder / f"dict.{language}.txt").write_text(dictionary, encoding="utf-8")
    embedding, hidden = str(spec["embedding"]), str(spec["hidden"])
    words = [str(folder), "--task", "translation", "--source-lang", "src", "--target-lang", "trg", "--arch", "lstm"]
    words += ["--share-all-embeddings", "--encoder-bidirectional", "--decoder-attention", "1"]
    for side in ("encoder", "decoder"):
        words += [f"--{side}-embed-dim", embedding, f"--{side}-hidden-size", hidden, f"--{side}-layers", "1"]
    words += ["--decoder-out-embed-dim", embedding]
    config = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words))
    model = tasks.setup_task(config.task).build_model(config.model)
    state = {"args": None, "cfg": OmegaConf.to_container(config), "model": model.state_dict()}
    history = {"num_updates": 0, "criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}}
    torch.save(state | {"optimizer_history": [history], "extra_state": {}, "task_state": {}}, folder / CHECKPOINT)


def load(spec: Spec) -> Loaded:
    """Through fairseq's hub interface."""
    hub = LSTMModel.from_pretrained(spec["folder"], checkpoint_file=CHECKPOINT, data_name_or_path=spec["folder"])
    hub = hub.to(spec["device"]).eval()
    hub.cfg.dataset.batch_size = spec["batch"]
    settings = {"beam": spec["beam"], "min_len": spec["length"], "max_len_a": 0, "max_len_b": spec["length"]}
    (model,) = hub.models
    return Loaded(
        translate=lambda lines: hub.translate(lines, **settings),
        parameters=unique_parameters(model),
        rows=len(hub.tgt_dict),
        decoder=model.decoder,
    )


if __name__ == "__main__":
    drive(make, load)
