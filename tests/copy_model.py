"""A translator whose model copies, or does what a test says with what it copies: its scores are made by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from bpe.codes import MergeTable
from nmt.config import Config, ModelConfig, PrepConfig, SearchConfig
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import BEST, create_folder, load_bundle
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import Step
from nmt.models.rows import joined_rows, places
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.text.vocabulary import EOS, PAD, Vocabulary
from nmt.translate.glossary import Glossary
from nmt.translate.translator import Translator

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEHST0123456789.,:/￭"
NUMBERS = (("placeholder", 2), ("url", 1), ("tag", 1), ("end", 1))
SURE = 0.9
"Probability of what the model would write next; the other pieces share the rest."

Change = Callable[[list[int]], list[int]]
"What the model writes of a source's ids."


@dataclass
class CopyMemory:
    """written: [B, T] what will be written, padded with </s>."""

    written: Tensor
    mask: Tensor

    def select(self, sentences: Tensor) -> CopyMemory:
        return CopyMemory(self.written[sentences], self.mask[sentences])

    def narrow(self, size: int) -> CopyMemory:
        return CopyMemory(self.written, self.mask[:, :size])

    def join(self, other: CopyMemory) -> CopyMemory:
        written = joined_rows(self.written, other.written)
        return CopyMemory(torch.where(written == PAD, EOS, written), joined_rows(self.mask, other.mask))


@dataclass
class CopyState:
    """steps: [B, K] pieces written so far."""

    steps: Tensor

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> CopyState:
        return CopyState(self.steps[places(sentences, hypotheses)])

    def join(self, other: CopyState) -> CopyState:
        return CopyState(torch.cat([self.steps, other.steps]))


class CopyModel:
    """Source and target ids are the same (three-way tying)."""

    device = torch.device("cpu")

    def __init__(self, num_targets: int, change: Change) -> None:
        self.num_targets, self.change = num_targets, change
        self.searched = 0
        "Sentences that were encoded."

    def encode(self, source: Tensor, source_lengths: Tensor) -> CopyMemory:
        rows = [
            self.change(row[: length - 1]) for row, length in zip(source.tolist(), source_lengths.tolist(), strict=True)
        ]
        longest = max(map(len, rows))
        self.searched += len(rows)
        written = torch.tensor([[*row, *[EOS] * (longest + 1 - len(row))] for row in rows])
        return CopyMemory(written, torch.arange(source.size(1)) < source_lengths[:, None])

    def initial_state(self, memory: CopyMemory) -> CopyState:
        return CopyState(torch.zeros(len(memory.written), 1, dtype=torch.int64))

    def output(self, targets: Tensor | None = None) -> Tensor:
        return torch.arange(self.num_targets) if targets is None else targets

    def step(self, memory: CopyMemory, state: CopyState, previous: Tensor, output: Tensor) -> Step:
        places = state.steps.clamp(max=memory.written.size(1) - 1)
        pieces = memory.written.gather(1, places)
        probabilities = torch.full((*pieces.shape, self.num_targets), (1 - SURE) / (self.num_targets - 2))
        probabilities.scatter_(2, pieces[..., None], SURE)
        log_probs = probabilities.log()
        log_probs[..., PAD] = -torch.inf
        attention = torch.zeros(*pieces.shape, memory.mask.size(1))
        attention[..., 0] = 1
        return Step(log_probs[..., output], CopyState(state.steps + 1), attention)


def make_folder(folder: Path, **values: object) -> Path:
    """A model folder for raw text with numbered placeholders. values: of the text's options."""
    described = {"protect": ("all",), "numbers": NUMBERS, "byte_fallback": True, **values}
    options = TextOptions(source="en", target="de", **described)  # type: ignore[arg-type]
    text = TextPipeline(options, MergeTable(()))
    pieces = {*LETTERS, *(f"{letter}@@" for letter in LETTERS), *text.always_known}
    vocabulary = Vocabulary.from_counts(dict.fromkeys(pieces, 5), dict.fromkeys(pieces, 5))
    if options.byte_fallback:
        text = text.of_pieces(vocabulary.side("source"), vocabulary.side("target"))
    config = Config(
        prep=PrepConfig(source="en", target="de"),
        model=ModelConfig(tying="three-way", embedding_size=4, hidden_size=4),
        search=SearchConfig(beam=3),
    )
    with tempfile.TemporaryDirectory() as prepared:
        text.save(prepared)
        create_folder(folder, config, PreparedCorpus(Path(prepared), {}, vocabulary))
    model = build_model(config.model, VocabularySizes.of(vocabulary), seed=1)
    save_tensors(folder / BEST, weight_tensors(model), weight_metadata(model))
    return folder


def copying(
    folder: Path,
    change: Callable[[Vocabulary], Change] | None = None,
    *,
    glossary: Glossary | None = None,
    **search: object,
) -> Translator:
    """A translator of a folder of `make_folder` whose model writes what it reads, or a change of it."""
    bundle = load_bundle(folder, torch.device("cpu"))
    config = replace(bundle.config.search, **search)  # type: ignore[arg-type]
    translator = Translator(bundle, config, glossary=glossary)
    model = CopyModel(bundle.vocabulary.size, change(bundle.vocabulary) if change else lambda ids: ids)
    translator.searcher = replace(translator.searcher, model=model)
    return translator


def forgetting(vocabulary: Vocabulary) -> Change:
    """Leaves out every numbered placeholder."""
    return lambda ids: [number for number in ids if not is_numbered(vocabulary, number)]


def inventing(vocabulary: Vocabulary) -> Change:
    """Begins with a placeholder, whatever the source has."""
    first = vocabulary.id_of("｟placeholder:1｠")
    return lambda ids: [first, *ids]


def repeating(vocabulary: Vocabulary) -> Change:
    """Writes every placeholder twice."""
    return lambda ids: [number for number in ids for _ in range(1 + is_numbered(vocabulary, number))]


def is_numbered(vocabulary: Vocabulary, number: int) -> bool:
    return ":" in vocabulary.piece_of(number) and vocabulary.piece_of(number).startswith("｟")
