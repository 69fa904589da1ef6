"""Our own model: a model folder with fresh weights, translated by `nmt.translate.translator`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from driving import Loaded, Spec, drive, read_lines
from our_model import model_config

from nmt.config import Config, PrepConfig, SearchConfig
from nmt.data.corpus import ID_TYPE, OFFSET_TYPE
from nmt.device import keep_freed_memory, pick_device
from nmt.folder.bundle import BEST, describe_folder, load_bundle
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.layers.tying import unique_parameters
from nmt.models.build import VocabularySizes, build_model
from nmt.shortlist.table import Shortlist, ShortlistOptions
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary
from nmt.translate.translator import Translator


def make(spec: Spec) -> None:
    """A model folder as nmt-train leaves it, with a shortlist of random pieces."""
    folder, words = Path(spec["folder"]), read_lines(spec["words"])
    counts = {word: len(words) - rank for rank, word in enumerate(words)}
    vocabulary = Vocabulary.from_counts(counts, counts)
    config = Config(
        prep=PrepConfig(source="src", target="trg", tokenizer="none"),
        model=model_config(spec),
    )
    options = TextOptions(source="src", target="trg", tokenizer="none", subwords="none")
    TextPipeline(options, None).save(folder)
    describe_folder(folder, config, vocabulary, {})
    model = build_model(config.model, VocabularySizes.of(vocabulary))
    save_tensors(folder / BEST, weight_tensors(model), weight_metadata(model))
    _make_shortlist(folder, vocabulary)


def _make_shortlist(folder: Path, vocabulary: Vocabulary) -> None:
    options, size = ShortlistOptions(), vocabulary.size
    suggestions = np.random.default_rng(1).integers(NUM_SPECIALS, size, (size, options.per_piece))
    suggestions = [np.unique(row) for row in suggestions]
    offsets = np.cumsum([0, *map(len, suggestions)])
    frequent = np.arange(NUM_SPECIALS, min(NUM_SPECIALS + options.frequent, size))
    arrays = np.concatenate(suggestions).astype(ID_TYPE), offsets.astype(OFFSET_TYPE), frequent.astype(ID_TYPE)
    Shortlist(vocabulary, *arrays, options).save(folder)


def load(spec: Spec) -> Loaded:
    """A `Translator` for the asked variant, with the asked number of sentences searched at once."""
    keep_freed_memory()
    longest = max(len(line.split()) for line in read_lines(spec["source"]))
    search = SearchConfig(
        beam=spec["beam"],
        min_length=spec["length"],
        max_length=spec["length"],
        batch_tokens=spec["batch"] * (longest + 1),
        **spec["search"],
    )
    bundle = load_bundle(Path(spec["folder"]), pick_device(spec["device"]))
    translator = Translator(bundle, search)

    def translate(lines: list[str]) -> list[str]:
        batches = (lines[start : start + spec["batch"]] for start in range(0, len(lines), spec["batch"]))
        return [translation for batch in batches for translation in translator.translate(batch)]

    return Loaded(
        translate=translate,
        parameters=sum(parameter.numel() for parameter in unique_parameters(bundle.model).values()),
        rows=bundle.vocabulary.size,
        decoder=translator.searcher.model,
        step="step",
    )


if __name__ == "__main__":
    drive(make, load)
