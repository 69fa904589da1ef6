"""Translation as training sees it: a prepared corpus and a model of the section `model`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from nmt.config import Config, ModelConfig
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
from nmt.tasks.translation.tying_changes import TyingChange, check_plan, plan_of
from nmt.tasks.translation.tying_watch import RowGroups, TyingWatch, check_against
from nmt.tasks.translation.validation import TranslationValidator, can_score
from nmt.tasks.translation.validation_sets import SetsValidator, chosen_split
from nmt.text.vocabulary import SourceView, TargetView
from nmt.tying import Tying


class TranslationTask(Task):
    """Learns to translate the pairs of a prepared corpus."""

    kind = TRANSLATION
    reader = "nmt-translate"

    def __init__(self, config: Config) -> None:
        self.corpus = PreparedCorpus.open(config.paths.prepared)
        super().__init__(with_languages(config, self.corpus), TranslationObjective(config.training))
        self.plan = plan_of(self.config)
        "When which matrices are one."
        self.tying = self.plan.mode_at(0)
        "How they are tied now."
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

    @property
    def model_config(self) -> ModelConfig:
        """The model as it is tied now."""
        return self.config.model.tied(self.tying)

    @cached_property
    def views(self) -> tuple[SourceView, TargetView]:
        """How the model sees source and target ids."""
        model, vocabulary = self.model_config, self.corpus.vocabulary
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
        check_plan(self.config)
        if self.config.search.language_model is not None:
            problem = "a language model joins in nmt-translate, not in training"
            raise UserError(problem, where="search.language_model", hint="leave it out")
        chosen_split(self.corpus, self.settings.validation_set)
        check_against(self.settings, self.corpus.vocabulary)
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
        if self.settings.tie_at and self.config.paths.start:
            problem = f"the run would begin untied, and the model that it starts from is {self.config.model.tying}"
            raise UserError(problem, where="training.tie_at", hint="leave it out, or --from")

    def check_continues(self, manifest: Mapping[str, Any], asked: Values) -> None:
        """See Task.check_continues: what it started from, and what is mixed in."""
        check_same_mix(manifest, self.settings.mix)
        check_same_beginning(manifest, asked, Path(self.config.paths.model))

    def stand_in(self, mode: str) -> None:
        """See Task.stand_in."""
        self._become(next((tying for tying in self.plan.modes if tying.value == mode), self.plan.mode_at(0)))

    def _become(self, tying: Tying) -> None:
        self.tying = tying
        for name in ("views", "feed"):
            self.__dict__.pop(name, None)

    def changes(self, update: int) -> bool:
        """See Task.changes."""
        return self.plan.mode_at(update) is not self.tying

    def change(self) -> TyingChange:
        """See Task.change: matrices are untied, or tied."""
        before, after = self.tying, Tying.UNTIED if self.tying is not Tying.UNTIED else self.plan.tied
        self._become(after)
        found = TyingChange.of(self.config, self.corpus.vocabulary, before, after)
        self._scale_gradients(found.model)
        return found

    def build(self) -> TranslationModel:
        """See Task.build."""
        model = build_model(self.model_config, self.sizes, seed=self.settings.seed)
        if self.start is not None:
            self.start.load_into(model, self.corpus)
        self._scale_gradients(model)
        return model

    def _scale_gradients(self, model: TranslationModel) -> None:
        """Of roles that share their matrix now."""
        scales = self.settings.gradient_scales().items()
        model.embeddings.gradient_scales = {role: scale for role, scale in scales if self.tying.shares(role)}

    def introduction(self, *, matrices: bool) -> list[str]:
        """See Task.introduction."""
        num_pairs = len(self.corpus.split("train"))
        config = dataclasses.replace(self.config, model=self.model_config)
        lines = introduction(config, self.sizes, self.feed.plan, num_pairs, matrices=matrices)
        lines += [f"tying over time: {self.plan.describe()}"] * self.plan.changes
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

    def watch(self, model: TranslationModel) -> TyingWatch | None:
        """See Task.watch."""
        if not self.settings.record_tying:
            return None
        groups = RowGroups(self.corpus.vocabulary, self.corpus.split("train"))
        return TyingWatch(model.embeddings, self.corpus.vocabulary, groups, self.settings.record_tying_against)

    def after_training(self, folder: Path, *, quiet: bool) -> None:
        """Write the shortlist, where it is asked for."""
        if self.settings.shortlist:
            Shortlist.build(self.corpus.split("train"), self.corpus.vocabulary, quiet=quiet).save(folder)


def with_languages(config: Config, corpus: PreparedCorpus) -> Config:
    """The preparation's own options: they are a fact of the data, whatever the recipe says."""
    made = build_config(flatten({"prep": corpus.manifest["options"]}, str(corpus.folder))).prep
    return dataclasses.replace(config, prep=made)
