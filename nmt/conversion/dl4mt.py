"""DL4MT's and Nematus' attention models (`gru_cond`): an .npz of named arrays and two dictionaries, piece -> id.

Their arrays keep reset and update gates in one matrix (W, U, b) and the candidate in another (Wx, Ux, bx); ours keep
all three in one. Their dictionaries have `eos` 0 and `UNK` 1; ours have a padding row before these, which gets a bias
so low that its probability is zero. Rows without a piece (a dictionary shorter than its matrix) keep their place in
the softmax under a name that no text can spell.

Source: github.com/nyu-dl/dl4mt-tutorial, session2/nmt.py (param_init_gru, param_init_gru_cond).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.text.vocabulary import EOS, NUM_SPECIALS, PAD, UNK, SourceView, TargetView, Vocabulary
from nmt.tying import Tying

Arrays = dict[str, np.ndarray]

PADDING_BIAS = -1e4
"exp of it is zero in float32."
THEIR_EOS, THEIR_UNK = 0, 1
EOS_NAMES, UNK_NAMES = ("eos", "</s>", "<EOS>", "<eos>"), ("UNK", "<unk>", "<UNK>", "unk")
CELLS = {
    "encoder.ahead": ("encoder_{}", ("W", "Wx"), ("U", "Ux"), ("b", "bx")),
    "encoder.back": ("encoder_r_{}", ("W", "Wx"), ("U", "Ux"), ("b", "bx")),
    "decoder.first": ("decoder_{}", ("W", "Wx"), ("U", "Ux"), ("b", "bx")),
    "decoder.second": ("decoder_{}", ("Wc", "Wcx"), ("U_nl", "Ux_nl"), ("b_nl", "bx_nl")),
}
"Our GRU -> their prefix and the parts of input weight, hidden weight and bias: both gates, then the candidate."
CELL_PARTS = ("input_weight", "hidden_weight", "bias")
SINGLE = {
    "decoder.attention.key_weight": "decoder_Wc_att",
    "decoder.attention.key_bias": "decoder_b_att",
    "decoder.attention.query_weight": "decoder_W_comb_att",
    "decoder.attention.energy_weight": "decoder_U_att",
    "decoder.attention.energy_bias": "decoder_c_tt",
    "initial.bias": "ff_state_b",
    "output_layer.state.bias": "ff_logit_lstm_b",
    "output_layer.previous.bias": "ff_logit_prev_b",
    "output_layer.context.bias": "ff_logit_ctx_b",
}
"Ours -> theirs, as it is."
TRANSPOSED = {
    "initial.weight": "ff_state_W",
    "output_layer.state.weight": "ff_logit_lstm_W",
    "output_layer.previous.weight": "ff_logit_prev_W",
    "output_layer.context.weight": "ff_logit_ctx_W",
}
"Ours -> theirs, transposed."
SOURCE, TARGET, OUTPUT, BIAS = "Wemb", "Wemb_dec", "ff_logit_W", "ff_logit_b"
OUR_TABLES = ("source_input", "target_input", "output", "output_bias")


@dataclass(frozen=True)
class Converted:
    """A model in our terms."""

    tying: Tying
    vocabulary: Vocabulary
    embedding_size: int
    hidden_size: int
    weights: dict[str, Tensor]
    "By our canonical names, each storage once."


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file; nothing in it is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if file[name].dtype.kind == "f"}
    except FileNotFoundError:
        raise UserError("no such file", where=path, hint="check the path") from None
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"not an .npz file of plain arrays ({error})", where=path) from None


def read_dictionary(path: Path) -> list[str]:
    """A dictionary file (JSON, piece -> id) as the pieces in the order of their ids; eos is first, UNK second."""
    try:
        ids = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=path, hint="Nematus and DL4MT convert their pickles") from None
    if not isinstance(ids, dict) or not all(isinstance(number, int) for number in ids.values()):
        raise UserError("not a dictionary of piece to id", where=path)
    pieces = sorted(ids, key=lambda piece: ids[piece])
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise UserError("its ids are not 0, 1, 2 ... without a gap", where=path)
    if len(pieces) < 2 or pieces[THEIR_EOS] not in EOS_NAMES or pieces[THEIR_UNK] not in UNK_NAMES:
        raise UserError(f"ids 0 and 1 are {pieces[:2]}, not eos and UNK", where=path)
    return pieces


def from_dl4mt(arrays: Arrays, source: list[str], target: list[str]) -> Converted:
    """Convert arrays and dictionaries. A missing array or one of another shape is a UserError that names it."""
    tables = vocabulary_arrays(arrays)
    tying = tying_of(arrays, tables, source == target)
    source_rows, target_rows = (
        named_rows(pieces, len(tables[n])) for pieces, n in ((source, SOURCE), (target, TARGET))
    )
    vocabulary = union(source_rows, target_rows)
    hidden_size, embedding_size = array(arrays, "encoder_Ux").shape[0], tables[SOURCE].shape[1]
    weights = network_weights(arrays)
    shared = tying.shares_source
    source_order = order_of(vocabulary, vocabulary.source_view(shared).size, source_rows, None)
    view = vocabulary.target_view(shared)
    target_ids = view.to_union(np.arange(view.size))
    target_order = order_of(vocabulary, view.size, target_rows, target_ids)
    weights["embeddings.source_input"] = take(tables[SOURCE], source_order)
    if tying is not Tying.THREE_WAY:
        weights["embeddings.target_input"] = take(tables[TARGET], target_order)
    if tying is Tying.UNTIED:
        weights["embeddings.output"] = take(tables[OUTPUT], target_order)
    bias = take(array(arrays, BIAS)[:, None], target_order)[:, 0]
    bias[PAD] = PADDING_BIAS
    weights["embeddings.output_bias"] = bias
    return Converted(tying, vocabulary, embedding_size, hidden_size, weights)


def array(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """An array by its name."""
    if name not in arrays:
        raise UserError(f"has no array {name!r}", hint="is it a DL4MT or Nematus attention model (gru_cond)?")
    return arrays[name]


def vocabulary_arrays(arrays: Arrays) -> Arrays:
    """The three vocabulary matrices, [rows, E] each; a tied model may leave out what is the same."""
    source = array(arrays, SOURCE)
    target = arrays.get(TARGET, source)
    output = arrays[OUTPUT].T if OUTPUT in arrays else target
    return {SOURCE: source, TARGET: target, OUTPUT: output}


def tying_of(arrays: Arrays, tables: Arrays, same_dictionary: bool) -> Tying:
    """The mode, from which matrices are equal."""
    decoder = OUTPUT not in arrays or np.array_equal(tables[TARGET], tables[OUTPUT])
    inputs = TARGET not in arrays or np.array_equal(tables[SOURCE], tables[TARGET])
    if decoder and inputs and same_dictionary:
        return Tying.THREE_WAY
    if inputs and TARGET not in arrays:
        raise UserError(
            f"has no {TARGET}, but the dictionaries differ", hint="three-way tied models have one dictionary"
        )
    return Tying.DECODER if decoder else Tying.UNTIED


def named_rows(pieces: list[str], rows: int) -> list[str]:
    """A piece for each row but eos and UNK: the dictionary's, then names with a space, which no text can spell."""
    known = pieces[2:rows]
    return known + [f"row {number}" for number in range(2 + len(known), rows)]


def union(source: list[str], target: list[str]) -> Vocabulary:
    """The union vocabulary, each part in the order of its dictionary."""
    in_source, in_target = set(source), set(target)
    return Vocabulary(
        both=tuple(piece for piece in source if piece in in_target),
        source_only=tuple(piece for piece in source if piece not in in_target),
        target_only=tuple(piece for piece in target if piece not in in_source),
    )


def order_of(vocabulary: Vocabulary, size: int, rows: list[str], ids: np.ndarray | None) -> np.ndarray:
    """Their row for each of our rows, [size] int64; -1 for padding. ids: union ids of our rows, or None: 0, 1, 2 ..."""
    theirs = {piece: number for number, piece in enumerate(rows, 2)}
    ours = range(size) if ids is None else ids.tolist()
    special = {PAD: -1, EOS: THEIR_EOS, UNK: THEIR_UNK}
    return np.array([special[i] if i in special else theirs[vocabulary.piece_of(i)] for i in ours], dtype=np.int64)


def take(table: np.ndarray, order: np.ndarray) -> Tensor:
    """Rows in our order as float32; zeros for padding."""
    rows = table[np.maximum(order, 0)].astype(np.float32)
    rows[order < 0] = 0
    return torch.from_numpy(rows)


def network_weights(arrays: Arrays) -> dict[str, Tensor]:
    """Everything that is not a vocabulary matrix."""
    weights = {ours: array(arrays, theirs) for ours, theirs in SINGLE.items()}
    weights |= {ours: array(arrays, theirs).T for ours, theirs in TRANSPOSED.items()}
    for cell, (prefix, *parts) in CELLS.items():
        for name, (gates, candidate) in zip(CELL_PARTS, parts, strict=True):
            both = [array(arrays, prefix.format(part)) for part in (gates, candidate)]
            weights[f"{cell}.{name}"] = np.concatenate(both, -1)
    return {name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) for name, value in weights.items()}


def to_dl4mt(
    named: Mapping[str, Tensor], vocabulary: Vocabulary, views: tuple[SourceView, TargetView]
) -> tuple[Arrays, list[str], list[str]]:
    """A model's parameters, aliases included, as their arrays and the two dictionaries in the order of their ids.

    views: how the model sees source and target ids.

    Parameters that are not those of gru_cond, one more or one less, are a UserError.
    """
    check_parameters(named)
    ours = {name: tensor.detach().cpu().numpy() for name, tensor in named.items()}
    arrays = {theirs: ours[name] for name, theirs in SINGLE.items()}
    arrays |= {theirs: np.ascontiguousarray(ours[name].T) for name, theirs in TRANSPOSED.items()}
    for cell, (prefix, *parts) in CELLS.items():
        for name, (gates, candidate) in zip(CELL_PARTS, parts, strict=True):
            whole = ours[f"{cell}.{name}"]
            size = whole.shape[-1] // 3
            arrays[prefix.format(gates)], arrays[prefix.format(candidate)] = np.split(whole, [2 * size], -1)
    source, view = views
    target_ids = view.to_union(np.arange(view.size)).tolist()
    orders = {SOURCE: list(range(source.size)), TARGET: target_ids}
    for name, table in ((SOURCE, "source_input"), (TARGET, "target_input"), (OUTPUT, "output")):
        rows = in_their_order(ours[f"embeddings.{table}"])
        arrays[name] = np.ascontiguousarray(rows.T) if name == OUTPUT else rows
    arrays[BIAS] = in_their_order(ours["embeddings.output_bias"])
    dictionaries = [
        ["eos", "UNK", *(vocabulary.piece_of(i) for i in orders[name] if i not in (PAD, UNK, EOS))]
        for name in (SOURCE, TARGET)
    ]
    return arrays, dictionaries[0], dictionaries[1]


def check_parameters(names: Iterable[str]) -> None:
    """Raise a UserError unless the names are those of all our parameters of gru_cond, aliases included."""
    known = {*SINGLE, *TRANSPOSED, *(f"embeddings.{table}" for table in OUR_TABLES)}
    known |= {f"{cell}.{part}" for cell in CELLS for part in CELL_PARTS}
    if other := sorted(known ^ set(names)):
        there = "has" if other[0] in names else "lacks"
        hint = "it holds the attention model of Table 8 (gru_cond) and no other"
        raise UserError(f"this format cannot hold a model that {there} {other[0]}", hint=hint)


def in_their_order(rows: np.ndarray) -> np.ndarray:
    """Our rows without padding, </s> first."""
    return rows[[EOS, UNK, *range(NUM_SPECIALS, len(rows))]]
