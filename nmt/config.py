"""Every option with its default, once. The YAML sections, `--set` keys and flags all name these fields.

A section is a frozen dataclass; the string under a field is its documentation. Values are checked when a section is
made, so that a wrong one is reported before any work starts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass, field

from bpe.errors import UserError
from nmt.models.architectures import ARCHITECTURES, LANGUAGE_ARCHITECTURES, Architectures, applies, owners
from nmt.text.normalization import NORMALIZATIONS
from nmt.text.protection import Patterns
from nmt.tying import Tying, WordTying

DROPPED = ("held-out", "held-out-source", "identical", "entities", "unprintable", "language", "shifted")


def require(condition: bool, key: str, value: object, limit: str) -> None:
    """Raise a UserError naming the key, its value and what it must be."""
    if not condition:
        raise UserError(f"{value!r} is out of range: it must be {limit}", where=key)


def choice(key: str, value: str, allowed: Collection[str]) -> None:
    """Raise a UserError unless `value` is one of the allowed words."""
    if value not in allowed:
        raise UserError(f"unknown value {value!r}", where=key, hint=f"choose one of {', '.join(allowed)}")


def require_own_keys(section: ModelConfig | LanguageConfig, name: str, table: Architectures) -> None:
    """Raise a UserError where a key is set that the section's architecture does not have."""
    for key in dataclasses.fields(section):
        if not applies(key.name, section.architecture, table) and getattr(section, key.name) != key.default:
            problem = f"is of {' and '.join(owners(key.name, table))} models, and {name}.architecture is"
            raise UserError(f"{problem} {section.architecture}", where=f"{name}.{key.name}", hint="leave it out")


@dataclass(frozen=True, kw_only=True)
class PathsConfig:
    """The three folders of the flow: corpus/ -> prepared/ -> model/."""

    corpus: str = "corpus"
    "Folder with train.LANG, valid.LANG and, if there is one, test.LANG, or as train.en-de.tsv or .tmx."
    prepared: str = "prepared"
    "Folder nmt-prep writes and nmt-train reads."
    model: str = "model"
    "Folder nmt-train writes; the only one nmt-translate reads."
    start: str | None = None
    "Model folder whose weights, architecture and search settings nmt-train starts from; None: weights at random."
    embeddings: str | None = None
    "File of vectors in word2vec's text format from which rows of the vocabulary start; None: from none."


@dataclass(frozen=True, kw_only=True)
class PrepConfig:
    """Preparation: which text, how it is tokenised and cut into subwords, what is dropped."""

    source: str | None = None
    "Source language code (the suffix of the corpus files); None: found from the folder."
    target: str | None = None
    "Target language code; None: found from the folder."
    joint_bpe: int = 32_000
    "Merges of the one joint BPE. Table 8 uses 89,500. Fewer are learned when the text runs out of frequent pairs."
    sentencepiece: int | None = None
    "Number of sentencepiece pieces beside bytes, learned on raw text of both sides; replaces joint_bpe when given."
    sentencepiece_model: str = "unigram"
    "What sentencepiece learns: unigram or bpe."
    tokenizer: str = "reversible"
    "reversible: fine tokens that join exactly. moses: Moses' tokens, some lost in joining. none: split at spaces."
    source_normalize: str = "none"
    "Before tokenising the source: none, nfc, nfkc (Unicode's forms), or moses (punctuation to ASCII, as Moses does)."
    target_normalize: str = "none"
    "The same for the target. Whatever it changes no translation can hold."
    protect: tuple[str, ...] = ()
    "What comes out as it went in, by number: placeholders, urls, tags, all, or regular expressions (docs/text.md)."
    min_character_count: int = 10
    "Characters rarer than this in the training text are spelt in bytes, as is all that it lacks; 0: no bytes."
    min_frequency: int = 2
    "A pair of symbols must occur this often to be merged (subword-nmt's --min-frequency)."
    source_threshold: int = 0
    "Pieces rarer than this on the source side are cut smaller (subword-nmt's --vocabulary-threshold); 0: keep all."
    target_threshold: int = 0
    "The same on the target side."
    bpe_dropout: bool = False
    "The vocabulary also holds every piece that leaving out merges can make, for training.bpe_dropout to draw from all."
    min_length: int = 1
    "Training pairs with fewer pieces than this on a side are dropped."
    max_length: int = 250
    "Training pairs with more pieces than this on a side are dropped."
    max_ratio: float = 9.0
    "Training pairs in which one side has more than this times the other's pieces are dropped (below 10: kept)."
    deduplicate: bool = False
    "Drop training pairs seen before (by 64-bit hash, 8 bytes of memory a pair)."
    max_word_length: int = 0
    "Training pairs with a word of more characters, between white space, are dropped; 0: none."
    min_alphabetic: float = 0.0
    "Training pairs in which less of a side's characters than this share are letters, spaces aside, are dropped."
    drop: tuple[str, ...] = ()
    "Findings that drop training pairs and are not only counted: held-out (in valid or test too), held-out-source,"
    " identical (source and target), entities, unprintable (characters), language, shifted (sides)."
    detect_languages: bool = False
    "Count pairs that are surely in another language than they should be, by the package py3langid."
    unescape_entities: bool = False
    "Turn HTML's and Moses' entities, as &apos; and &#124;, into characters, on both sides of all splits."
    check_sides: bool = True
    "Refuse text whose sides look equal or swapped. Turn it off for copying tasks."

    def __post_init__(self) -> None:
        require(self.joint_bpe >= 0, "prep.joint_bpe", self.joint_bpe, "0 or more")
        require(
            self.sentencepiece is None or self.sentencepiece >= 10, "prep.sentencepiece", self.sentencepiece, ">= 10"
        )
        choice("prep.sentencepiece_model", self.sentencepiece_model, ("unigram", "bpe"))
        choice("prep.tokenizer", self.tokenizer, ("reversible", "moses", "none"))
        choice("prep.source_normalize", self.source_normalize, NORMALIZATIONS)
        choice("prep.target_normalize", self.target_normalize, NORMALIZATIONS)
        Patterns(self.protect)
        without_merges = self.bpe_dropout and self.sentencepiece is not None
        require(not without_merges, "prep.bpe_dropout", True, "false: sentencepiece has no merges")
        require(self.min_character_count >= 0, "prep.min_character_count", self.min_character_count, "0 or more")
        require(self.min_frequency >= 1, "prep.min_frequency", self.min_frequency, "1 or more")
        require(self.source_threshold >= 0, "prep.source_threshold", self.source_threshold, "0 or more")
        require(self.target_threshold >= 0, "prep.target_threshold", self.target_threshold, "0 or more")
        require(self.min_length >= 1, "prep.min_length", self.min_length, "1 or more")
        limit = f"prep.min_length ({self.min_length}) or more"
        require(self.max_length >= self.min_length, "prep.max_length", self.max_length, limit)
        require(self.max_ratio >= 1, "prep.max_ratio", self.max_ratio, "1 or more")
        require(self.max_word_length >= 0, "prep.max_word_length", self.max_word_length, "0 or more")
        require(0 <= self.min_alphabetic <= 1, "prep.min_alphabetic", self.min_alphabetic, "0 to 1")
        for word in self.drop:
            choice("prep.drop", word, DROPPED)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network: architecture, tying mode and sizes. Defaults suit small data; configs/table8 has the paper's.

    A key that the architecture does not have (`nmt.models.architectures`) cannot be set.
    """

    architecture: str = "rnn"
    "rnn: the attention model of Press & Wolf's Table 8 (DL4MT's gru_cond). transformer: Vaswani et al. (2017)."
    tying: str = "three-way"
    "untied, decoder (target input = output) or three-way (source input = target input = output)."
    embedding_size: int = 256
    "Width E of all three vocabulary matrices. The readout projects to it, so it never restricts the hidden size."
    hidden_size: int = 512
    "rnn: width H of each GRU. Annotations of the bidirectional encoder are 2H wide."
    layers: int = 4
    "transformer: layers of the encoder."
    decoder_layers: int = 0
    "transformer: layers of the decoder; 0: as many. Fewer are faster in search, at little loss."
    width: int = 0
    "transformer: width D of the layers; 0: embedding_size. Otherwise projections lead from the one to the other."
    heads: int = 8
    "transformer: heads of each attention; they divide the width among them."
    decoder_heads: int = 0
    "transformer: heads of each attention of the decoder; 0: as many as the encoder's."
    feedforward_size: int = 1024
    "transformer: width inside the feed-forward."
    decoder_feedforward_size: int = 0
    "transformer: the same in the decoder; 0: as wide."
    norm: str = "pre"
    "transformer: pre (layer norm before each part, learns more steadily) or post (behind it, the paper's)."
    activation: str = "relu"
    "transformer: relu, gelu or swish, in the feed-forward."
    positions: str = "sinusoidal"
    "transformer: sinusoidal or learned."
    max_positions: int = 1024
    "transformer: how many positions are learned; later ones share the last."
    start: str = "zero"
    "transformer: what stands before the first target piece: a zero vector, or padding's row of the target input."
    scale_embeddings: bool = True
    "transformer: input embeddings are multiplied by the square root of their width."
    dropout: float = 0.3
    "rnn: on embeddings, annotations and readout (Table 8: 0). transformer: on inputs and on what each part adds."
    attention_dropout: float = 0.0
    "transformer: dropout of attention weights. Slower where it is not 0."
    feedforward_dropout: float = 0.0
    "transformer: dropout inside the feed-forward. Slower where it is not 0."
    attention_layer: int = 0
    "transformer: the decoder layer whose attention, the mean of its heads, aligns pieces, from 1; 0: the last."
    initialization: str = "scaled"
    """scaled: embeddings N(0, 1/E) (transformer: a quarter of that variance), other matrices Glorot normal.

    dl4mt: N(0, 0.01^2), but the RNN's recurrent matrices orthogonal.
    """

    def __post_init__(self) -> None:
        choice("model.architecture", self.architecture, ARCHITECTURES)
        require_own_keys(self, "model", ARCHITECTURES)
        choice("model.tying", self.tying, tuple(mode.value for mode in Tying))
        require(self.embedding_size >= 1, "model.embedding_size", self.embedding_size, "1 or more")
        require(self.hidden_size >= 1, "model.hidden_size", self.hidden_size, "1 or more")
        for name in ("dropout", "attention_dropout", "feedforward_dropout"):
            require(0 <= getattr(self, name) < 1, f"model.{name}", getattr(self, name), "at least 0 and below 1")
        for name in ("layers", "heads", "feedforward_size", "max_positions"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "1 or more")
        for name in ("decoder_layers", "width", "decoder_heads", "decoder_feedforward_size"):
            require(getattr(self, name) >= 0, f"model.{name}", getattr(self, name), "0 or more")
        last, named = self.decoder_layers or self.layers, self.attention_layer
        require(0 <= named <= last, "model.attention_layer", named, f"0 to the decoder's layers ({last})")
        choice("model.norm", self.norm, ("pre", "post"))
        choice("model.activation", self.activation, ("relu", "gelu", "swish"))
        choice("model.positions", self.positions, ("sinusoidal", "learned"))
        choice("model.start", self.start, ("zero", "padding"))
        choice("model.initialization", self.initialization, ("dl4mt", "scaled"))

        if self.architecture == "transformer":
            width = self.width or self.embedding_size
            for name, heads in (("heads", self.heads), ("decoder_heads", self.decoder_heads or self.heads)):
                require(width % heads == 0, f"model.{name}", heads, f"a divisor of the width ({width})")

    def sizes(self) -> dict[str, int]:
        """The keys that say how large the model is, with their values."""
        return {key: getattr(self, key) for key in ARCHITECTURES[self.architecture].sizes}

    def own_keys(self) -> tuple[str, ...]:
        """The keys that the architecture has."""
        return tuple(f.name for f in dataclasses.fields(self) if applies(f.name, self.architecture))


@dataclass(frozen=True, kw_only=True)
class LanguageConfig:
    """The network of a language model, and what keeps it from learning by heart. Defaults: the small model of Table 6.

    A key that the architecture does not have (`nmt.models.architectures`) cannot be set.
    """

    architecture: str = "lstm"
    "lstm: layers of LSTM (Zaremba et al., 2014). rhn: a recurrent highway network (Zilly et al., 2016)."
    tying: str = "tied"
    "untied, or tied: the input embedding is the output embedding (Press & Wolf, 2017, section 3)."
    embedding_size: int = 200
    "Width E of the vocabulary matrices."
    hidden_size: int = 0
    "Width H of the layers; 0: embedding_size. Another one needs lm.projection, which leads back to E."
    layers: int = 2
    "lstm: layers, each reading the one below."
    two_biases: bool = False
    "lstm: two biases for each gate, as torch.nn.LSTM and the paper's Lua code have; otherwise one."
    depth: int = 8
    "rhn: highway layers inside a step."
    projection: bool = False
    "Scores are (h P + b_P) V' + b with an H x E matrix P (Press & Wolf, 2017, section 3.2)."
    projection_penalty: float = 2 / 13
    """Projection regularisation: this times half of P's squared Frobenius norm joins the cost of a sequence.

    The paper's lambda, printed as 0.15; its code divides by 6.5. 0: none.
    """
    dropout: float = 0.0
    "Of the embeddings, between layers and before the scores, drawn anew for each number (Zaremba et al., 2014)."
    word_dropout: float = 0.0
    "Bayesian: how likely a word's embedding is left out (x of Gal and Ghahramani, 2016); of all masks see word_masks."
    input_dropout: float = 0.0
    "Bayesian: of what a layer reads (i), the same over the steps of an update; lstm: each gate has its own mask."
    hidden_dropout: float = 0.0
    "Bayesian: of the state that a layer's maps read (h), likewise; rhn: at every depth the same."
    output_dropout: float = 0.0
    "Bayesian: of what the scores are made of (o), likewise."
    word_masks: str = "token"
    "word: a dropped word is dropped at all its places in the steps of an update. token: each place, the paper's code."
    weight_decay: float = 0.0
    "After each update every weight shrinks by this share of itself, whatever the rate (WD in Table 5: 1e-7)."
    weight_penalty: float = 0.0
    "This times half of the sum of all squared weights joins the cost of an update (Zilly et al.'s code: 1e-7)."
    streams: int = 20
    "The text is read in this many streams side by side (the paper's batch)."
    unroll: int = 20
    "Words of each stream in an update: backpropagation goes back so far, and the state goes on."
    initialization: float = 0.1
    "Weights start uniformly between minus this and this."
    uniform_biases: bool = False
    "So do biases, as in the paper's Lua code; otherwise they start at zero."
    transform_bias: float = -2.0
    "rhn: where the biases of the transform gates start: below zero, so that a layer first carries its state."

    def __post_init__(self) -> None:
        choice("lm.architecture", self.architecture, LANGUAGE_ARCHITECTURES)
        require_own_keys(self, "lm", LANGUAGE_ARCHITECTURES)
        choice("lm.tying", self.tying, tuple(mode.value for mode in WordTying))
        choice("lm.word_masks", self.word_masks, ("token", "word"))
        for name in ("embedding_size", "layers", "depth", "streams", "unroll"):
            require(getattr(self, name) >= 1, f"lm.{name}", getattr(self, name), "1 or more")
        for name in ("hidden_size", "projection_penalty", "weight_decay", "weight_penalty", "initialization"):
            require(0 <= getattr(self, name) < math.inf, f"lm.{name}", getattr(self, name), "0 or more and finite")
        require(self.weight_decay < 1, "lm.weight_decay", self.weight_decay, "below 1")
        require(math.isfinite(self.transform_bias), "lm.transform_bias", self.transform_bias, "finite")
        bayesian = ("word_dropout", "input_dropout", "hidden_dropout", "output_dropout")
        for name in ("dropout", *bayesian):
            require(0 <= getattr(self, name) < 1, f"lm.{name}", getattr(self, name), "at least 0 and below 1")
        mixed = self.dropout > 0 and any(getattr(self, name) for name in bayesian)
        require(not mixed, "lm.dropout", self.dropout, "0 where dropout is Bayesian")
        fits = self.projection or self.hidden_size in (0, self.embedding_size)
        limit = f"lm.embedding_size ({self.embedding_size}) where lm.projection is false"
        require(fits, "lm.hidden_size", self.hidden_size, limit)

    def own_keys(self) -> tuple[str, ...]:
        """The keys that the architecture has."""
        names = (key.name for key in dataclasses.fields(self))
        return tuple(name for name in names if applies(name, self.architecture, LANGUAGE_ARCHITECTURES))


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
    tensorboard: bool = True
    "Write TensorBoard event files to model/tensorboard when the package is installed."

    def __post_init__(self) -> None:
        choice("training.precision", self.precision, ("auto", "float32", "bf16"))
        choice("training.optimizer", self.optimizer, ("adam", "adadelta", "sgd"))
        choice("training.schedule", self.schedule, ("constant", "inverse-sqrt", "cosine", "epochs"))
        choice("training.normalization", self.normalization, ("tokens", "sentences"))
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


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Translation: beam search or sampling, their limits, and what makes them faster."""

    beam: int = 5
    "Hypotheses kept for each sentence; 1 is greedy search."
    stopping: str = "exact"
    """What becomes of the place in the beam of a hypothesis that ends, and when a search is over.

    exact: the beam is narrower by it; over when no living hypothesis can win any more. present, first: the next best
    takes it, as in Hugging Face and CTranslate2; over when `beam` have ended and, present, no living one would win as
    long as it is.
    """
    length_penalty: float = 1.0
    "Exponent of the length that log-probabilities are divided by; 0: plain log-probability."
    length_normalization: str = "length"
    "length: divide by length**length_penalty. gnmt: by ((5 + length) / 6)**length_penalty (Wu et al., 2016)."
    coverage_penalty: float = 0.0
    "Weight of GNMT's coverage: the sum over source pieces of log(min(1, all attention the piece got))."
    min_length: int = 0
    "A translation has at least this many pieces."
    max_length: int = 0
    "A translation has at most this many pieces; 0: max_length_ratio alone."
    max_length_ratio: float = 3.0
    "A translation has at most this times the source's pieces, plus 10."
    no_repeat_ngram: int = 0
    "No sequence of this many pieces comes twice in a translation; 0: any may."
    repetition_penalty: float = 1.0
    """Log-probabilities of pieces that were written already are multiplied by this: above 1 they become less likely.

    The penalty of CTRL (Keskar et al., 2019, section 4.1) for scores that are never positive. 1: none.
    """
    allow_unknown: bool = False
    "Write <unk> too. It is also written with replace_unknown, which puts a word in its place."
    allow_source_pieces: bool = False
    "Write pieces too that only the source side has: a three-way model scores them with the others."
    sampling: bool = False
    "Draw translations at random instead of searching for the best."
    temperature: float = 1.0
    "Sampling: below 1 likely pieces become likelier, above 1 the others do."
    top_k: int = 0
    "Sampling draws from this many of the likeliest pieces; 0: from all."
    top_p: float = 1.0
    "Sampling draws from the fewest likeliest pieces that have this much probability together (nucleus sampling)."
    seed: int = 1
    "Seed of sampling."
    precision: str = "float32"
    "Of what matrix products multiply in search: float32, bf16 or int8 (CPU); float32, and said, where it is not there."
    shortlist: bool = False
    "Score only target pieces that the source's pieces suggest (see nmt-shortlist), and frequent ones."
    replace_unknown: bool = False
    "Write the source word that an unknown piece attends to most in its place."
    prefix_source: str = ""
    "Pieces before those of every source, such as `>>fra<<`, which tells a model of many languages the one to write."
    split_sentences: bool = False
    "Translate each sentence of a line by itself, and put the line together again."
    batch_tokens: int = 4096
    "Source pieces, padding included, translated together."

    def __post_init__(self) -> None:
        choice("search.stopping", self.stopping, ("exact", "present", "first"))
        choice("search.length_normalization", self.length_normalization, ("length", "gnmt"))
        choice("search.precision", self.precision, ("float32", "bf16", "int8"))
        require(self.max_length_ratio > 0, "search.max_length_ratio", self.max_length_ratio, "above 0")
        finite = 0 < self.repetition_penalty < math.inf
        require(finite, "search.repetition_penalty", self.repetition_penalty, "above 0 and finite")
        finite = 0 < self.temperature < math.inf
        require(finite, "search.temperature", self.temperature, "above 0 and finite")
        require(0 < self.top_p <= 1, "search.top_p", self.top_p, "above 0 and at most 1")
        limited = self.max_length == 0 or self.min_length <= self.max_length
        require(limited, "search.min_length", self.min_length, f"at most search.max_length ({self.max_length})")
        for name in ("beam", "batch_tokens"):
            require(getattr(self, name) >= 1, f"search.{name}", getattr(self, name), "1 or more")
        names = ("length_penalty", "coverage_penalty", "min_length", "max_length", "no_repeat_ngram", "top_k", "seed")
        for name in names:
            require(getattr(self, name) >= 0, f"search.{name}", getattr(self, name), "0 or more")


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where to compute."""

    device: str = "auto"
    "auto (cuda, else mps, else cpu), cpu, cuda or mps."
    threads: int = 0
    "CPU threads; 0: as many as there are cores for this process. Their number decides how sums are rounded."

    def __post_init__(self) -> None:
        choice("runtime.device", self.device, ("auto", "cpu", "cuda", "mps"))
        require(self.threads >= 0, "runtime.threads", self.threads, "0 or more")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """nmt-serve: where it listens and what it bears. A limit, time or rate of 0: there is none."""

    host: str = "127.0.0.1"
    "Address to listen on; the default is reached from this machine only, 0.0.0.0 from everywhere."
    port: int = 5000
    "Port to listen on; 0: a free one, which is said."
    char_limit: int = 20_000
    "Characters of a request, all its texts together, markup included."
    batch_limit: int = 128
    "Texts of a request."
    alternatives_limit: int = 4
    "Further translations of a text that a request may ask for, at most the beam less one; 0: it may not."
    queue_limit: int = 256
    "Requests in work or waiting; one more is answered 429, with when to try again."
    timeout: float = 60.0
    "Seconds that a request may take: then its search is given up."
    receive_timeout: float = 15.0
    "Seconds in which a request must have come, its head and then its body: what is slower is cut off."
    connection_limit: int = 4096
    "Open connections; one more is answered 503."
    searches: int = 2
    """Searches side by side, each with its share of `runtime.threads` and of the texts; at most one a thread.

    One on a GPU.
    """
    batch_wait: float = 3.0
    "Milliseconds that a text waits for others to be translated with, where nothing is being searched."
    rate: int = 0
    "Requests a minute of one key or, without a key, of one address; a key's line in the file of keys may say another."
    keys: str | None = None
    "File of keys, one a line, each with its own rate behind it if it has one."
    require_key: bool = False
    "Translate for those with a key only."
    cors: tuple[str, ...] = ()
    "Origins whose pages may use the server, such as https://example.org, or *; none: only its own page."

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65_535, "serve.port", self.port, "0 to 65535")
        require(self.searches >= 1, "serve.searches", self.searches, "1 or more")
        for name in ("char_limit", "batch_limit", "alternatives_limit", "queue_limit", "connection_limit", "rate"):
            require(getattr(self, name) >= 0, f"serve.{name}", getattr(self, name), "0 or more")
        for name in ("timeout", "receive_timeout", "batch_wait"):
            finite = 0 <= getattr(self, name) < math.inf
            require(finite, f"serve.{name}", getattr(self, name), "0 or more and finite")
        if self.require_key and not self.keys:
            raise UserError("no key is known", where="serve.require_key", hint="name the file of keys with --keys")


@dataclass(frozen=True, kw_only=True)
class Word2VecConfig:
    """nmt-reproduce table2: skip-gram with negative sampling, with the options of the original program's example."""

    size: int = 200
    "Numbers of a vector."
    window: int = 8
    "Words to each side of a word at most; how many is drawn for each word, from 1 to this."
    negatives: int = 25
    "Noise words of a pair."
    subsample: float = 1e-4
    "A word whose share of the text is above this is left out at random, the more often the larger it is; 0: never."
    passes: int = 15
    "How often the text is read."
    learning_rate: float = 0.025
    "At the beginning; it falls linearly to a ten-thousandth of this."
    min_count: int = 5
    "Words seen less often are left out of the text."
    lowercase: bool = False
    "Make all letters small."

    def __post_init__(self) -> None:
        for name in ("size", "window", "negatives", "passes", "min_count"):
            require(getattr(self, name) >= 1, f"word2vec.{name}", getattr(self, name), "1 or more")
        finite = 0 < self.learning_rate < math.inf
        require(finite, "word2vec.learning_rate", self.learning_rate, "above 0 and finite")
        require(0 <= self.subsample < math.inf, "word2vec.subsample", self.subsample, "0 or more and finite")


@dataclass(frozen=True, kw_only=True)
class Config:
    """All sections. `nmt.configfile` makes one from defaults, a YAML file, `--set` and flags, in that order."""

    paths: PathsConfig = field(default_factory=PathsConfig)
    prep: PrepConfig = field(default_factory=PrepConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    lm: LanguageConfig = field(default_factory=LanguageConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    word2vec: Word2VecConfig = field(default_factory=Word2VecConfig)
