"""Where things are, and what computes: the sections paths and runtime."""

from __future__ import annotations

from dataclasses import dataclass

from nmt.config.checks import choice, require


@dataclass(frozen=True, kw_only=True)
class PathsConfig:
    """The three folders of the flow: corpus/ -> prepared/ -> model/."""

    corpus: str = "corpus"
    "Folder with train.LANG, valid.LANG and, if there is one, test.LANG, or as train.en-de.tsv or .tmx."
    prepared: str = "prepared"
    "Folder nmt-prep writes and nmt-train reads."
    model: str = "model"
    "Folder nmt-train writes; the only one nmt-translate reads."
    start: str | None = None
    "Model folder whose weights, architecture and search settings nmt-train starts from; None: weights at random."
    embeddings: str | None = None
    "File of vectors in word2vec's text format from which rows of the vocabulary start; None: from none."


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where to compute."""

    device: str = "auto"
    "auto (cuda, else mps, else cpu), cpu, cuda or mps."
    threads: int = 0
    "CPU threads; 0: as many as there are cores for this process. Their number decides how sums are rounded."

    def __post_init__(self) -> None:
        choice("runtime.device", self.device, ("auto", "cpu", "cuda", "mps"))
        require(self.threads >= 0, "runtime.threads", self.threads, "0 or more")
