"""Terms and their translations, given when text is translated: they go through the model as numbered placeholders do.

A file of lines `source, tab, target`. Terms are found as they are spelt, letter by letter, as whole words; of two that
overlap the first, then the longer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.text.pipeline import TextPipeline
from nmt.text.placeholders import NumberedString
from nmt.text.protection import Span, first_of_overlapping
from nmt.text.reversible import UNSPACED

FORM = "a line is a source term, a tab and its translation"
_LETTER = rf"[^\W_{UNSPACED}]"
"A letter or digit of a script that sets spaces between words."


class Glossary:
    """Source terms and what stands for them in the translation."""

    def __init__(self, terms: Mapping[str, str]) -> None:
        self.translations = dict(terms)
        longest_first = sorted(self.translations, key=len, reverse=True)
        self._terms = re.compile("|".join(map(_whole_words, longest_first)) or "(?!)")

    @classmethod
    def load(cls, path: Path | str) -> Glossary:
        """Read a file; a line that is none of a glossary, and one that contradicts another, are UserErrors."""
        path, terms = Path(path), dict[str, str]()
        for number, line in enumerate(read_lines(path), 1):
            if not line.strip():
                continue
            fields = [field.strip() for field in line.split("\t")]
            place = f"{path}:{number}"
            if len(fields) != 2:
                raise UserError(f"{len(fields)} columns", where=place, hint=FORM)
            source, target = fields
            if not source or not target:
                raise UserError(f"no {'target' if source else 'source'} term", where=place, hint=FORM)
            if terms.setdefault(source, target) != target:
                problem = f"{source!r} is {target!r} here and {terms[source]!r} before"
                raise UserError(problem, where=place, hint="leave one of them")
        if not terms:
            raise UserError("no terms", where=path, hint=FORM)
        return cls(terms)

    def check(self, text: TextPipeline) -> None:
        """UserError where the model has no pieces that terms could go through it as."""
        if not text.placeholders:
            problem = "this model has no numbered placeholders, which terms go through a model as"
            raise UserError(
                problem, where="--glossary", hint="prepare its text with nmt-prep --protect and train again"
            )

    def terms(self, text: TextPipeline, line: str) -> list[NumberedString]:
        """The terms in a source line."""
        assert text.numbering is not None
        found = (Span(match.start(), match.end()) for match in self._terms.finditer(line))
        return [
            text.numbering.term(span, self.translations[line[span.start : span.stop]])
            for span in first_of_overlapping(list(found))
        ]


def _whole_words(term: str) -> str:
    """An expression for a term where no letter or digit goes on at its ends, if one stands there."""
    before = f"(?<!{_LETTER})" if re.match(_LETTER, term[0]) else ""
    after = f"(?!{_LETTER})" if re.match(_LETTER, term[-1]) else ""
    return before + re.escape(term) + after
