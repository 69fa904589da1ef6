"""Validation: cross entropy of the references, and BLEU of beam output against the raw references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.data.batching import BatchMaker, Budget, EpochPlan
from nmt.data.corpus import PreparedCorpus
from nmt.evaluation import bleu, validation_options
from nmt.models.interface import TranslationModel
from nmt.packages import MissingPackage
from nmt.search.beam import beam_search
from nmt.search.request import Wanted
from nmt.training.loss import chunked_cross_entropy

NO_LIMIT = 1 << 30
VALIDATION_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Validation:
    """The outcome of one validation."""

    cross_entropy: float
    "Nats per target piece, </s> included, without label smoothing."
    cost: float
    "Nats per sentence: the sum over its pieces, averaged (DL4MT's cost)."
    bleu: float | None
    "Detokenised sacreBLEU of beam output, or None where it was not asked for."
    examples: tuple[tuple[str, str, str], ...]
    "(source, reference, translation) of a few sentences."


def can_score(corpus: PreparedCorpus, metric: str, say: Callable[[str], None]) -> bool:
    """Whether translations can be written as raw text for BLEU. Where BLEU is the metric, it is an error if not."""
    try:
        return bool(corpus.text)
    except MissingPackage as error:
        if metric == "bleu":
            hint = f"{error.hint}, or choose by cost (--set training.validation_metric=cost)"
            raise UserError(error.problem, where="training.validation_metric", hint=hint) from None
        say(f"validation without BLEU: {error}")
        return False


class Validator:
    """Validates one model on the valid split. `tick` is called between batches and may raise to break off."""

    def __init__(self, corpus: PreparedCorpus, batches: BatchMaker, *, beam: int, with_bleu: bool) -> None:
        self.corpus, self.maker, self.with_bleu = corpus, batches, with_bleu
        self.search = SearchConfig(beam=beam)
        plan = EpochPlan(batches.pairs, Budget(VALIDATION_BATCH_TOKENS, 0, NO_LIMIT), seed=0)
        self.rows = plan.batches(0)

    def run(self, model: TranslationModel, tick: Callable[[], None]) -> Validation:
        """Validate; the model is left in evaluation mode."""
        model.eval()
        cross_entropy, tokens, sentences = 0.0, 0, 0
        device = next(model.parameters()).device
        matrices = model.embeddings
        with torch.inference_mode():
            for rows in self.rows:
                tick()
                batch = self.maker.make(rows).to(device)
                readout = model.readout(batch)
                labels = batch.target_labels()
                costs = chunked_cross_entropy(readout, matrices.output, matrices.output_bias, labels, 0.0)
                cross_entropy += float(costs.cross_entropy)
                tokens, sentences = tokens + batch.num_target_tokens, sentences + len(rows)
        translations = self._translate(model, tick) if self.with_bleu else None
        sources = list(self.corpus.raw_lines("valid", "source"))
        references = list(self.corpus.raw_lines("valid", "target"))
        return Validation(
            cross_entropy=cross_entropy / max(tokens, 1),
            cost=cross_entropy / max(sentences, 1),
            bleu=None if translations is None else self._bleu(translations, references),
            examples=tuple(zip(sources[:2], references[:2], (translations or [])[:2], strict=False)),
        )

    def _bleu(self, translations: list[str], references: list[str]) -> float:
        return bleu(translations, references, validation_options(self.corpus.text.options.target))

    def _translate(self, model: TranslationModel, tick: Callable[[], None]) -> list[str]:
        pairs, vocabulary, text = self.maker.pairs, self.corpus.vocabulary, self.corpus.text
        sources = [self.maker.source_view.from_union(np.asarray(pairs.source(i))) for i in range(len(pairs))]
        lines = []
        wanted = Wanted(progress=lambda _: tick())
        for found in beam_search(model, sources, self.search, wanted):
            ids = self.maker.target_view.to_union(np.asarray(found[0].pieces, dtype=np.int64))
            lines.append(text.text(vocabulary.decode(ids.tolist()), "target"))
        return lines
