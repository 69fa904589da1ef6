"""Table 7: Table 6's small models on text8, IMDB and BBC, each text a comparison of its own in a folder of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nmt.reproduce.language.experiment import LanguageExperiment
from nmt.reproduce.language.paper import TABLE_7
from nmt.reproduce.language.results import LanguageResults, collect
from nmt.reproduce.provenance import Provenance

FORMAT, FORMAT_VERSION = "nmt-table7", 1


@dataclass(frozen=True, kw_only=True)
class Table7:
    """Everything the report says."""

    scale: str
    made: Provenance
    texts: dict[str, LanguageResults]
    "Key of TABLE_7 -> what was found on the text."

    @property
    def absent(self) -> list[str]:
        """The texts that are not there."""
        return [key for key in TABLE_7 if key not in self.texts]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"format": FORMAT, "version": FORMAT_VERSION, **dataclasses.asdict(self), "absent": self.absent}


def collect_texts(experiments: Mapping[str, LanguageExperiment], scale: str, command: str) -> Table7:
    """What the comparisons of the texts found. experiments: by key of TABLE_7."""
    texts = {key: collect(found, TABLE_7[key].name, command) for key, found in experiments.items()}
    trained = next((results.versions for results in texts.values() if results.rows), None)
    return Table7(scale=scale, made=Provenance.now(command, trained), texts=texts)
