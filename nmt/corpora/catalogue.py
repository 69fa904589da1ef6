"""The catalogue: every corpus that nmt-data knows, by name."""

from __future__ import annotations

import difflib

from bpe.errors import UserError
from nmt.corpora import bbc, homeassistant, imdb, libreoffice, multi30k, ptb, text8, wikitext, wmt, wordsimilarity
from nmt.corpora.records import Corpus

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        homeassistant.CORPUS,
        multi30k.CORPUS,
        libreoffice.CORPUS,
        *wmt.CORPORA,
        wikitext.CORPUS,
        ptb.CORPUS,
        text8.CORPUS,
        imdb.CORPUS,
        bbc.CORPUS,
        wordsimilarity.CORPUS,
    )
}


def find(name: str) -> Corpus:
    """The corpus of this name; a UserError suggests the nearest one."""
    if name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(name, CORPORA, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(CORPORA)}"
    raise UserError(f"there is no corpus named {name!r}", hint=hint)
