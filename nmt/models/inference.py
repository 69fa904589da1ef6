"""Copies of models made for search: the numbers of the readable model, in fewer and faster passes.

Each architecture has its own (`nmt.models.table`); this is what all are asked for by.
"""

from __future__ import annotations

from nmt.layers.processor import usable_precision
from nmt.models.interface import SearchModel, TranslationModel
from nmt.models.table import NETWORKS


def for_search(model: TranslationModel, precision: str = "float32") -> SearchModel:
    """A copy of the model for search; precision, of the products: float32, bf16 or int8.

    It is float32 where the device does not have the precision (`nmt.layers.processor.usable_precision`). The copy is to
    be made again when the model's weights have changed.
    """
    precision, _ = usable_precision(precision, model.device)
    return NETWORKS[model.architecture].for_search(model, precision)
