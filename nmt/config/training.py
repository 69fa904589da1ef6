"""Training: the section training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nmt.config.checks import choice, require
from nmt.config.tying import check_times, parse_scales
from nmt.tying import ROLES


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained. Counts named *_every, *_updates and max_updates are in optimizer updates.

    A run that is continued says which keys have changed; those that say Fixed cannot, nor can any of the model's.
    """

    seed: int = 1
    "Seed of initialisation, data order and dropout. Fixed."
    precision: str = "auto"
    "Of what matrix products multiply: float32, bf16 (weights stay float32), or auto (bf16 where it is fast). Fixed."
    fast: bool = True
    "Hand-written backward passes; false: the plain computation that they are tested against, rounded otherwise."
    cuda_graphs: str = "auto"
    "On a GPU, updates of like shapes recorded once and played again, their batches filled up: auto (where that can be"
    " done), on (or an error), off. Rounded otherwise, and dropout's draws differ."
    optimizer: str = "adam"
    "adam, adadelta (rho 0.95, eps 1e-6; Table 8), or sgd, plain gradient descent (language models). Fixed."
    learning_rate: float = 0.002
    "Peak step size (Table 8's Adadelta: 1)."
    adam_beta2: float = 0.98
    "Adam's second decay rate (the first is 0.9, eps 1e-9). Fixed: its states are means of it."
    schedule: str = "inverse-sqrt"
    "constant, inverse-sqrt (after the warm-up), cosine (to zero at max_updates), or epochs (see decay)."
    decay: float = 2.0
    "epochs: the rate is divided by this in every epoch from decay_from on. Language models only."
    decay_from: int = 6
    "epochs: the first epoch, from 1, with a lower rate."
    warmup_updates: int = 400
    "Updates over which the learning rate rises linearly from zero; 0: none."
    clip_norm: float = 1.0
    "Gradients are scaled down to this global norm; 0: never."
    label_smoothing: float = 0.1
    "Probability spread evenly over the target vocabulary. Table 8: 0. Fixed: it is part of what is minimised."
    normalization: str = "tokens"
    "tokens: the gradient is of the mean cost per target piece. sentences: per sentence (Table 8). Fixed."
    batch_tokens: int = 2048
    "Target pieces, </s> included, in one batch at most, and so padded source pieces. 0: batch_sentences alone. Fixed."
    batch_sentences: int = 0
    "Pairs in one batch at most; 0: batch_tokens alone. Table 8: 80. Fixed."
    update_every: int = 1
    "Batches that make one update, their gradients summed: as one batch so many times as large, in less memory. Fixed."
    part_tokens: int = 0
    "A batch of more target pieces is computed in parts of about this many, to save memory: the same update but for"
    " rounding and dropout's draws. 0: whole."
    max_length: int = 100
    "Pairs with more pieces than this on a side are left out of training. Table 8: 50. Fixed."
    bpe_dropout: float = 0.0
    "How likely a merge is left out where training text is cut, anew each epoch (Provilkov et al., 2020: 0.1). Fixed."
    mix: tuple[str, ...] = ()
    "Other prepared folders, FOLDER=WEIGHT each: so many of its pairs come for every pair of the training data."
    tie_gradient_scale: tuple[str, ...] = ()
    "ROLE=NUMBER each: the gradient that a role (source, target, output) gives to a matrix it shares, times the number."
    untie_at: float = 0.0
    "From this update on, or this fraction (below 1) of max_updates, the matrices are untied; 0: never. Fixed."
    tie_at: float = 0.0
    "Untied until this update, or fraction (below 1) of max_updates, then tied as model.tying says; 0: at once. Fixed."
    tie_keep: str = "mean"
    "tie_at: which of the matrices that become one stays: source, target, output, or the mean of them. Fixed."
    max_updates: int = 20_000
    "Training ends after this many updates in all, earlier sessions counted."
    max_epochs: int = 0
    "Training ends after this many epochs in all; 0: max_updates alone. Language models only."
    max_minutes: float = 0.0
    "Training ends after this many minutes in all, earlier sessions counted; 0: no limit."
    validate_every: int = 500
    "Updates between validations."
    validate_epochs: int = 0
    "Epochs between validations, in place of validate_every; 0: validate_every. Language models only."
    validation_metric: str = "bleu"
    "What chooses the best and stops early: bleu (beam output, raw references) or cost (cross entropy). Fixed."
    validation_set: str = "valid"
    "The validation set that chooses the best and stops early: valid, or the NAME of valid.NAME. Fixed."
    validation_beam: int = 2
    "Beam size of the validation translations. Fixed: scores of two sizes are not compared."
    patience: int = 8
    "Validations without improvement after which training stops; 0: never."
    save_every: int = 500
    "Updates between saves of last/, from which an interrupted run continues."
    log_every: int = 50
    "Updates between progress lines and metrics.jsonl records."
    skip_nonfinite: int = 0
    "Updates in a row that may be left out since loss or gradient is not finite; one more ends training. Each is said."
    ema: float = 0.999
    "Decay of an exponential moving average of the weights, which is validated and kept as best; 0: none. Fixed."
    average_last: int = 0
    "Keep the weights of this many last validations; at the end their mean is the best if it scores better. 0: none."
    shortlist: bool = False
    "Write the model's vocabulary shortlist when training ends, as nmt-shortlist does."
    record_tying: bool = False
    "Write to metrics.jsonl, at every progress line, what each role of the vocabulary matrices does to them: the norms"
    " of its gradients and their cosines on the last update, and the lengths of rows. Changes no number of training."
    record_tying_against: str = ""
    "With record_tying: model folder of an untied run on the same vocabulary (of the same seed, best), with whose"
    " matrices those of this run are compared at each validation; empty: none."
    tensorboard: bool = True
    "Write TensorBoard event files to model/tensorboard when the package is installed."

    def __post_init__(self) -> None:
        choice("training.precision", self.precision, ("auto", "float32", "bf16"))
        choice("training.cuda_graphs", self.cuda_graphs, ("auto", "on", "off"))
        choice("training.optimizer", self.optimizer, ("adam", "adadelta", "sgd"))
        choice("training.schedule", self.schedule, ("constant", "inverse-sqrt", "cosine", "epochs"))
        choice("training.normalization", self.normalization, ("tokens", "sentences"))
        choice("training.tie_keep", self.tie_keep, (*ROLES, "mean"))
        check_times(self.untie_at, self.tie_at)
        self.gradient_scales()
        choice("training.validation_metric", self.validation_metric, ("bleu", "cost"))
        require(self.learning_rate > 0, "training.learning_rate", self.learning_rate, "above 0")
        require(0 < self.adam_beta2 < 1, "training.adam_beta2", self.adam_beta2, "between 0 and 1")
        require(0 <= self.label_smoothing < 1, "training.label_smoothing", self.label_smoothing, "0 or more, below 1")
        require(0 <= self.bpe_dropout <= 1, "training.bpe_dropout", self.bpe_dropout, "0 to 1")
        require(0 <= self.ema < 1, "training.ema", self.ema, "at least 0 and below 1")
        require(self.max_minutes >= 0, "training.max_minutes", self.max_minutes, "0 or more")
        require(self.clip_norm >= 0, "training.clip_norm", self.clip_norm, "0 or more")
        require(
            self.batch_tokens > 0 or self.batch_sentences > 0,
            "training.batch_tokens",
            self.batch_tokens,
            "above 0 where training.batch_sentences is 0",
        )
        counts = ("seed", "warmup_updates", "batch_tokens", "batch_sentences", "patience", "average_last")
        for name in (*counts, "part_tokens", "skip_nonfinite", "max_epochs", "validate_epochs"):
            require(getattr(self, name) >= 0, f"training.{name}", getattr(self, name), "0 or more")
        require(1 <= self.decay < math.inf, "training.decay", self.decay, "1 or more and finite")
        counts = ("max_length", "max_updates", "validate_every", "validation_beam", "save_every", "log_every")
        for name in (*counts, "update_every", "decay_from"):
            require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "1 or more")

    def gradient_scales(self) -> dict[str, float]:
        """tie_gradient_scale by role."""
        return parse_scales(self.tie_gradient_scale)
