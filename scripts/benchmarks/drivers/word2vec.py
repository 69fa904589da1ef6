"""Trains word2vec once, by our toolkit or by gensim, as the JSON of the command line says; prints what it took."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def ours(order: dict[str, Any]) -> float:
    """Prints nothing; returns the running words of the pass."""
    import torch

    from nmt.config import Word2VecConfig
    from nmt.word2vec.training import train
    from nmt.word2vec.words import read_words

    torch.set_num_threads(order["threads"])
    text = read_words([Path(order["text"])], min_count=order["min_count"], quiet=True)
    names = ("size", "window", "negatives", "subsample", "min_count")
    options = Word2VecConfig(passes=1, **{name: order[name] for name in names})
    with timed(order):
        train(text, options, tied=False, seed=1, label="", quiet=True)
    return float(len(text.ids))


def gensim(order: dict[str, Any]) -> float:
    """The same by gensim's Word2Vec."""
    from gensim.models import Word2Vec
    from gensim.models.word2vec import LineSentence

    model = Word2Vec(
        sg=1,
        hs=0,
        seed=1,
        vector_size=order["size"],
        window=order["window"],
        negative=order["negatives"],
        sample=order["subsample"],
        min_count=order["min_count"],
        workers=order["threads"],
    )
    lines = LineSentence(order["text"])
    model.build_vocab(lines)
    with timed(order):
        model.train(lines, total_examples=model.corpus_count, epochs=1)
    return float(sum(model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key))


class timed:  # noqa: N801 (reads as a statement)
    """Notes seconds and cpu_seconds of its body in the order."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order

    def __enter__(self) -> None:
        self.started = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.order["seconds"] = time.perf_counter() - self.started[0]
        self.order["cpu_seconds"] = time.process_time() - self.started[1]


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    words = {"ours": ours, "gensim": gensim}[wanted["tool"]](wanted)
    print(json.dumps({"words": words, "seconds": wanted["seconds"], "cpu_seconds": wanted["cpu_seconds"]}))
