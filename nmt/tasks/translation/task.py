"""Translation as training sees it: a prepared corpus and a model of the section `model`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from bpe.errors import UserError
from nmt.config import Config
from nmt.configfile import build_config, flatten
from nmt.data.batching import Batch, BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.data.dropout import check_merges
from nmt.data.feed import DropoutFeed, Feed
from nmt.data.order import PairLengths
from nmt.data.position import Position
from nmt.folder.bundle import create_folder
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import TranslationModel
from nmt.shortlist import Shortlist
from nmt.tasks.interface import Task
from nmt.tasks.translation.introduction import introduction
from nmt.tasks.translation.objective import TranslationObjective
from nmt.tasks.translation.validation import TranslationValidator, can_score
from nmt.text.vocabulary import SourceView, TargetView
from nmt.tying import Tying


class TranslationTask(Task):
    """Learns to translate the pairs of a prepared corpus."""

    reader = "nmt-translate"

    def __init__(self, config: Config) -> None:
        self.corpus = PreparedCorpus.open(config.paths.prepared)
        super().__init__(with_languages(config, self.corpus), TranslationObjective(config.training))

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
        shared, vocabulary = Tying(self.config.model.tying).shares_source, self.corpus.vocabulary
        return vocabulary.source_view(shared), vocabulary.target_view(shared)

    @cached_property
    def feed(self) -> Feed:
        """Batches of the training pairs."""
        return (DropoutFeed if self.settings.bpe_dropout else Feed)(self.corpus, self.settings, self.views)

    def check(self) -> None:
        """See Task.check."""
        if self.settings.bpe_dropout:
            check_merges(self.corpus)
        longest = self.settings.max_length
        if not PairLengths(self.corpus.split("train"), longest).num_pairs:
            problem = f"no pair has at most {longest} pieces on both sides"
            raise UserError(problem, where="training.max_length", hint="raise it")

    def build(self) -> TranslationModel:
        """See Task.build."""
        return build_model(self.config.model, self.sizes, seed=self.settings.seed)

    def introduction(self, *, matrices: bool) -> list[str]:
        """See Task.introduction."""
        num_pairs = len(self.corpus.split("train"))
        return introduction(self.config, self.sizes, self.feed.plan, num_pairs, matrices=matrices)

    def create_folder(self, folder: Path) -> None:
        """See Task.create_folder."""
        create_folder(folder, self.config, self.corpus)

    def stream(self, start: Position) -> Iterator[tuple[Position, Batch]]:
        """See Task.stream."""
        return self.feed.stream(start)

    def largest(self) -> Batch:
        """See Task.largest."""
        return self.feed.largest()

    def validator(self, say: Callable[[str], None]) -> TranslationValidator:
        """See Task.validator."""
        return TranslationValidator(
            self.corpus,
            BatchMaker(self.corpus.split("valid"), *self.views),
            beam=self.settings.validation_beam,
            with_bleu=can_score(self.corpus, self.settings.validation_metric, say),
        )

    def after_training(self, folder: Path, *, quiet: bool) -> None:
        """Write the shortlist, where it is asked for."""
        if self.settings.shortlist:
            Shortlist.build(self.corpus.split("train"), self.corpus.vocabulary, quiet=quiet).save(folder)


def with_languages(config: Config, corpus: PreparedCorpus) -> Config:
    """The preparation's own options: they are a fact of the data, whatever the recipe says."""
    made = build_config(flatten({"prep": corpus.manifest["options"]}, str(corpus.folder))).prep
    return dataclasses.replace(config, prep=made)
