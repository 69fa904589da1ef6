"""Text drawn from a language model, word by word."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.folder.language import LanguageBundle
from nmt.models.language import LanguageState
from nmt.text.words import END


@dataclass(frozen=True, kw_only=True)
class Draw:
    """How words are drawn."""

    words: int = 100
    "At most, in a text; it ends with its line."
    temperature: float = 1.0
    "Below 1 likely words become likelier, above 1 the others do; 0: always the likeliest."
    top_k: int = 0
    "Of this many of the likeliest words; 0: of all."
    unknown: bool = False
    "Write <unk>, too."
    seed: int = 1

    def __post_init__(self) -> None:
        for name, good in (
            ("words", self.words >= 1),
            ("temperature", self.temperature >= 0),
            ("top_k", self.top_k >= 0),
        ):
            if not good:
                least = 1 if name == "words" else 0
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{getattr(self, name)} is out of range: it must be {least} or more", where=flag)


class Generator:
    """Continues texts. Draws are a function of the seed and of what was drawn before."""

    def __init__(self, bundle: LanguageBundle, draw: Draw) -> None:
        self.bundle, self.draw = bundle, draw
        self.random = torch.Generator().manual_seed(draw.seed)

    def line(self, prompt: str, where: object = "the prompt") -> str:
        """The prompt and what follows it, up to the end of the line."""
        model = self.bundle.model.eval()
        rows = self.bundle.rows(prompt, where)
        with torch.inference_mode(), model.in_float32():
            scores, state = self._read([END, *rows], model.initial_state(1))
            for _ in range(self.draw.words):
                row = self._next(scores)
                if row == END:
                    break
                rows.append(row)
                scores, state = self._read([row], state)
        return self.bundle.join([self.bundle.vocabulary.name(row) for row in rows])

    def _read(self, rows: list[int], state: LanguageState) -> tuple[Tensor, LanguageState]:
        """Scores of the next word, [C], and the state."""
        model = self.bundle.model
        words = torch.tensor(rows, dtype=torch.int64, device=model.device)[:, None]
        features = model.features(words, state)
        return model.embeddings.scores(features.rows[-1, 0]).float().cpu(), features.state

    def _next(self, scores: Tensor) -> int:
        unknown = self.bundle.vocabulary.unknown
        if unknown is not None and not self.draw.unknown:
            scores[unknown] = -torch.inf
        if self.draw.temperature == 0:
            return int(scores.argmax())
        if 0 < self.draw.top_k < len(scores):
            least = scores.topk(self.draw.top_k).values[-1]
            scores = scores.masked_fill(scores < least, -torch.inf)
        chances = torch.softmax(scores.double() / self.draw.temperature, -1)
        return int(torch.multinomial(chances, 1, generator=self.random))
