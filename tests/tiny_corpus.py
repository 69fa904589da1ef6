"""A parallel corpus small enough to learn in seconds: English-like sentences and their word-by-word German."""

from __future__ import annotations

import random
from pathlib import Path

from nmt.cli import prep

LEXICON = {
    "the": "die", "a": "eine", "red": "rote", "small": "kleine", "old": "alte", "cat": "Katze", "dog": "Hündin",
    "bird": "Amsel", "sees": "sieht", "hears": "hört", "finds": "findet", "today": "heute", "here": "hier",
    "Berlin": "Berlin", "Anna": "Anna",
}  # fmt: skip


def sentence(chance: random.Random) -> tuple[str, str]:
    """A pair; the verb keeps its place and the adverb moves to the front of the German."""

    def phrase() -> list[str]:
        if chance.random() < 0.2:
            return [chance.choice(["Anna", "Berlin"])]
        adjectives = chance.sample(["red", "small", "old"], chance.randint(0, 2))
        return [chance.choice(["the", "a"]), *adjectives, chance.choice(["cat", "dog", "bird"])]

    subject, verb, object_, adverb = phrase(), chance.choice(["sees", "hears", "finds"]), phrase(), []
    if chance.random() < 0.5:
        adverb = [chance.choice(["today", "here"])]
    german = [LEXICON[word] for word in [*adverb, *subject, verb, *object_]]
    return " ".join([*subject, verb, *object_, *adverb]) + ".", " ".join(german) + "."


def make_corpus(folder: Path, *, pairs: int = 600, seed: int = 1) -> Path:
    """Write train, valid and test of en and de into `folder`."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", pairs), ("valid", 30), ("test", 30)):
        lines = [sentence(chance) for _ in range(count)]
        for side, language in enumerate(("en", "de")):
            text = "".join(pair[side] + "\n" for pair in lines)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return folder


def make_prepared(folder: Path, *, pairs: int = 600, seed: int = 1) -> Path:
    """Write `folder`/corpus and `folder`/prepared, with words as spaces part them; returns the latter."""
    corpus, prepared = make_corpus(folder / "corpus", pairs=pairs, seed=seed), folder / "prepared"
    words = ["--corpus", str(corpus), "--prepared", str(prepared), "--joint-bpe", "60", "--tokenizer", "none"]
    assert prep.main([*words, "--quiet"]) == 0
    return prepared
