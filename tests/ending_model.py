"""A Transformer with random weights whose translations end, for text of any pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bpe.codes import MergeTable
from bpe.learn import count_words, learn_merges
from nmt.config import Config, ModelConfig, PrepConfig, SearchConfig
from nmt.data.corpus import PreparedCorpus
from nmt.folder.bundle import BEST, create_folder
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.text.vocabulary import EOS, Vocabulary

LINES = [
    "It's the dog's \"bone\" & the cat's <mat>.",
    "a | b [c] 'd' R&D",
    "the cat sat on the mat, and the dog's bone is red",
    "dogs don't sit on red mats",
]
SEARCH = SearchConfig(allow_unknown=True)


def make_folder(
    folder: Path,
    tokenizer: str,
    subwords: MergeTable | bytes | None,
    *,
    target: str = "en",
    seed: int = 3,
    end: float = 3.0,
    **options: Any,
) -> Path:
    """A Transformer whose text is prepared so, and whose vocabulary is all that LINES are cut into.

    end: added to the bias of </s>.
    """
    kind = "sentencepiece" if isinstance(subwords, bytes) else "none" if subwords is None else "bpe"
    text = TextPipeline(
        TextOptions(source="en", target=target, tokenizer=tokenizer, subwords=kind, **options), subwords
    )
    pieces = dict.fromkeys((piece for line in LINES for piece in text.pieces(line, "source")), 1)
    vocabulary = Vocabulary.from_counts(pieces, pieces)
    model = ModelConfig(architecture="transformer", embedding_size=16, layers=1, heads=2, feedforward_size=16)
    config = Config(prep=PrepConfig(source="en", target=target, tokenizer=tokenizer), model=model, search=SEARCH)
    prepared = folder.parent / f"{folder.name}.prepared"
    prepared.mkdir()
    text.save(prepared)
    create_folder(folder, config, PreparedCorpus(prepared, {}, vocabulary))
    network = build_model(model, VocabularySizes.of(vocabulary), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.4, generator=generator)
        network.embeddings.output_bias[EOS] += end
    save_tensors(folder / BEST, weight_tensors(network), weight_metadata(network))
    return folder


def merges() -> MergeTable:
    text = "It ' s the dog 's \" bone \" & cat <mat> do n't dogs sit mats red [c] on and"
    return learn_merges(count_words([text] * 3), 40)
