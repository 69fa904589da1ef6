"""What tying does to the embeddings of trained models: rank correlations of their similarities, and neighbours.

Press & Wolf (2017) ask of language models whether a tied embedding is more like the untied model's input embedding or
its output embedding (Table 4). Here the same is asked of translation models: for each two vocabulary matrices,
Spearman's rank correlation of the cosine similarities of all pairs of the pieces that both have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bpe.errors import UserError
from nmt.evaluate.rankcorrelation import MIN_PIECES
from nmt.folder.bundle import Bundle, load_bundle, read_config
from nmt.report.document import Heading, Part, Table, Text
from nmt.report.tables import Rows
from nmt.reproduce.correlations import Correlation, check_memory, correlations
from nmt.reproduce.embeddings import (
    MATRICES,
    OUTPUT,
    TARGET_INPUT,
    Matrix,
    ModelName,
    load_vocabulary,
    matrices_of,
    name_models,
)
from nmt.reproduce.neighbours import Alignment, Neighbourhood, SharedSpace, frequent_words, sides_of
from nmt.text.pipeline import Side
from nmt.tying import Tying

CLOSE = 0.05
"Two correlations that differ by less are called alike."
TITLE = "What tying does to the embeddings"


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What to compare and what to show."""

    pieces: int = 4000
    "The most frequent pieces of each comparison: N have N (N - 1) / 2 pairs."
    neighbours: int = 5
    "Pieces of the other language to show for each word."
    words: int = 20
    "Words of each language to show neighbours of, the most frequent ones."
    ask: tuple[str, ...] = ()
    "Pieces to show neighbours of instead."

    def __post_init__(self) -> None:
        for name, least in (("pieces", MIN_PIECES), ("neighbours", 1), ("words", 0)):
            value = getattr(self, name)
            if value < least:
                raise UserError(f"{value}, but the least is {least}", where=f"--{name}", hint="give a larger number")


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Neighbours across the languages in one model, or a note why there are none to show."""

    model: str
    note: str = ""
    alignment: Alignment | None = None
    neighbourhoods: tuple[Neighbourhood, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """The whole result. source, target: language codes. vocabulary: its fingerprint."""

    source: str
    target: str
    vocabulary: str
    options: StudyOptions
    models: tuple[ModelName, ...]
    correlations: tuple[Correlation, ...]
    neighbours: tuple[Neighbours, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        body = dataclasses.asdict(self)
        for model in body["models"]:
            model |= {"folder": str(model["folder"]), "tying": model["tying"].value}
        return body | {"readings": list(self.readings())}

    def readings(self) -> Iterator[str]:
        """The paper's question, answered for each tied model beside each untied one."""
        found = {(c.first_model, c.first_matrix, c.second_model, c.second_matrix): c for c in self.correlations}
        found |= {(*key[2:], *key[:2]): c for key, c in found.items()}
        for tied in (model for model in self.models if model.tying is not Tying.UNTIED):
            for untied in (model for model in self.models if model.tying is Tying.UNTIED):
                key = tied.name, OUTPUT[tied.tying], untied.name
                as_input, as_output = found[*key, TARGET_INPUT], found[*key, OUTPUT[Tying.UNTIED]]
                if as_input.rho is not None and as_output.rho is not None:
                    values = {"target input": as_input.rho, "output": as_output.rho}
                    pieces = f"{as_input.num_pieces:,} pieces of the {as_input.domain}"
                    yield f"The tied embedding of {tied.name} is {_likeness(values, untied.name)}, over {pieces}."


def _likeness(values: dict[str, float], untied: str) -> str:
    more, less = sorted(values, key=lambda name: -values[name])
    first, second = (f"the {name} embedding (rho {values[name]:z.3f})" for name in (more, less))
    if values[more] - values[less] < CLOSE:
        return f"about as like {first} as {second} of {untied}"
    return f"more like {first} than {second} of {untied}"


def study(folders: Sequence[Path], options: StudyOptions) -> Study:
    """Compare all vocabulary matrices of the model folders, and look for neighbours in the three-way ones.

    The folders must share their vocabulary. One whole model is in memory at a time, and at most
    correlations.MEMORY_LIMIT of ranks. Whatever is not a whole model folder is a UserError.
    """
    models = name_models(folders)
    vocabulary = load_vocabulary(models)
    check_memory(min(options.pieces, vocabulary.size), sum(len(MATRICES[model.tying]) for model in models))
    if options.ask and not any(model.tying.shares_source for model in models):
        raise UserError("no three-way model among these", where="--word", hint="only its languages share one space")
    asked = sides_of(options.ask, vocabulary)
    matrices: list[Matrix] = []
    neighbours = []
    for model in models:
        bundle = load_bundle(model.folder, torch.device("cpu"))
        matrices += matrices_of(bundle, model, options.pieces)
        neighbours.append(_neighbours(bundle, model, options, asked))
        del bundle  # before the next one is loaded
    languages = read_config(folders[0]).prep
    return Study(
        source=languages.source or "source",
        target=languages.target or "target",
        vocabulary=vocabulary.fingerprint,
        options=options,
        models=tuple(models),
        correlations=tuple(correlations(matrices)),
        neighbours=tuple(neighbours),
    )


def _neighbours(
    bundle: Bundle, model: ModelName, options: StudyOptions, asked: Sequence[tuple[Side, str]]
) -> Neighbours:
    if not model.tying.shares_source:
        note = "Source and target are not one space here: a cosine between different matrices means nothing."
        return Neighbours(model=model.name, note=note)
    if not (bundle.vocabulary.source_only and bundle.vocabulary.target_only):
        return Neighbours(model=model.name, note="One of the languages has no pieces of its own.")
    space = SharedSpace.of(bundle)
    sentencepiece = bundle.text.options.subwords == "sentencepiece"
    shown = asked or frequent_words(bundle.vocabulary, options.words, sentencepiece=sentencepiece)
    return Neighbours(
        model=model.name,
        alignment=space.alignment(options.pieces),
        neighbourhoods=tuple(space.neighbourhood(side, word, options.neighbours) for side, word in shown),
    )


def study_parts(study: Study, level: int = 2) -> list[Part]:
    """The study as parts of a report. level: of its headings."""
    parts: list[Part] = []
    for section in _sections(study):
        parts += [Heading(section.heading, level), *map(Text, section.before)]
        parts += [Table(section.header, section.rows, section.align)] if section.rows else []
        parts += map(Text, section.after)
    return parts


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A heading, paragraphs, a table, paragraphs: all plain text."""

    heading: str
    before: list[str]
    header: Sequence[str]
    rows: Rows
    align: str
    after: list[str]


def _sections(study: Study) -> Iterator[_Section]:
    if study.correlations:
        yield _correlation_section(study)
    for found in study.neighbours:
        yield _neighbour_section(study, found)


def _correlation_section(study: Study) -> _Section:
    rows = []
    for c in study.correlations:
        names = (c.first_model, c.first_matrix, c.second_model, c.second_matrix)
        rho = "undefined" if c.rho is None else f"{c.rho:z.3f}"
        rows.append((*names, c.domain, f"{c.num_pieces:,}", rho, "same" if c.same_start else ""))
    return _Section(
        heading="Rank correlations of similarities",
        before=[
            "Spearman's rho of the cosine similarities of all pairs of pieces, as in Press & Wolf (2017), Table 4: 1 "
            "where two matrices put all pairs in one order, 0 where their orders have nothing to do with each other. "
            f"Of more than {study.options.pieces:,} pieces, each part of the vocabulary gives the same share of its "
            "rows, the most frequent ones. Start: both had the same values before training (same seed), which alone "
            "makes them alike."
        ],
        header=("model", "matrix", "model", "matrix", "over", "pieces", "rho", "start"),
        rows=rows,
        align="lllllrrl",
        after=[
            *study.readings(),
            "Press & Wolf (2017) find of language models that the tied embedding is more like the output embedding.",
        ],
    )


def _neighbour_section(study: Study, found: Neighbours) -> _Section:
    language = {"source": study.source, "target": study.target}
    return _Section(
        heading=f"Neighbours across {study.source} and {study.target}: {found.model}",
        before=[found.note] if found.note else [],
        header=("only in", "piece", "nearest in the other language alone"),
        rows=[
            (language[at.side], at.piece, ", ".join(f"{near.piece} {near.cosine:.2f}" for near in at.nearest))
            for at in found.neighbourhoods
        ],
        align="lll",
        after=_alignment_words(found.alignment, study) if found.alignment else [],
    )


def _alignment_words(found: Alignment, study: Study) -> list[str]:
    return [
        "Cosines are of rows less the mean row of their part, which rare pieces share. So measured, a piece only in "
        f"{study.source} ({found.num_source:,}) and its nearest only in {study.target} ({found.num_target:,}) have "
        f"{found.centred_nearest:.3f} on average, where chance gives {found.chance:.3f} (dimensions shuffled): "
        "neighbours tell of the languages as far as they are nearer than chance. Of the rows as they are, the nearest "
        f"have {found.nearest:.3f} and all pairs {found.random:.3f}."
    ]
