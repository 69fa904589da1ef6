"""Model folders as ONNX: `encoder.onnx`, `first.onnx`, `step.onnx`, their weights in one file, pieces, text pipeline.

    pieces.json   languages; the piece of each source id and target id; padding, </s>; target ids that nmt-translate
                  does not write, by the model folder's own search settings

A source is its pieces' ids and </s>. `first` gives the log-probabilities of the first piece, `step` those of each next
one, whose `past.*` is what was `present.*` before. Batch, source length and pieces so far may be of any size.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from nmt.conversion.dl4mt import PADDING_BIAS
from nmt.conversion.onnx_graph import DATA, Graph, WeightsBeside
from nmt.conversion.onnx_rnn import rnn_graphs
from nmt.conversion.onnx_transformer import transformer_graphs
from nmt.conversion.placing import check_free, placed
from nmt.folder.bundle import Bundle
from nmt.models.rnn.model import RNNModel
from nmt.models.transformer.model import TransformerModel
from nmt.search.candidates import forbidden_ids
from nmt.search.request import Wanted
from nmt.text.vocabulary import EOS, PAD, UNK

PIECES = "pieces.json"


def export_onnx(bundle: Bundle, folder: Path) -> None:
    """Write the folder. A missing package is a UserError, so is a folder that is not free."""
    check_free(folder, "--output")
    bundle = bundle.plain()
    bias = bundle.model.embeddings.output_bias.detach().clone()
    bias[PAD] = PADDING_BIAS
    weights = WeightsBeside(bias)
    graphs = graphs_of(bundle, weights)
    with placed(folder) as place:
        for graph in graphs:
            graph.save(place)
        weights.write(place / DATA)
        (place / PIECES).write_text(
            json.dumps(pieces_of(bundle), ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
        )
        bundle.text.save(place)


def graphs_of(bundle: Bundle, weights: WeightsBeside) -> list[Graph]:
    """The three graphs of a model."""
    model = bundle.model
    if isinstance(model, RNNModel):
        return rnn_graphs(model, weights)
    if isinstance(model, TransformerModel):
        return transformer_graphs(model, weights)
    raise UserError(f"model.architecture {model.architecture!r} has no graphs yet", where=bundle.folder)


def pieces_of(bundle: Bundle) -> dict[str, object]:
    """What ids mean."""
    pieces, view = bundle.vocabulary.pieces, bundle.target_view
    target = view.to_union(np.arange(view.size)).tolist()
    source_only = bundle.vocabulary.source_only_rows(view)
    forbidden = [*forbidden_ids(bundle.config.search, Wanted(source_only=source_only))]
    return {
        "languages": {"source": bundle.config.prep.source, "target": bundle.config.prep.target},
        "padding": PAD,
        "unknown": UNK,
        "end": EOS,
        "source": list(pieces[: bundle.source_view.size]),
        "target": [pieces[row] for row in target],
        "forbidden": [number for ids in forbidden for number in ids],
    }
