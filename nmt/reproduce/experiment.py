"""A comparison of the three modes: its folder, its runs, and what makes two calls the same comparison.

OUT/experiment.json      the recipe; a second call with another one is refused
OUT/prepared/            the data, for all modes and seeds
OUT/models/MODE-seedN/   model folders
OUT/translations/        MODE-seedN.SET.LANG
OUT/scores/              MODE-seedN.json
OUT/logs/                what training said
OUT/report.{md,json,html}
"""

from __future__ import annotations

import json
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nmt
from bpe.errors import UserError
from bpe.textfiles import write_text
from nmt.config import Config, choice
from nmt.configfile import Values, flatten, plain
from nmt.models.architectures import ARCHITECTURES
from nmt.tying import Tying

FORMAT, FORMAT_VERSION = "nmt-reproduction", 1
NOT_THE_RECIPE = frozenset(
    (
        "model.tying",
        "training.seed",
        "training.tensorboard",
        "training.record_tying",
        "training.record_tying_against",
        "training.log_every",
        "training.save_every",
        "prep.check_sides",
    )
)
"Keys that differ between the runs of a comparison, or change no number in it."


@dataclass(frozen=True)
class Run:
    """One model of the comparison."""

    tying: Tying
    seed: int

    @property
    def name(self) -> str:
        """What its folder and files are called."""
        return f"{self.tying.value}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is compared, and where it lies."""

    folder: Path
    config: Config
    "The recipe; tying and seed are the runs'."
    scale: str
    "Name of the recipe, for the report."
    seeds: tuple[int, ...]

    @property
    def runs(self) -> list[Run]:
        """Every run, seed by seed, so that a comparison of all modes is there as early as can be."""
        return [Run(mode, seed) for seed in self.seeds for mode in Tying]

    @property
    def prepared(self) -> Path:
        """The prepared data."""
        return self.folder / "prepared"

    def model(self, run: Run) -> Path:
        """A run's model folder."""
        return self.folder / "models" / run.name

    def scores(self, run: Run) -> Path:
        """A run's scores."""
        return self.folder / "scores" / f"{run.name}.json"

    def translation(self, run: Run, test_set: str) -> Path:
        """A run's translation of a test set."""
        return self.folder / "translations" / f"{run.name}.{test_set}.{self.config.prep.target}"

    def log(self, run: Run) -> Path:
        """What a run's training said."""
        return self.folder / "logs" / f"{run.name}.log"

    def values(self, run: Run) -> Values:
        """Everything nmt-train needs for a run, by dotted keys.

        What is recorded of tying is compared with the untied run of the same seed, where that is finished.
        """
        values, untied = flatten(plain(self.config), "recipe"), Run(Tying.UNTIED, run.seed)
        values |= {"paths.prepared": str(self.prepared), "paths.model": str(self.model(run))}
        if self.config.training.record_tying and run != untied and self.scores(untied).is_file():
            values["training.record_tying_against"] = str(self.model(untied))
        return values | {"model.tying": run.tying.value, "training.seed": run.seed}

    def recipe(self) -> Values:
        """The keys that decide what is trained."""
        values = flatten(plain(self.config), "recipe")
        sections = ("prep.", "model.", "training.")
        return {key: value for key, value in values.items() if key.startswith(sections) and key not in NOT_THE_RECIPE}

    def claim(self) -> None:
        """Write experiment.json, or find the same recipe there; another one is a UserError that says what differs."""
        path = self.folder / "experiment.json"
        there = _read(path)
        recipe = json.loads(json.dumps(self.recipe()))
        if there is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            body = {"format": FORMAT, "version": FORMAT_VERSION, "scale": self.scale, "recipe": recipe}
            write_text(path, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
            return
        before = there["recipe"]
        changes = [
            f"{key} is {before.get(key)!r} there, {recipe.get(key)!r} now"
            for key in {**before, **recipe}
            if key in before and before[key] != recipe.get(key)
        ]
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            raise UserError(
                f"holds another comparison: {'; '.join(changes[:3])}{more}",
                where=self.folder,
                hint="name another folder with --out",
            )


def find_recipe(scale: str, architecture: str) -> Path:
    """An architecture's recipe of a scale, from the repository or from where the package's data files are installed."""
    choice("model.architecture", architecture, ARCHITECTURES)
    return recipe_in(ARCHITECTURES[architecture].recipes, scale)


def recipe_in(folder: str, scale: str) -> Path:
    """configs/FOLDER/SCALE.yaml, or a UserError that says which scales there are."""
    recipes = Path("configs", folder)
    homes = [Path(nmt.__file__).parents[1], Path(sysconfig.get_path("data")) / "share" / "nmt-three-way"]
    for home in homes:
        path = home / recipes / f"{scale}.yaml"
        if path.is_file():
            return path
    known = sorted({path.stem for home in homes for path in (home / recipes).glob("*.yaml")})
    hint = f"choose one of {', '.join(known)}" if known else "name a recipe's file with --config"
    raise UserError(f"no recipe of scale {scale!r}", where="--scale", hint=hint)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"damaged ({error})", where=path, hint="remove it; finished runs stay") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT or body.get("version") != FORMAT_VERSION:
        raise UserError("was not written by this version of nmt-reproduce", where=path, hint="name another --out")
    return body
