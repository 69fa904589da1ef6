"""Validation: cross entropy of the references, and BLEU of beam output against the raw references."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.data.batching import BatchMaker, Budget, EpochPlan
from nmt.data.corpus import VALID, PreparedCorpus
from nmt.device import enough_memory
from nmt.evaluate.metrics import Options, choice
from nmt.evaluate.scoring import bleu
from nmt.layers.cross_entropy import chunked_cross_entropy
from nmt.models.interface import SearchModel, TranslationModel
from nmt.packages import MissingPackage
from nmt.search.beam import beam_search
from nmt.search.counting import counted_search
from nmt.search.expansion import NotNumbers
from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted
from nmt.text.pipeline import Reading
from nmt.text.placeholders import Strings
from nmt.translate.searcher import searchable

NO_LIMIT = 1 << 30
VALIDATION_BATCH_TOKENS = 4096
TRIED_PIECES = 3
"The first step of a search has one hypothesis a sentence, the others as many as any later one."


@dataclass(frozen=True)
class TranslationScores:
    """The outcome of one validation."""

    cross_entropy: float
    "Nats per target piece, </s> included, without label smoothing."
    cost: float
    "Nats per sentence: the sum over its pieces, averaged (DL4MT's cost)."
    bleu: float | None
    "Detokenised sacreBLEU of beam output, NaN where the model's numbers are none, None where it was not asked for."
    translations: tuple[tuple[str, str, str], ...] = ()
    "(source, reference, translation) of a few sentences."

    @property
    def finite(self) -> bool:
        """Whether everything is a number; otherwise there is no score to compare."""
        return all(map(math.isfinite, (self.cross_entropy, self.cost, self.bleu or 0.0)))

    def describe(self) -> str:
        """For people: cross entropy and BLEU."""
        bleu = "" if self.bleu is None else f", BLEU {self.bleu:.2f}"
        return f"cross entropy {self.cross_entropy:.3f}{bleu}"

    def score(self, metric: str) -> float:
        """BLEU where that is asked for and known, else minus the cost."""
        wanted = self.bleu if metric == "bleu" else None
        return -self.cost if wanted is None else wanted

    def figures(self) -> dict[str, float | None]:
        """See Validation.figures."""
        return {"cross_entropy": self.cross_entropy, "cost": self.cost, "bleu": self.bleu}

    def metadata(self) -> dict[str, float | None]:
        """See Validation.metadata."""
        return {"cross_entropy": self.cross_entropy, "bleu": self.bleu}

    def examples(self) -> list[str]:
        """The first of the translations."""
        return [
            f"  source      {source}\n  reference   {reference}\n  translation {translation}"
            for source, reference, translation in self.translations[:1]
        ]


def can_score(corpus: PreparedCorpus, metric: str, say: Callable[[str], None]) -> bool:
    """Whether translations can be written as raw text for BLEU. Where BLEU is the metric, it is an error if not.

    Where it is not computed as the language would have it, that is said.
    """
    try:
        if note := choice(corpus.text.options.target).bleu_note:
            say(f"validation: {note}")
        return True
    except MissingPackage as error:
        if metric == "bleu":
            hint = f"{error.hint}, or choose by cost (--set training.validation_metric=cost)"
            raise UserError(error.problem, where="training.validation_metric", hint=hint) from None
        say(f"validation without BLEU: {error}")
        return False


class TranslationValidator:
    """Validates one model on a validation set. `tick` is called between batches and may raise to break off.

    All in float32, whatever training multiplies in, and with the copy of the model that translation searches with: the
    numbers are those of nmt-score and nmt-translate. Memory that is refused is a UserError.
    """

    def __init__(
        self, corpus: PreparedCorpus, batches: BatchMaker, *, beam: int, with_bleu: bool, split: str = VALID
    ) -> None:
        """batches: of the split, one of the corpus's validation sets."""
        self.corpus, self.maker, self.with_bleu, self.split = corpus, batches, with_bleu, split
        self.search = SearchConfig(beam=beam)
        self.plan = EpochPlan(batches.pairs, Budget(VALIDATION_BATCH_TOKENS, 0, NO_LIMIT), seed=0)
        self.rows = self.plan.batches(0)
        if not self.plan.num_pairs:
            problem = f"no pair of the {split} split has pieces on both sides"
            raise UserError(problem, where=corpus.folder, hint=f"mend the {split} files and run nmt-prep --force")

    def run(self, model: TranslationModel, tick: Callable[[], None]) -> TranslationScores:
        """Validate; the model is left in evaluation mode. Numbers that are none are scores that are not finite."""
        model.eval()
        cross_entropy, tokens, sentences = 0.0, 0, 0
        for rows in self.rows:
            tick()
            found, count = self._cross_entropy(model, rows)
            cross_entropy, tokens, sentences = cross_entropy + found, tokens + count, sentences + len(rows)
        translations = None
        if self.with_bleu and math.isfinite(cross_entropy):
            with contextlib.suppress(NotNumbers):
                translations = self._translate(searchable(model), tick)
        sources = list(self.corpus.raw_lines(self.split, "source"))
        references = list(self.corpus.raw_lines(self.split, "target"))
        bleu = math.nan if self.with_bleu else None
        return TranslationScores(
            cross_entropy=cross_entropy / tokens,
            cost=cross_entropy / sentences,
            bleu=bleu if translations is None else self._bleu(translations, references),
            translations=tuple(zip(sources[:2], references[:2], (translations or [])[:2], strict=False)),
        )

    def try_largest(self, model: TranslationModel) -> None:
        """Run what needs the most memory, so that too little shows before training: the largest batch, and the first
        steps of the search of as many of the longest sentences, and of the shortest, as are searched together."""
        model.eval()
        rows = self.plan.largest()
        refused = UserError(
            f"the largest batch of the validation does not fit in memory ({len(rows)} pairs)",
            where="validation",
            hint=f"lower {model.how_to_shrink()}, or take the longest lines out of the {self.split} files",
        )
        with enough_memory(refused):
            self._cross_entropy(model, rows)
        if not self.with_bleu:
            return
        refused = UserError(
            f"the validation's search does not fit in memory (beam {self.search.beam})",
            where="training.validation_beam",
            hint=f"lower it, or choose a smaller model ({model.how_to_shrink()})",
        )
        with enough_memory(refused):
            searched, sources = searchable(model), sorted(self._sources(), key=len)
            config = replace(self.search, max_length=TRIED_PIECES)
            for some in (sources, sources[::-1]):
                with contextlib.suppress(NotNumbers):
                    beam_search(searched, together(some, config.batch_tokens), config)

    def _cross_entropy(self, model: TranslationModel, rows: np.ndarray) -> tuple[float, int]:
        """Of a batch's references, in nats, and their number of pieces."""
        with model.in_float32(), torch.inference_mode():
            batch = self.maker.make(rows).to(model.device)
            readout, matrix = model.embeddings.scoring(model.readout(batch))
            costs = chunked_cross_entropy(readout, matrix, model.embeddings.output_bias, batch.target_labels(), 0.0)
            return float(costs.cross_entropy), batch.num_target_tokens

    def _bleu(self, translations: list[str], references: list[str]) -> float:
        return bleu(translations, references, Options(target_language=self.corpus.text.options.target))

    def _sources(self) -> list[np.ndarray]:
        """Source ids of every pair, as translation reads them: with the numbers of all protected strings."""
        pairs, view = self.maker.pairs, self.maker.source_view
        if self._readings is None:
            return [view.from_union(np.asarray(pairs.source(i))) for i in range(len(pairs))]
        text, encode = self.corpus.text, self.corpus.vocabulary.encode
        pieces = [text.pieces_of_words(reading.words, "source") for reading in self._readings]
        return [view.from_union(np.array(encode(own), dtype=np.int64)) for own in pieces]

    @cached_property
    def _readings(self) -> list[Reading] | None:
        """The raw sources; None where nothing is numbered."""
        text = self.corpus.text
        return list(map(text.read, self.corpus.raw_lines(self.split, "source"))) if text.placeholders else None

    def _translate(self, model: SearchModel, tick: Callable[[], None]) -> list[str]:
        rows = self.corpus.vocabulary.source_only_rows(self.maker.target_view)
        ids = self._target_ids(self.corpus.text.placeholders)
        strings = [reading.strings for reading in self._readings] if self._readings else [()] * len(self.maker.pairs)
        wanted = Wanted(
            source_only=rows,
            counted=tuple(sorted(ids)),
            quotas=[Counter(self._target_ids([word for word, _ in own])) for own in strings] if ids else None,
            progress=lambda _: tick(),
        )
        found, _ = counted_search(
            lambda sources, own: beam_search(model, sources, self.search, own), self._sources(), wanted
        )
        return [self._text(each[0], own) for each, own in zip(found, strings, strict=True)]

    def _target_ids(self, pieces: Sequence[str]) -> list[int]:
        ids = np.array(self.corpus.vocabulary.encode(pieces), dtype=np.int64)
        return list(map(int, self.maker.target_view.from_union(ids)))

    def _text(self, hypothesis: Hypothesis, strings: Strings) -> str:
        ids = self.maker.target_view.to_union(np.asarray(hypothesis.pieces, dtype=np.int64))
        return self.corpus.text.text(self.corpus.vocabulary.decode(ids.tolist()), "target", strings)


def together(sources: Sequence[np.ndarray], tokens: int) -> Sequence[np.ndarray]:
    """The first of sources sorted by length that are searched together: `tokens` with padding, or one."""
    widths = np.maximum.accumulate([len(source) + 1 for source in sources])
    return sources[: max(1, int((widths * np.arange(1, len(sources) + 1) <= tokens).sum()))]
