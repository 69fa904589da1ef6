"""scripts/bench NAME [options]: runs the benchmark of that name."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bpe.command import run
from bpe.errors import UserError

Benchmark = Callable[[list[str]], None]


def _train(argv: list[str]) -> None:
    from scripts.benchmarks import train

    train.main(argv)


def _step(argv: list[str]) -> None:
    from scripts.benchmarks import train_step

    train_step.main(argv)


def _language(argv: list[str]) -> None:
    from scripts.benchmarks import language

    language.main(argv)


def _gpu(argv: list[str]) -> None:
    from scripts.benchmarks import gpu

    gpu.main(argv)


def _bpe(argv: list[str]) -> None:
    from scripts.benchmarks import subwords

    subwords.main(argv)


def _translate(argv: list[str]) -> None:
    from scripts.benchmarks import translate

    translate.main(argv)


def _data(argv: list[str]) -> None:
    from scripts.benchmarks import epoch_plan

    epoch_plan.main(argv)


def _busy(argv: list[str]) -> None:
    from scripts.benchmarks import busy

    busy.main(argv)


def _products(argv: list[str]) -> None:
    from scripts.benchmarks import products

    products.main(argv)


def _text(argv: list[str]) -> None:
    from scripts.benchmarks import round_trip

    round_trip.main(argv)


def _serve(argv: list[str]) -> None:
    from scripts.benchmarks import serve

    serve.main(argv)


def _word2vec(argv: list[str]) -> None:
    from scripts.benchmarks import word2vec

    word2vec.main(argv)


def _export(argv: list[str]) -> None:
    from scripts.benchmarks import exported

    exported.main(argv)


# Imported when called: one benchmark need not have the packages of another.
BENCHMARKS: dict[str, tuple[Benchmark, str]] = {
    "train": (_train, "training speed and memory against fairseq, OpenNMT-py and JoeyNMT; the parts of our update"),
    "step": (_step, "the training step: plain steps, the hand-written backward, bfloat16 products"),
    "lm": (_language, "training of language models against torch.nn.LSTM in PyTorch's own example"),
    "gpu": (_gpu, "all that needs a GPU: checks, training at Table 8's size, memory, search"),
    "translate": (_translate, "search against fairseq, OpenNMT-py and JoeyNMT; BLEU of bf16, int8 and shortlist"),
    "products": (_products, "the products of an update, each in every way this processor has"),
    "serve": (
        _serve,
        "nmt-serve with many clients against nmt-translate; clients that vanish, send nonsense, are slow",
    ),
    "export": (_export, "CTranslate2 beside nmt-translate on the same weights: speed, and the same translations"),
    "busy": (_busy, "preparation, training and translation on a quiet machine and beside busy programs"),
    "data": (_data, "planning epochs of 40 million pairs: seconds, memory, padding"),
    "text": (_text, "lines to words and back: what does not come back, words a second"),
    "word2vec": (_word2vec, "skip-gram with negative sampling against gensim"),
    "bpe": (_bpe, "learning and applying BPE, nmt-prep and memory against other tools"),
}


def main(argv: list[str]) -> None:
    """Find the benchmark and hand it the rest of the command line."""
    if argv and argv[0] in ("-h", "--help"):
        width = max(map(len, BENCHMARKS))
        print("usage: scripts/bench NAME [options]\n")
        print("\n".join(f"  {name:<{width}}  {about}" for name, (_, about) in BENCHMARKS.items()))
        return
    if not argv or argv[0] not in BENCHMARKS:
        problem = f"no benchmark {argv[0]!r}" if argv else "which benchmark?"
        raise UserError(problem, hint=f"give one of {', '.join(BENCHMARKS)} (scripts/bench NAME --help)")
    benchmark, _ = BENCHMARKS[argv[0]]
    benchmark(argv[1:])


if __name__ == "__main__":
    sys.exit(run("scripts/bench", main))
