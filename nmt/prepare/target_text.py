"""Running text prepared as a translation model's targets are, so that a language model can join in its search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import atomic_write
from nmt.data.corpus import VOCABULARY_FILE
from nmt.prepare.like import text_hash
from nmt.text.options import TEXT_FILE
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import Vocabulary
from nmt.text.words import WordVocabulary


@dataclass(frozen=True)
class TargetText:
    """The target side of a model folder, or of the prepared data that it was trained on: either says all of it."""

    folder: Path
    text: TextPipeline
    vocabulary: WordVocabulary

    @classmethod
    def read(cls, folder: Path | str) -> TargetText:
        """Read a folder; one that holds no translation model's text is a UserError."""
        folder = Path(folder)
        missing = [name for name in (TEXT_FILE, VOCABULARY_FILE) if not (folder / name).is_file()]
        if missing:
            problem = f"holds no translation model (no {missing[0]} in it)" if folder.is_dir() else "no such folder"
            raise UserError(problem, where=folder, hint="name a model folder, or its prepared data, with --like")
        vocabulary = WordVocabulary.of_target(Vocabulary.load(folder / VOCABULARY_FILE))
        return cls(folder, TextPipeline.load(folder), vocabulary)

    @property
    def language(self) -> str:
        """The target language, as the user calls it."""
        return self.text.options.target

    def described(self) -> dict[str, str]:
        """For the manifest: which text and which vocabulary were the pattern."""
        return {"vocabulary": self.vocabulary.fingerprint, "text": text_hash(self.folder)}

    def copy_text(self, folder: Path) -> None:
        """Put the files that say how text is cut into a folder, as they are."""
        for path in TextPipeline.files(self.folder):
            with atomic_write(folder / path.name) as stream:
                stream.write(path.read_bytes())
