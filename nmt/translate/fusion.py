"""A language model beside a translation model: in search, and for translations that are there (`nmt.models.fusion`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.folder.bundle import LANGUAGE, TRANSLATION, VOCABULARY, Bundle, check_model_folder, read_manifest, weights_in
from nmt.folder.language import LanguageBundle, load_language_bundle
from nmt.models.montecarlo import next_word_log_probs
from nmt.search.expansion import check_numbers
from nmt.search.hypothesis import Hypothesis
from nmt.text.vocabulary import TargetView, Vocabulary
from nmt.text.words import END, END_NAME, WordVocabulary
from nmt.translate.alike import batches

HINT = "name a model folder of nmt-lm train with --language-model"


@dataclass(frozen=True)
class JoiningModel:
    """A language model, and how much it counts. Keeps no state between calls."""

    bundle: LanguageBundle
    weight: float
    vocabulary: Vocabulary
    "The translation model's."

    @classmethod
    def of(cls, search: SearchConfig, bundle: Bundle) -> JoiningModel | None:
        """The one that the settings name, on the translation model's device; None: there is none.

        Raises UserError where it is none, or does not have the vocabulary of the translation model's targets.
        """
        if search.language_model is None:
            return None
        folder, _ = weights_in(Path(search.language_model))
        check_model_folder(folder, HINT)
        if read_manifest(folder, None).get("task", TRANSLATION) != LANGUAGE:
            raise UserError("holds a translation model, not a language model", where=folder, hint=HINT)
        language = load_language_bundle(search.language_model, bundle.model.device)
        check_vocabulary(language, bundle)
        return cls(language, search.language_model_weight, bundle.vocabulary)

    def rows(self, view: TargetView) -> Tensor:
        """The row of each target id, [V] int64. view: what the translation model's target ids mean."""
        return torch.from_numpy(self._rows(np.arange(view.size, dtype=np.int64), view)).to(self.bundle.model.device)

    def taken_apart(self, found: Sequence[list[Hypothesis]], view: TargetView) -> list[list[Hypothesis]]:
        """What a search with both has found: log-probabilities are then the translation model's alone, and those of
        the language model stand beside them. What hypotheses are ranked by stays. view: as above."""
        ids = [np.array(each.pieces, dtype=np.int64) for some in found for each in some]
        scored = iter(self._score([self._rows(each, view).tolist() for each in ids]))
        return [[self._apart(each, next(scored)) for each in some] for some in found]

    def score_pieces(self, targets: Sequence[Sequence[str]]) -> list[list[float]]:
        """Natural log-probabilities of each target's pieces and, last, of </s>. Pieces it does not know are <unk>."""
        return self._score([self.bundle.vocabulary.encode(pieces) for pieces in targets])

    def _rows(self, ids: np.ndarray, view: TargetView) -> np.ndarray:
        """The language model's rows of target ids."""
        own = self.vocabulary.target_view(shared=False)
        return self.bundle.vocabulary.rows_of(own.from_union(view.to_union(ids)))

    def _apart(self, both: Hypothesis, language: Sequence[float]) -> Hypothesis:
        """language: log-probabilities of the hypothesis's pieces and of </s>, which need not be in it."""
        own = language if both.finished else language[:-1]
        total, log_probs = math.fsum(own), both.log_probs
        if log_probs is not None:
            log_probs = tuple(fused - self.weight * each for fused, each in zip(log_probs, own, strict=True))
        log_prob = both.log_prob - self.weight * total
        return replace(both, log_prob=log_prob, log_probs=log_probs, language_log_prob=total)

    @torch.inference_mode()
    def _score(self, targets: Sequence[list[int]]) -> list[list[float]]:
        """Of targets in rows of the language model, each a line of its own: see `nmt.models.fusion`."""
        model = self.bundle.model
        result: list[list[float]] = [[] for _ in targets]
        for batch in batches([len(target) + 1 for target in targets]):
            steps = max(len(targets[index]) for index in batch) + 1
            padded = torch.tensor([[*targets[index], *[END] * (steps - len(targets[index]))] for index in batch])
            labels = padded.t().contiguous().to(model.device)
            read = torch.cat([torch.full_like(labels[:1], END), labels[:-1]])
            found, _ = next_word_log_probs(model, read, labels, [model.initial_state(len(batch))])
            for index, log_probs in zip(batch, found.t().tolist(), strict=True):
                result[index] = log_probs[: len(targets[index]) + 1]
                check_numbers(result[index])
        return result


def check_vocabulary(language: LanguageBundle, bundle: Bundle) -> None:
    """A language model must have the rows of the targets; where it has not, the UserError says where they differ."""
    own, wanted = language.vocabulary, WordVocabulary.of_target(bundle.vocabulary)
    if own.fingerprint == wanted.fingerprint:
        return
    rows = range(max(own.size, wanted.size))
    names = ([each.name(row) if row < each.size else None for row in rows] for each in (own, wanted))
    differing = ((row, *pair) for row, pair in enumerate(zip(*names, strict=True)) if pair[0] != pair[1])
    row, there, here = next(differing, (0, END_NAME, END_NAME))
    raise UserError(
        f"its {own.size:,} rows are not the {wanted.size:,} of the targets of {bundle.folder}: row {row:,} is "
        f"{_named(there)}, not {_named(here)}",
        where=language.folder / VOCABULARY,
        hint=f"prepare its text with nmt-lm prep --like {bundle.folder}, and train it anew",
    )


def _named(piece: str | None) -> str:
    return "missing" if piece is None else repr(piece[:60])
