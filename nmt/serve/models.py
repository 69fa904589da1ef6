"""The models that are served, by their language pairs and names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from nmt.serve.errors import Refused
from nmt.serve.lane import Kind, Lane
from nmt.serve.languages import name_of
from nmt.serve.live_lane import LiveLane
from nmt.translate.lines import LineReader
from nmt.translate.translator import Translator


class Served(ABC):
    """A model, its name, and how lines are read for it."""

    device = torch.device("cpu")

    def __init__(self, name: str, reader: LineReader) -> None:
        self.name, self.reader = name, reader

    @abstractmethod
    def lane(self, kind: Kind) -> Lane:
        """What searches texts of a kind."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What a client may know of it."""

    @property
    def source(self) -> str:
        """The code of the language it reads."""
        return self.reader.text.options.source

    @property
    def target(self) -> str:
        """The code of the language it writes."""
        return self.reader.text.options.target


class ServedModel(Served):
    """A model folder."""

    def __init__(self, name: str, translator: Translator) -> None:
        super().__init__(name, translator)
        self.translator, self.device = translator, translator.bundle.model.device

    def lane(self, kind: Kind) -> Lane:
        """A search that goes on for as long as texts come."""
        return LiveLane(self.translator.searcher, kind)

    def about(self) -> dict[str, Any]:
        """Its tying mode and its sizes, too."""
        model = self.translator.bundle.model
        return {
            "name": self.name,
            "source": self.source,
            "target": self.target,
            "tying": model.embeddings.tying.value,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "bytes": sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()),
        }


class Models:
    """Several models; of those for one language pair, the first is taken unless another is named."""

    def __init__(self, served: Sequence[Served]) -> None:
        self.served = tuple(served)
        self.sources = tuple(dict.fromkeys(one.source for one in served))
        self.codes = tuple(dict.fromkeys((*self.sources, *(one.target for one in served))))
        "All languages, those that can be translated from first."

    def known(self, code: str, what: str) -> str:
        """The code as a model has it: en-US and EN may be en. Raises Refused where there is none."""
        for form in (code, code.replace("_", "-").split("-")[0]):
            for known in self.codes:
                if known.lower() == form.lower():
                    return known
        raise Refused(400, f"{code[:40]} is not supported as {what} language; there are {', '.join(self.codes)}")

    def number(self, source: str, target: str, name: str | None) -> int:
        """The number of the model for a pair of known codes. Raises Refused where there is none, or not of the name."""
        of_pair = [number for number, one in enumerate(self.served) if (one.source, one.target) == (source, target)]
        if not of_pair:
            raise Refused(400, f"{name_of(target)} ({target}) is not available as a target language from {source}")
        if name is None:
            return of_pair[0]
        for number in of_pair:
            if self.served[number].name == name:
                return number
        names = ", ".join(self.served[number].name for number in of_pair)
        raise Refused(400, f"no model {name[:40]} for {source} to {target}; there are {names}")

    def languages(self) -> list[dict[str, Any]]:
        """What /languages says: every language that can be translated from, with the targets of each."""
        return [
            {
                "code": code,
                "name": name_of(code),
                "targets": list(dict.fromkeys(one.target for one in self.served if one.source == code)),
            }
            for code in self.sources
        ]
