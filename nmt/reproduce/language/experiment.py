"""A comparison of language models on disk: its folder, its runs, and that a folder holds one comparison only.

out/   experiment.json         what is compared
       prepared/               the text, where it was prepared here
       models/ROW-SEED/        model folders; scores.json in each once it is scored
       logs/ROW-SEED.log       what each run said
       report.{md,json,html}   and the pictures
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from bpe.textfiles import write_text
from nmt.config import Config
from nmt.configfile import Values
from nmt.reproduce.language.paper import LANGUAGE_TABLES, LanguageRow, LanguageTable
from nmt.reproduce.language.recipes import config_of, values_of

FORMAT, FORMAT_VERSION = "nmt-language-reproduction", 1
SCORES = "scores.json"


@dataclass(frozen=True)
class LanguageRun:
    """One model: a row and a seed."""

    row: LanguageRow
    seed: int

    @property
    def name(self) -> str:
        """'small-wt-1'."""
        return f"{self.row.key}-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class LanguageExperiment:
    """What is compared, and where it lies."""

    folder: Path
    table_name: str
    scale: str
    seeds: tuple[int, ...]
    prepared: Path
    more: Values
    "What the user set, for all rows."

    @property
    def table(self) -> LanguageTable:
        """The table."""
        return LANGUAGE_TABLES[self.table_name]

    @property
    def runs(self) -> Iterator[LanguageRun]:
        """Seed by seed, so that every model has been seen after a first round."""
        return (LanguageRun(row, seed) for seed in self.seeds for row in self.table.rows)

    def config(self, row: LanguageRow) -> Config:
        """A row's configuration, but for places and seed."""
        return config_of(row, self.scale, self.more)

    def values(self, run: LanguageRun) -> Values:
        """All that is set for a run."""
        places = {"paths.prepared": str(self.prepared), "paths.model": str(self.model(run))}
        return {**values_of(run.row, self.scale, self.more), **places, "training.seed": run.seed}

    def model(self, run: LanguageRun) -> Path:
        """A run's model folder."""
        return self.folder / "models" / run.name

    def log(self, run: LanguageRun) -> Path:
        """What a run says."""
        return self.folder / "logs" / f"{run.name}.log"

    def scores(self, run: LanguageRun) -> dict[str, Any] | None:
        """What scoring found; None: not scored yet."""
        try:
            found: dict[str, Any] = json.loads((self.model(run) / SCORES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            place = self.model(run) / SCORES
            raise UserError(f"damaged ({error})", where=place, hint="remove it; it is made again") from None
        return found

    def claim(self, fingerprint: str) -> None:
        """Write experiment.json, or find the same there. fingerprint: of the prepared text."""
        path = self.folder / "experiment.json"
        body = {"format": FORMAT, "version": FORMAT_VERSION, "table": self.table_name, "scale": self.scale}
        body |= {"set": {key: value for key, value in self.more.items() if not key.startswith("runtime.")}}
        body |= {"text": fingerprint}
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(body, indent=1) + "\n")
            return
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"damaged ({error})", where=path, hint="remove it; finished runs stay") from None
        different = [key for key, value in body.items() if not isinstance(there, dict) or there.get(key) != value]
        if different:
            problem = f"holds another comparison (another {', '.join(different)})"
            raise UserError(problem, where=self.folder, hint="name another folder with --out")
