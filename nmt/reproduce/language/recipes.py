"""The configuration of each row of a table, at the paper's scale or a reduced one."""

from __future__ import annotations

from nmt.config import Config
from nmt.configfile import Values, build_config, read_yaml
from nmt.reproduce.experiment import recipe_in
from nmt.reproduce.language.paper import LanguageRow
from nmt.tasks.language.defaults import DEFAULTS

RECIPES = "language"
"Folder below configs/."
REDUCED = "reduced"
SCALES = ("small", "paper")


def values_of(row: LanguageRow, scale: str, more: Values) -> Values:
    """What is set for a row: its recipe, its own keys, the scale's, and the user's, the last winning."""
    reduced = read_yaml(recipe_in(RECIPES, REDUCED)) if scale == "small" else {}
    return {**read_yaml(recipe_in(RECIPES, row.recipe)), **row.values, **reduced, **more}


def config_of(row: LanguageRow, scale: str, more: Values) -> Config:
    """The same as a configuration."""
    return build_config(DEFAULTS, values_of(row, scale, more))
