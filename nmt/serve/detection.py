"""Which language a text is in: py3langid, among the languages that are served."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nmt.packages import import_package
from nmt.serve.errors import Refused

MAX_CHARACTERS = 4096
"Of a text, that are looked at."


@dataclass(frozen=True)
class Detected:
    """A language and how sure of it one is, 0 to 100."""

    language: str
    confidence: float

    def fields(self) -> dict[str, Any]:
        """As the API writes it."""
        return {"confidence": round(self.confidence, 1), "language": self.language}


class Detector:
    """Loads its model when it is first asked. For several threads; `detect` takes a moment."""

    def __init__(self, codes: Sequence[str]) -> None:
        """codes: of the languages that a text may be in."""
        self._codes = {code.replace("_", "-").split("-")[0].lower(): code for code in reversed(codes)}
        self._identifier: Any = None
        self._lock = threading.Lock()

    def detect(self, text: str) -> list[Detected]:
        """All languages that the text may be in, the likeliest first.

        Raises MissingPackage without py3langid, and Refused where it knows none of the languages.
        """
        if not text.strip():
            return [Detected(code, 0.0) for code in reversed(self._codes.values())]
        with self._lock:
            self._identifier = self._identifier or self._load()
            ranked = self._identifier.rank(text[:MAX_CHARACTERS])
        return [Detected(self._codes[code], 100 * float(probability)) for code, probability in ranked]

    def _load(self) -> Any:
        langid = import_package("py3langid", "detecting languages").langid
        identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        known = sorted(set(identifier.labels) & set(self._codes))
        if not known:
            raise Refused(400, f"these languages cannot be detected: {', '.join(self._codes.values())}")
        identifier.set_languages(known)
        return identifier
