"""Whether the three modes of a comparison differ in the tie and in nothing else: looked up, not promised.

Configurations are read from the model folders, start weights are drawn again, batches are made again; what is equal and
what is not is written down for the report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import torch

from nmt.config import Config
from nmt.configfile import build_config, flatten, plain
from nmt.data.batching import BatchMaker, Budget, EpochPlan
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import MANIFEST, read_config
from nmt.folder.ledger import size_of
from nmt.layers.tying import aliases
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import EMBEDDINGS
from nmt.reproduce.experiment import Experiment, Run
from nmt.tying import Tying

VOCABULARY = f"{EMBEDDINGS}."
PLACES = ("paths.", "runtime.", "training.record_tying_against")
"Keys that say where, not what."
BATCHES = 50
"Batches of the first epoch that are made again for each mode."
TABLES = ("source_input", "target_input", "output", "output_bias")


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in all modes. values: mode -> what it is there. note: what follows from it."""

    what: str
    values: dict[str, str]
    note: str = ""


@dataclass(frozen=True)
class Fairness:
    """shared: what was found equal, in words with numbers. differences: everything else."""

    shared: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class ModeStart:
    """A mode's start: SHA-256 of each parameter by name, aliases too; shapes; what is an alias of what; size."""

    hashes: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    owners: dict[str, str]
    total: int


def check(experiment: Experiment, corpus: PreparedCorpus, seed: int) -> Fairness:
    """Compare the three modes of one seed."""
    sizes = VocabularySizes.of(corpus.vocabulary)
    configs = {mode: _config(experiment, Run(mode, seed)) for mode in Tying}
    starts = {mode: start_of(configs[mode], sizes) for mode in Tying}
    shared: list[str] = []
    found: list[Difference] = []
    for equal, different in (
        compare_configs(configs),
        compare_starts(starts),
        compare_batches({mode: batch_hashes(config, corpus) for mode, config in configs.items()}),
        vocabulary_differences(starts, sizes),
    ):
        shared += equal
        found += different
    return Fairness(tuple(shared), tuple(found))


Outcome = tuple[list[str], list[Difference]]


def compare_configs(configs: Mapping[Tying, Config]) -> Outcome:
    """Keys of the recipe with one value in all modes, and those without."""
    flat = {mode: flatten(plain(config), "") for mode, config in configs.items()}
    keys = [key for key in flat[Tying.UNTIED] if not key.startswith(PLACES)]
    unequal = [key for key in keys if len({str(values[key]) for values in flat.values()}) > 1]
    different = [Difference(key, {mode.value: str(values[key]) for mode, values in flat.items()}) for key in unequal]
    return [f"recipe and seed: {len(keys) - len(unequal)} of {len(keys)} keys have one value in all modes"], different


def compare_starts(starts: Mapping[Tying, ModeStart]) -> Outcome:
    """Start values outside the vocabulary."""
    first = starts[Tying.UNTIED]
    names = sorted(
        name for name in set().union(*(start.hashes for start in starts.values())) if not name.startswith(VOCABULARY)
    )
    unequal = [name for name in names if len({start.hashes.get(name) for start in starts.values()}) > 1]
    numbers = sum(_numel(first.shapes[name]) for name in names if name not in unequal)
    equal = [
        f"start values outside the vocabulary: {len(names) - len(unequal)} of {len(names)} parameters "
        f"({numbers:,} numbers) are the same bit for bit"
    ]
    different = [
        Difference(
            f"start of {name}",
            {mode.value: start.hashes.get(name, "none")[:8] for mode, start in starts.items()},
        )
        for name in unequal
    ]
    return equal, different


def compare_batches(hashes: Mapping[Tying, list[str]]) -> Outcome:
    """Pairs and pieces of the first batches, in their order."""
    if len({tuple(each) for each in hashes.values()}) == 1:
        count = len(hashes[Tying.UNTIED])
        return [f"data: the first {count} batches hold the same pairs and the same pieces in the same order"], []
    values = {mode.value: hashlib.sha256("".join(each).encode()).hexdigest()[:8] for mode, each in hashes.items()}
    return [], [Difference("batches", values, "the modes were not trained on the same pieces in the same order")]


def vocabulary_differences(starts: Mapping[Tying, ModeStart], sizes: VocabularySizes) -> Outcome:
    """What tying itself is: which tables are one, how many rows they have, how they start."""
    extra = sizes.union - sizes.target
    found = []
    for table in TABLES:
        name = VOCABULARY + table
        values = {
            mode.value: f"{start.shapes[name][0]:,} rows"
            + (f", is {start.owners[name].removeprefix(VOCABULARY)}" if name in start.owners else "")
            + _same_start(name, mode, starts)
            for mode, start in starts.items()
        }
        found.append(Difference(table.replace("_", " "), values))
    note = (
        f"three-way tying scores {extra:,} pieces more, which only the source has: its softmax, its label smoothing "
        "and its cross entropy are over more classes, none of which is ever right"
    )
    classes = {mode.value: f"{start.shapes[VOCABULARY + 'output_bias'][0]:,}" for mode, start in starts.items()}
    found.append(Difference("classes of the softmax", classes, note if extra else ""))
    totals = {mode.value: f"{start.total:,}" for mode, start in starts.items()}
    note = "one gradient, one optimizer state and one share of the clipped norm for each storage"
    found.append(Difference("parameters, each storage once", totals, note))
    return [], found


def start_of(config: Config, sizes: VocabularySizes) -> ModeStart:
    """Draw a mode's start weights again, as training does."""
    model = build_model(config.model, sizes, seed=config.training.seed)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return ModeStart(
        hashes={name: _hash(parameter) for name, parameter in parameters.items()},
        shapes={name: tuple(parameter.shape) for name, parameter in parameters.items()},
        owners=aliases(model),
        total=size_of(model).total,
    )


def batch_hashes(config: Config, corpus: PreparedCorpus) -> list[str]:
    """The first batches of the first epoch as a mode sees them, in union ids: pairs, source and target."""
    source_view = corpus.vocabulary.source_view(config.model.union_source)
    target_view = corpus.vocabulary.target_view(config.model.union_target)
    settings = config.training
    budget = Budget(settings.batch_tokens, settings.batch_sentences, settings.max_length)
    maker = BatchMaker(corpus.split("train"), source_view, target_view)
    plan = EpochPlan(corpus.split("train"), budget, settings.seed)
    hashes = []
    for rows in islice(plan.batches(0), BATCHES):
        batch = maker.make(rows)
        target = target_view.to_union(batch.target.numpy())
        content = repr(batch.pairs).encode() + batch.source.numpy().tobytes() + target.tobytes()
        hashes.append(hashlib.sha256(content).hexdigest())
    return hashes


def _config(experiment: Experiment, run: Run) -> Config:
    """What the model folder says; before there is one, what the recipe would make of it."""
    folder = experiment.model(run)
    return read_config(folder) if (folder / MANIFEST).exists() else build_config(experiment.values(run))


def _same_start(name: str, mode: Tying, starts: Mapping[Tying, ModeStart]) -> str:
    """', starts as in untied' where a table begins with the values it has there."""
    same = mode is not Tying.UNTIED and starts[mode].hashes[name] == starts[Tying.UNTIED].hashes[name]
    return ", starts as in untied" if same else ""


def _hash(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()


def _numel(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
