"""From translations to a page: the model is led along each again, to tell what else it thought of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from nmt.explain.explained import Explained
from nmt.explain.page import write_page
from nmt.search.forced import Followed, follow
from nmt.text.vocabulary import UNK
from nmt.translate.lines import Translation
from nmt.translate.translator import Translator

RUNNERS_UP = 5
"Likeliest pieces told of at each step."
MAX_SENTENCES = 1_000
"Of one page: about 20 MB."


class Collected:
    """The sentences of one page."""

    def __init__(self, translator: Translator, path: Path) -> None:
        self.translator, self.path = translator, path
        self.entries: list[Explained] = []

    def add(self, lines: Sequence[str], found: Sequence[Sequence[Translation]]) -> None:
        """Lines and their translations with attention, best first. A line in parts has an entry for each."""
        shown: list[tuple[str, Translation, tuple[tuple[str, float], ...]]] = []
        for line, translations in zip(lines, found, strict=True):
            best, others = translations[0], translations[1:]
            shown += [(self._source(part), part, ()) for part in best.parts]
            if not best.parts:
                shown.append((line, best, tuple((other.text, other.score) for other in others)))
        if len(self.entries) + len(shown) > MAX_SENTENCES:
            problem = f"more than {MAX_SENTENCES:,} sentences to explain on one page"
            raise UserError(problem, where=self.path, hint="explain a part of the input")
        followed = self._followed([translation for _, translation, _ in shown])
        self.entries += [self._entry(*each, more) for each, more in zip(shown, followed, strict=True)]

    def write(self) -> None:
        """Write the page."""
        options = self.translator.bundle.text.options
        title = f"Translations, {options.source} to {options.target}"
        write_page(self.path, self.entries, title, source=options.source, target=options.target)

    def _source(self, part: Translation) -> str:
        return self.translator.bundle.text.text(part.source_pieces, "source", part.strings)

    def _followed(self, translations: Sequence[Translation]) -> list[Followed]:
        searcher, vocabulary = self.translator.searcher, self.translator.bundle.vocabulary
        sides = ([each.source_pieces for each in translations], [each.pieces for each in translations])
        source, target = ([np.array(vocabulary.encode(p), dtype=np.int64) for p in pieces] for pieces in sides)
        sources = [searcher.source_view.from_union(ids) for ids in source]
        targets = [searcher.target_view.from_union(ids).tolist() for ids in target]
        return follow(searcher.model, sources, targets, runners_up=RUNNERS_UP)

    def _entry(
        self, source: str, found: Translation, alternatives: tuple[tuple[str, float], ...], followed: Followed
    ) -> Explained:
        vocabulary, view = self.translator.bundle.vocabulary, self.translator.searcher.target_view
        known = vocabulary.encode(found.source_pieces)
        runners_up = tuple(
            tuple((vocabulary.piece_of(int(view.to_union(np.array(row)))), log_prob) for row, log_prob in step)
            for step in followed.runners_up
        )
        steps = len(found.pieces) + 1 if found.source_pieces else 0  # a blank line is not the model's
        return Explained(
            source=source,
            text=found.text,
            source_pieces=found.source_pieces,
            pieces=found.pieces,
            log_probs=followed.log_probs[:steps],
            runners_up=runners_up[:steps],
            attention=followed.attention[:steps],
            score=found.score,
            finished=found.finished,
            alternatives=alternatives,
            unknown=tuple(position for position, row in enumerate(known) if row == UNK),
            subwords=found.subwords,
        )
