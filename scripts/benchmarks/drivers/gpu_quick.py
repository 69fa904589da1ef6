"""Times an update and a step of search of the version that Python finds; prints one line of JSON.

Called as a file, so that it also drives versions that lack it: it uses what they have had for long.
"""

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from nmt.config import ModelConfig, SearchConfig, TrainingConfig
from nmt.models.inference import for_search
from nmt.search.beam import beam_search
from scripts.benchmarks.train_parts import Training, Work
from scripts.benchmarks.train_text import made_up

BEAM = 12


def wait(device: torch.device) -> float:
    """The time once everything has been done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Measure and print."""
    spec = json.loads(sys.argv[1])
    device = torch.device(spec["device"])
    if spec["threads"]:
        torch.set_num_threads(spec["threads"])
    with tempfile.TemporaryDirectory() as folder:
        text = made_up(Path(folder), spec["pieces"], min(spec["pairs"], 4000), spec["median_length"])
        model = ModelConfig(
            embedding_size=spec["embedding"], hidden_size=spec["hidden"], dropout=0.0, initialization="dl4mt"
        )
        training = TrainingConfig(
            optimizer="adadelta", learning_rate=1.0, precision="bf16", ema=0.0, label_smoothing=0.0,
            batch_tokens=0, batch_sentences=spec["sentences"],
        )  # fmt: skip
        work = Work(
            text=text, model=model, training=training, device=device, threads=spec["threads"] or 1,
            updates=spec["updates"],
        )  # fmt: skip
        best = dataclasses.replace(work, recorded=True) if records(device) else work
        found = timed_updates(Training(best), device) | timed_search(Training(work), spec)
    print(json.dumps(found))


def records(device: torch.device) -> bool:
    """Whether this version plays updates again as CUDA graphs, and can do so here."""
    try:
        from nmt.layers.triton.available import what_is_missing
    except ImportError:  # an older version
        return False
    return device.type == "cuda" and not what_is_missing()


def timed_updates(training: Training, device: torch.device) -> dict[str, float]:
    """Of a round after those that do not count."""
    batches = list(training.stream())
    seconds = 0.0
    for _ in range(getattr(training, "warm_rounds", 1) + 1):
        started = wait(device)
        for batch in batches:
            training.update(batch)
        seconds = wait(device) - started
    pieces = sum(batch.num_target_tokens for batch in batches)
    return {"update": 1000 * seconds / len(batches), "pieces_per_second": pieces / seconds}


def timed_search(training: Training, spec: dict[str, int]) -> dict[str, float]:
    """Of sentences of one length, to translations as long."""
    length, device = spec["median_length"], training.work.device
    model = for_search(training.model.eval(), "bf16")
    sources = [np.arange(3, 3 + length, dtype=np.int64) for _ in range(spec["search_sentences"] // 8 + 1)]
    config = SearchConfig(beam=BEAM, min_length=length, max_length=length)
    seconds = 0.0
    for _ in range(2):
        started = wait(device)
        beam_search(model, sources, config)
        seconds = wait(device) - started
    return {"search_step": 1000 * seconds / (length + 1)}


if __name__ == "__main__":
    main()
