"""One model folder or several as one searchable model, made ready for the search that is asked for.

A language model may join in (`nmt.translate.fusion`).
Several are an ensemble: the probabilities of each piece are averaged. They must share the union vocabulary and the text
pipeline; their tying modes and sizes may differ.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.device import out_of_memory
from nmt.folder.bundle import VOCABULARY, Bundle
from nmt.layers.processor import usable_precision
from nmt.models.ensemble import Ensemble, Member
from nmt.models.fusion import FusedModel
from nmt.models.inference import for_search
from nmt.models.interface import SearchModel, TranslationModel
from nmt.search.beam import beam_search
from nmt.search.counting import Amiss, counted_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Shortlist as Candidates
from nmt.search.request import Wanted
from nmt.search.sampling import sample
from nmt.shortlist import Shortlist
from nmt.text.vocabulary import SourceView, TargetView
from nmt.translate.fusion import JoiningModel


@dataclass(frozen=True)
class Searcher:
    """What is searched. Keeps no state between calls: safe to use from several threads."""

    model: SearchModel
    source_view: SourceView
    target_view: TargetView
    config: SearchConfig
    shortlist: Candidates | None
    source_only: range = range(0)
    "Target ids of pieces that only the source side has."
    placeholders: tuple[int, ...] = ()
    "Target ids, rising, of numbered placeholders, which a translation holds as often as its source."
    language: JoiningModel | None = None
    "A language model that joins in."
    note: str = ""
    "Why the products are in another precision than asked for, or ''."

    @classmethod
    def of(cls, bundles: Sequence[Bundle], config: SearchConfig) -> Searcher:
        """Prepare the models. Raises UserError where they do not go together or lack what the settings need."""
        first = bundles[0]
        for other in bundles[1:]:
            check_same(first, other)
        models = [for_search(bundle.model, config.precision) for bundle in bundles]
        model, source_view, target_view = models[0], first.source_view, first.target_view
        if len(bundles) > 1:
            pairs = zip(models, bundles, strict=True)
            model = ensemble = Ensemble([Member(each, b.source_view, b.target_view) for each, b in pairs])
            source_view, target_view = ensemble.source_view, ensemble.target_view
        language = JoiningModel.of(config, first)
        if language and not language.weight:
            language = None
        if language:
            model = FusedModel(model, language.bundle.model, language.rows(target_view), language.weight)
        shortlist = None
        if config.shortlist:
            shortlist = Shortlist.load(first.folder, first.vocabulary).for_view(target_view)
        source_only = first.vocabulary.source_only_rows(target_view)
        numbered = np.array(first.vocabulary.encode(first.text.placeholders), dtype=np.int64)
        placeholders = tuple(sorted(target_view.from_union(numbered).tolist()))
        _, note = usable_precision(config.precision, first.model.device)
        return cls(model, source_view, target_view, config, shortlist, source_only, placeholders, language, note)

    def search(self, sources: Sequence[np.ndarray], wanted: Wanted) -> tuple[list[list[Hypothesis]], list[Amiss]]:
        """Beam search, or sampling where the settings say so; and what was amiss with placeholders, which is mended."""
        search = sample if self.config.sampling else beam_search
        with enough_memory():
            found, amiss = counted_search(lambda some, own: search(self.model, some, self.config, own), sources, wanted)
            return found if self.language is None else self._taken_apart(found, sources), amiss

    def _taken_apart(self, found: list[list[Hypothesis]], sources: Sequence[np.ndarray]) -> list[list[Hypothesis]]:
        """With the language model's share told apart; an empty source has asked no model."""
        assert self.language is not None
        asked = [number for number, source in enumerate(sources) if len(source)]
        apart = self.language.taken_apart([found[number] for number in asked], self.target_view)
        for number, hypotheses in zip(asked, apart, strict=True):
            found[number] = hypotheses
        return found


def searchable(model: TranslationModel) -> SearchModel:
    """What `Searcher` searches in float32, of a model in training: a copy, to be made anew once the weights changed."""
    return for_search(model, "float32")


def check_same(first: Bundle, other: Bundle) -> None:
    """Models of an ensemble must mean the same by a piece, and cut text alike."""
    if other.vocabulary.fingerprint != first.vocabulary.fingerprint:
        raise UserError(
            f"another vocabulary than that of {first.folder}: they cannot translate together",
            where=other.folder / VOCABULARY,
            hint="an ensemble's models are trained on the same prepared data",
        )
    if other.text.options != first.text.options or other.text.subwords != first.text.subwords:
        raise UserError(f"another text pipeline than that of {first.folder}", where=other.folder)


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Turn the device's or the machine's refusal of memory into a UserError that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise UserError("not enough memory to search", hint="lower --batch-tokens or --beam") from None
