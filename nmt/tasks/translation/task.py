"""Translation as training sees it: a prepared corpus and a model of the section `model`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from nmt.config import Config
from nmt.configfile import Values, build_config, flatten
from nmt.data.batching import Batch, BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.data.dropout import check_merges
from nmt.data.feed import DropoutFeed, Feed
from nmt.data.mixing import describe_mix
from nmt.data.order import PairLengths
from nmt.data.position import Position
from nmt.folder.bundle import TRANSLATION, create_folder
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import TranslationModel
from nmt.shortlist import Shortlist
from nmt.tasks.interface import Task, check_foreign
from nmt.tasks.translation.introduction import introduction
from nmt.tasks.translation.objective import TranslationObjective
from nmt.tasks.translation.start import Beginning, beginning_of, check_same_beginning, check_same_mix
from nmt.tasks.translation.validation import TranslationValidator, can_score
from nmt.tasks.translation.validation_sets import SetsValidator, chosen_split
from nmt.text.vocabulary import SourceView, TargetView


class TranslationTask(Task):
    """Learns to translate the pairs of a prepared corpus."""

    kind = TRANSLATION
    reader = "nmt-translate"

    def __init__(self, config: Config) -> None:
        self.corpus = PreparedCorpus.open(config.paths.prepared)
        super().__init__(with_languages(config, self.corpus), TranslationObjective(config.training))
        self.start: Beginning | None = None
        "What the weights of a new run start from, if not at random."

    @property
    def fingerprint(self) -> str:
        """See Task.fingerprint."""
        return self.corpus.fingerprint

    @property
    def sizes(self) -> VocabularySizes:
        """Rows of the vocabulary's views."""
        return VocabularySizes.of(self.corpus.vocabulary)

    @cached_property
    def views(self) -> tuple[SourceView, TargetView]:
        """How the model sees source and target ids."""
        model, vocabulary = self.config.model, self.corpus.vocabulary
        return vocabulary.source_view(model.union_source), vocabulary.target_view(model.union_target)

    @cached_property
    def feed(self) -> Feed:
        """Batches of the training pairs."""
        return (DropoutFeed if self.settings.bpe_dropout else Feed)(self.corpus, self.settings, self.views)

    def check(self) -> None:
        """See Task.check."""
        check_foreign(self.settings, {"max_epochs": 0, "validate_epochs": 0}, "language models")
        if self.settings.schedule == "epochs":
            problem = "'epochs' is of language models, whose epochs have ends"
            raise UserError(problem, where="training.schedule", hint="choose another")
        chosen_split(self.corpus, self.settings.validation_set)
        if self.settings.bpe_dropout:
            check_merges(self.corpus)
        longest = self.settings.max_length
        if not PairLengths(self.corpus.split("train"), longest).num_pairs:
            problem = f"no pair has at most {longest} pieces on both sides"
            raise UserError(problem, where="training.max_length", hint="raise it")
        if self.start is not None:
            self.start.check_fits(self.corpus, self.config)

    @property
    def starts_from_weights(self) -> bool:
        """See Task.starts_from_weights."""
        return self.start is not None

    def begin(self) -> None:
        """See Task.begin: a model, or vectors."""
        self.start = beginning_of(self.config.paths)

    def check_continues(self, manifest: Mapping[str, Any], asked: Values) -> None:
        """See Task.check_continues: what it started from, and what is mixed in."""
        check_same_mix(manifest, self.settings.mix)
        check_same_beginning(manifest, asked, Path(self.config.paths.model))

    def build(self) -> TranslationModel:
        """See Task.build."""
        model = build_model(self.config.model, self.sizes, seed=self.settings.seed)
        if self.start is not None:
            self.start.load_into(model, self.corpus)
        return model

    def introduction(self, *, matrices: bool) -> list[str]:
        """See Task.introduction."""
        num_pairs = len(self.corpus.split("train"))
        lines = introduction(self.config, self.sizes, self.feed.plan, num_pairs, matrices=matrices)
        return lines + (self.start.lines(self.corpus) if self.start else [])

    def create_folder(self, folder: Path) -> None:
        """See Task.create_folder."""
        origin: dict[str, Any] = {"mix": describe_mix(self.settings.mix)} if self.settings.mix else {}
        if self.start is not None:
            origin |= {self.start.entry: self.start.described(self.corpus)}
        create_folder(folder, self.config, self.corpus, origin)

    def stream(self, start: Position) -> Iterator[tuple[Position, Batch]]:
        """See Task.stream."""
        return self.feed.stream(start)

    def largest(self) -> Batch:
        """See Task.largest."""
        return self.feed.largest()

    def validator(self, say: Callable[[str], None]) -> TranslationValidator | SetsValidator:
        """See Task.validator."""
        with_bleu = can_score(self.corpus, self.settings.validation_metric, say)
        chosen = self._validator(chosen_split(self.corpus, self.settings.validation_set), with_bleu)
        others = [self._validator(split, with_bleu) for split in self.corpus.validation_sets if split != chosen.split]
        return SetsValidator(chosen, others) if others else chosen

    def _validator(self, split: str, with_bleu: bool) -> TranslationValidator:
        batches = BatchMaker(self.corpus.split(split), *self.views)
        beam = self.settings.validation_beam
        return TranslationValidator(self.corpus, batches, beam=beam, with_bleu=with_bleu, split=split)

    def after_training(self, folder: Path, *, quiet: bool) -> None:
        """Write the shortlist, where it is asked for."""
        if self.settings.shortlist:
            Shortlist.build(self.corpus.split("train"), self.corpus.vocabulary, quiet=quiet).save(folder)


def with_languages(config: Config, corpus: PreparedCorpus) -> Config:
    """The preparation's own options: they are a fact of the data, whatever the recipe says."""
    made = build_config(flatten({"prep": corpus.manifest["options"]}, str(corpus.folder))).prep
    return dataclasses.replace(config, prep=made)
