"""fairseq's `lstm` or `transformer`, trained by `fairseq-train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.trainer import Trainer
from fairseq_cli import preprocess
from fairseq_cli import train as command
from metering import Counts, Meter, Spec, drive

PAIR = ("--source-lang", "src", "--target-lang", "trg")
TRAIN_STEP = Trainer.train_step


def make(spec: Spec) -> None:
    """A dictionary of all pieces, and what fairseq-preprocess makes of the text."""
    folder, text = Path(spec["folder"]), Path(spec["text"])
    dictionary = folder / "dictionary"
    words = (text / "words").read_text(encoding="utf-8").split("\n")[:-1]
    dictionary.write_text("".join(f"{word} 1\n" for word in words), encoding="utf-8")
    arguments = [*PAIR, "--trainpref", str(text / "train"), "--destdir", str(folder / "data"), "--joined-dictionary"]
    arguments += ["--srcdict", str(dictionary)]
    preprocess.main(options.get_preprocessing_parser().parse_args(arguments))


def lstm(spec: Spec) -> list[str]:
    """The recurrent model's options."""
    embedding, hidden = str(spec["embedding"]), str(spec["hidden"])
    words = ["--arch", "lstm", "--encoder-bidirectional", "--decoder-attention", "1"]
    words += ["--decoder-out-embed-dim", embedding]
    for side in ("encoder", "decoder"):
        words += [f"--{side}-embed-dim", embedding, f"--{side}-hidden-size", hidden, f"--{side}-layers", "1"]
    return words


def transformer(spec: Spec) -> list[str]:
    """The Transformer's."""
    words = ["--arch", "transformer"]
    sizes = {"embed-dim": "embedding", "ffn-embed-dim": "feedforward", "layers": "layers", "attention-heads": "heads"}
    for side in ("encoder", "decoder"):
        words += [f"--{side}-normalize-before"]
        for option, name in sizes.items():
            words += [f"--{side}-{option}", str(spec[name])]
    return words


def train(spec: Spec, limit: int, meter: Meter) -> None:
    """fairseq-train, its Trainer.train_step watched."""
    folder = Path(spec["folder"])
    words = [str(folder / "data"), "--task", "translation", *PAIR, "--share-all-embeddings"]
    words += transformer(spec) if "layers" in spec else lstm(spec)
    words += ["--dropout", str(spec["dropout"]), "--criterion", "label_smoothed_cross_entropy"]
    words += ["--label-smoothing", str(spec["label_smoothing"]), "--optimizer", "adam", "--adam-betas", "(0.9, 0.98)"]
    words += ["--lr", str(spec["learning_rate"]), "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "400"]
    words += ["--clip-norm", "1", "--max-tokens", str(limit), "--num-workers", "0", "--log-format", "simple"]
    words += ["--log-interval", "50", "--no-save", "--disable-validation", "--save-dir", str(folder / "checkpoints")]
    words += ["--cpu"] if spec["device"] == "cpu" else []

    def watched(self: Trainer, samples: list[dict[str, Any]], *rest: Any, **options: Any) -> Any:
        (sample,) = samples
        counts = Counts(
            source=int(sample["net_input"]["src_lengths"].sum()),
            target=int(sample["ntokens"]),
            positions=sample["target"].numel(),
        )
        if not meter.begin(self.model, counts):
            return None
        done = TRAIN_STEP(self, samples, *rest, **options)
        if done is None:  # it goes on without the batch
            raise MemoryError("a batch did not fit in the GPU's memory")
        return done

    Trainer.train_step = watched
    command.main(convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words)))


if __name__ == "__main__":
    drive(make, train)
