"""Models that nmt-export wrote for CTranslate2: its search, our text pipeline round it.

Sources and translations are rows of the vocabulary here and names of pieces there. CTranslate2 keeps no more of a
search than its result, so that what `/explain` and HTML want is asked of it again: see `_explained`.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.conversion.ctranslate2_folder import MAPPING, POSITIONS
from nmt.conversion.exported import RESTORE, WEIGHTS, Exported
from nmt.folder.bundle import VOCABULARY
from nmt.packages import import_package
from nmt.search.arrivals import max_pieces
from nmt.search.hypothesis import Hypothesis
from nmt.serve.batch_lane import BatchLane, Quotas
from nmt.serve.lane import Found, Kind, Lane
from nmt.serve.models import Served
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import EOS, Vocabulary
from nmt.translate.lines import LineReader, VocabularyRows

COMPUTE_TYPES = {"float32": "float32", "bf16": "bfloat16", "int8": "int8"}
"By `search.precision`."
AS_IT_IS = {"length_normalization": "length", "coverage_penalty": 0.0, "repetition_penalty": 1.0}
"""What its search has no other of, or of another meaning. The coverage of its beam search depends on the batch: see
`_explained`."""
WRITTEN = ("allow_unknown", "allow_source_pieces", "replace_unknown")
"Decide what may be written at all, which is in the weights."


@dataclass(frozen=True, kw_only=True)
class ComputeChoice:
    """What CTranslate2 computes with."""

    device: torch.device
    searches: int
    "Side by side."
    threads: int
    "Of each."
    precision: str | None = None
    "Of products; None: what the weights are stored in."


class ServedExport(Served):
    """A folder of CTranslate2."""

    def __init__(
        self, name: str, folder: Path, exported: Exported, search: SearchConfig, computing: ComputeChoice
    ) -> None:
        """search: the folder's settings, and then the user's. Raises UserError where CTranslate2 cannot search so, is
        not installed, or cannot open the folder."""
        check_search(search, exported.search, folder)
        vocabulary = Vocabulary.load(folder / VOCABULARY)
        source, target = vocabulary.source_view(exported.tying.shares_source), exported.union_target
        rows = VocabularyRows(vocabulary, source, vocabulary.target_view(target))
        super().__init__(name, LineReader(TextPipeline.load(folder), rows, search))
        self.folder, self.exported = folder, exported
        self.note, self._translator = opened(folder, computing)
        "The note: why the products are in another precision than asked for, or ''."
        self._sources = _names(folder, "source", rows.source.size)
        self._targets = {piece: row for row, piece in enumerate(_names(folder, "target", rows.target.size))}
        self._end = next(piece for piece, row in self._targets.items() if row == EOS)
        numbered = np.array(vocabulary.encode(self.reader.text.placeholders), dtype=np.int64)
        self._placeholders = frozenset(rows.target.from_union(numbered).tolist())

    def lane(self, kind: Kind) -> Lane:
        """A batch after the other."""
        return BatchLane(self.found, kind)

    def about(self) -> dict[str, Any]:
        """The exported model's tying mode and parameters, and how they are stored."""
        return {
            "name": self.name,
            "source": self.source,
            "target": self.target,
            "tying": self.exported.tying.value,
            "parameters": self.exported.parameters,
            "bytes": (self.folder / WEIGHTS).stat().st_size,
            "engine": "CTranslate2",
            "quantization": self.exported.quantization,
        }

    def found(self, sources: Sequence[np.ndarray], quotas: Quotas, kind: Kind) -> Found:
        """Translate a batch: for each source its hypotheses, best first."""
        search = self.reader.search
        given = [[self._sources[row] for row in source] for source in sources]
        counted = any(quota is not None for quota in quotas)
        results = self._translator.translate_batch(
            given,
            max_batch_size=int(search.shortlist),  # the pieces of a batch's shortlists are everybody's
            beam_size=search.beam,
            num_hypotheses=search.beam if counted else kind.num_best,
            length_penalty=search.length_penalty,
            no_repeat_ngram_size=search.no_repeat_ngram,
            min_decoding_length=search.min_length,
            max_decoding_length=min(max_pieces(kind.longest, search), POSITIONS - 1),
            max_input_length=0,
            use_vmap=search.shortlist,
            return_scores=True,
            return_end_token=True,
            return_attention=kind.attention,
        )
        listed = [[self._hypothesis(one, place, kind) for place in range(len(one.hypotheses))] for one in results]
        pairs = zip(listed, quotas, strict=True)
        found = [self._kept(hypotheses, quota)[: kind.num_best] for hypotheses, quota in pairs]
        return self._explained(given, found) if kind.attention else found

    def _hypothesis(self, result: Any, place: int, kind: Kind) -> Hypothesis:
        names, score = result.hypotheses[place], result.scores[place]
        finished = bool(names) and names[-1] == self._end
        pieces = tuple(self._targets[name] for name in (names[:-1] if finished else names))
        rows = torch.tensor(result.attention[place][: len(pieces)]) if kind.attention else None
        log_prob = score * len(names) ** self.reader.search.length_penalty
        return Hypothesis(pieces=pieces, log_prob=log_prob, score=score, finished=finished, attention=rows)

    def _kept(self, hypotheses: list[Hypothesis], quota: Mapping[int, int] | None) -> list[Hypothesis]:
        """Those first that hold the numbered placeholders as often as they are to: CTranslate2 cannot be told to."""
        if quota is None:
            return hypotheses
        wanted, ours = Counter(quota), self._placeholders
        return sorted(hypotheses, key=lambda one: Counter(row for row in one.pieces if row in ours) != wanted)

    def _explained(self, given: Sequence[Sequence[str]], found: Found) -> Found:
        """With the log-probability of every piece, scored once more since a search keeps only their sum; and with all
        of the attention. Of the first step of a beam search, CTranslate2 tells that of another sentence of the batch:
        it is asked for by itself. That to </s> is what is left."""
        firsts = self._translator.translate_batch(
            given, beam_size=1, max_input_length=0, min_decoding_length=1, max_decoding_length=1, return_attention=True
        )
        pairs = [(source, one) for source, hypotheses in zip(given, found, strict=True) for one in hypotheses]
        names = list(self._targets)
        written = [[names[row] for row in one.pieces] for _, one in pairs]
        scored = iter(self._translator.score_batch([source for source, _ in pairs], written, max_input_length=0))
        return [
            [_with_all(one, next(scored).log_probs, first.attention[0][0]) for one in hypotheses]
            for hypotheses, first in zip(found, firsts, strict=True)
        ]


def _with_all(one: Hypothesis, log_probs: Sequence[float], first: Sequence[float]) -> Hypothesis:
    """first: the attention of the first piece, that to </s> left out."""
    assert one.attention is not None
    weights = one.attention.reshape(-1, len(first))
    if len(weights):
        weights[0] = torch.tensor(first)
    weights = torch.cat([weights, (1 - weights.sum(1, keepdim=True)).clamp(min=0)], 1)
    return dataclasses.replace(one, log_probs=tuple(log_probs[: len(one.pieces) + one.finished]), attention=weights)


def check_search(search: SearchConfig, own: SearchConfig, folder: Path) -> None:
    """Raise a UserError where CTranslate2 cannot search as is asked. own: the folder's settings."""
    for name, only in AS_IT_IS.items():
        if getattr(search, name) != only:
            problem = f"{getattr(search, name)!r}, which CTranslate2 does not have ({folder})"
            raise UserError(problem, where=f"search.{name}", hint=f"--set search.{name}={only}")
    for name in WRITTEN:
        if getattr(search, name) != getattr(own, name):
            hint = "export the model anew with another, or leave it out"
            raise UserError(f"is fixed once a model is exported ({folder})", where=f"search.{name}", hint=hint)
    if search.shortlist and not (folder / MAPPING).exists():
        hint = "make it with nmt-shortlist and export the model again"
        raise UserError(f"no shortlist went along ({MAPPING})", where=folder, hint=hint)


def opened(folder: Path, computing: ComputeChoice) -> tuple[str, Any]:
    """CTranslate2's translator of a folder, and why it computes in another precision than asked for, or ''."""
    ctranslate2 = import_package("ctranslate2", "nmt-serve --export", extra="export")
    note, compute_type = "", "default"
    kind = "cuda" if computing.device.type == "cuda" else "cpu"
    try:
        if computing.precision is not None:
            compute_type = COMPUTE_TYPES[computing.precision]
            if compute_type not in ctranslate2.get_supported_compute_types(kind):
                note, compute_type = f"CTranslate2 has no {computing.precision} on this machine: float32", "float32"
        return note, ctranslate2.Translator(
            str(folder),
            device=kind,
            compute_type=compute_type,
            inter_threads=computing.searches,
            intra_threads=computing.threads,
        )
    except (RuntimeError, ValueError) as error:
        hint = "try --device cpu" if kind == "cuda" else RESTORE
        raise UserError(f"CTranslate2 cannot open it ({error})", where=folder, hint=hint) from None


def _names(folder: Path, side: str, rows: int) -> list[str]:
    """What CTranslate2 calls the pieces of a side, by row."""
    path = next(folder / f"{name}_vocabulary.json" for name in (side, "shared") if _there(folder, name))
    names = json.loads(path.read_text(encoding="utf-8"))
    if len(names) != rows:
        raise UserError(f"{len(names):,} pieces where {VOCABULARY} has {rows:,}", where=path, hint=RESTORE)
    return list(names)


def _there(folder: Path, name: str) -> bool:
    return name == "shared" or (folder / f"{name}_vocabulary.json").exists()
