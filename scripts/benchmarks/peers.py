"""Commands for the tools that have none: Hugging Face tokenizers and sentencepiece, file to file as the others.

python -m scripts.benchmarks.peers ACTION ...; started by the benchmarks, one process a measurement.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any

END = "</w>"
CHUNK_LINES = 10_000
CHUNK_WORDS = 100_000


def hf_learn(wanted: argparse.Namespace) -> None:
    """Text, or counts as subword-nmt reads them (as text again: the library takes nothing else), to a tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(vocab_size=wanted.size, min_frequency=2, end_of_word_suffix=END, show_progress=False)  # type: ignore[call-arg]
    if wanted.counts:
        tokenizer.train_from_iterator(_spelt_out(wanted.input), trainer)
    else:
        tokenizer.train([wanted.input], trainer)
    tokenizer.save(wanted.output, pretty=False)


def _spelt_out(counts: str) -> Iterator[str]:
    with open(counts, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            word, _, number = line.rpartition(" ")
            left = int(number)
            while left:
                times = min(left, CHUNK_WORDS)
                yield f"{word} " * times
                left -= times


def hf_from_codes(wanted: argparse.Namespace) -> None:
    """A tokenizer with the merges of subword-nmt's file that knows all characters of a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    with open(wanted.codes, encoding="utf-8", newline="\n") as lines:
        next(lines)
        merges = [(first, second) for first, _, second in (line.removesuffix("\n").partition(" ") for line in lines)]
    with open(wanted.input, encoding="utf-8", newline="\n") as lines:
        characters = sorted(set().union(*lines) - {" ", "\n"})
    symbols = [*characters, *(f"{character}{END}" for character in characters), *(a + b for a, b in merges)]
    vocabulary = {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer.save(wanted.output, pretty=False)


def hf_apply(wanted: argparse.Namespace) -> None:
    """Segment in subword-nmt's notation. The number of threads is set by the environment."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(wanted.model)

    symbols = sorted(tokenizer.get_vocab().items(), key=itemgetter(1))
    pieces = [symbol.removesuffix(END) + ("" if symbol.endswith(END) else "@@") for symbol, _ in symbols]

    def segment(lines: list[str]) -> Iterator[str]:
        for encoding in tokenizer.encode_batch_fast(lines, add_special_tokens=False):  # has ids, but no tokens
            yield " ".join([pieces[number] for number in encoding.ids])

    _map_lines(segment, wanted)


def sp_learn(wanted: argparse.Namespace) -> None:
    """Text, or lines of word, tab, count, to a sentencepiece BPE model."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        input=wanted.input,
        input_format="tsv" if wanted.counts else "text",
        model_prefix=wanted.output,
        model_type="bpe",
        vocab_size=wanted.size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentence_length=1 << 20,
        num_threads=wanted.workers,
        minloglevel=2,
    )


def sp_apply(wanted: argparse.Namespace) -> None:
    """Segment into sentencepiece's pieces with a space between each two."""
    import sentencepiece

    processor: Any = sentencepiece.SentencePieceProcessor(model_file=wanted.model)
    encode = partial(processor.encode, out_type=str, num_threads=wanted.workers)
    _map_lines(lambda lines: map(" ".join, encode(lines)), wanted)


def _map_lines(segment: Any, wanted: argparse.Namespace) -> None:
    with (
        open(wanted.input, encoding="utf-8", newline="\n") as lines,
        open(wanted.output, "w", encoding="utf-8", newline="\n") as output,
    ):
        while chunk := [line.removesuffix("\n") for line in islice(lines, CHUNK_LINES)]:
            output.write("".join(f"{line}\n" for line in segment(chunk)))


ACTIONS = {
    "hf-learn": hf_learn,
    "hf-from-codes": hf_from_codes,
    "hf-apply": hf_apply,
    "sp-learn": sp_learn,
    "sp-apply": sp_apply,
}


def main(argv: list[str]) -> None:
    """One action."""
    parser = argparse.ArgumentParser(prog="peers", description=__doc__)
    parser.add_argument("action", choices=ACTIONS)
    for flag in ("--input", "--output", "--codes", "--model"):
        parser.add_argument(flag)
    parser.add_argument("--size", type=int, help="vocabulary to learn, single symbols included")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--counts", action="store_true", help="--input holds words and their counts")
    wanted = parser.parse_args(argv)
    ACTIONS[wanted.action](wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
