"""Our own model, trained by what nmt-train's loop calls: batches of `nmt.data.feed`, updates of `nmt.training.step`."""

from __future__ import annotations

from pathlib import Path

from metering import Counts, Meter, Spec, drive
from our_model import model_config

from nmt.config import TrainingConfig
from nmt.data.corpus import PreparedCorpus
from nmt.data.feed import Feed
from nmt.data.position import Position
from nmt.data.prefetch import prefetched
from nmt.device import keep_freed_memory, pick_device
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.translation.objective import TranslationObjective
from nmt.text.vocabulary import SourceView, TargetView, Vocabulary
from nmt.training.step import Updater


def make(spec: Spec) -> None:
    """Nothing: the text lies there as ids."""


def train(spec: Spec, limit: int, meter: Meter) -> None:
    """Updates as nmt-train makes them, the largest batch first, without validation and moving average."""
    rows, device = spec["rows"], pick_device(spec["device"])
    keep_freed_memory()
    model = build_model(model_config(spec), VocabularySizes(rows, rows, rows)).to(device)
    settings = TrainingConfig(
        precision=spec["variant"]["precision"],
        fast=spec["variant"]["fast"],
        learning_rate=spec["learning_rate"],
        label_smoothing=spec["label_smoothing"],
        batch_tokens=limit,
        part_tokens=spec["part_tokens"],
        ema=0,
    )
    corpus = PreparedCorpus(Path(spec["text"]), {"splits": {"train": {}}}, Vocabulary((), (), ()))
    feed = Feed(corpus, settings, (SourceView(rows), TargetView(first=rows, gap=0, size=rows)))
    updater = Updater(model, settings, TranslationObjective(settings))
    source_lengths = feed.maker.pairs.source_lengths + 1
    if not meter.planning:
        updater.try_largest(feed.largest().to(device))
    batches = prefetched(feed.stream(Position(0, 0, 0)), device)
    for number, (_, batch) in enumerate(batches, 1):
        counts = Counts(
            source=int(source_lengths[list(batch.pairs)].sum()),
            target=batch.num_target_tokens,
            positions=batch.target.numel(),
        )
        if meter.begin(model, counts):
            updater.begin([batch], number)
            if not updater.deferred or number % settings.log_every == 0:
                updater.read()


if __name__ == "__main__":
    drive(make, train)
