"""MarianMT's equations in NumPy, in float64, straight from a folder's files: one pair at a time, no cache, no batch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nmt.folder.weights import read_tensors
from nmt.packages import import_package

Weights = dict[str, np.ndarray]


def log_probs(folder: Path, source: str, target: str) -> list[float]:
    """Natural log-probability of each target piece and of </s>; padding is no piece."""
    config = json.loads((folder / "config.json").read_text())
    weights = read(folder)
    source_ids, target_ids = (ids(folder, text, side) for text, side in ((source, "source"), (target, "target")))
    names = {"encoder": "model.encoder.embed_tokens.weight", "decoder": "model.decoder.embed_tokens.weight"}
    shared = weights.get("model.shared.weight")
    tables = {side: weights.get(name, shared) for side, name in names.items()}
    memory = stack(config, weights, "encoder", embed(config, weights, tables["encoder"], source_ids, "encoder"), None)
    before = [config["decoder_start_token_id"], *target_ids[:-1]]
    rows = stack(config, weights, "decoder", embed(config, weights, tables["decoder"], before, "decoder"), memory)
    output = weights.get("lm_head.weight", tables["decoder"])
    logits = rows @ output.T + weights["final_logits_bias"][0]
    logits[:, config["pad_token_id"]] = -np.inf
    logits -= logits.max(1, keepdims=True)
    found = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return [float(row[piece]) for row, piece in zip(found, target_ids, strict=True)]


def read(folder: Path) -> Weights:
    """The tensors of either file."""
    path = folder / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True) if path.exists() else read_tensors(folder / "model.safetensors")[0]
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}


def ids(folder: Path, text: str, side: str) -> list[int]:
    """What a text is read as, </s> at its end."""
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    separate = tokenizer["separate_vocabs"] and side == "target"
    vocabulary = json.loads((folder / ("target_vocab.json" if separate else "vocab.json")).read_text())
    sentencepiece = import_package("sentencepiece", "this test")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
    code, rest = (text[: text.index("<<") + 2], text[text.index("<<") + 2 :]) if text.startswith(">>") else ("", text)
    pieces = [*([code] if code else []), *processor.encode(rest, out_type=str), "</s>"]
    return [vocabulary.get(piece, vocabulary["<unk>"]) for piece in pieces]


def embed(
    config: dict[str, Any], weights: Weights, table: np.ndarray | None, pieces: list[int], side: str
) -> np.ndarray:
    """Embeddings times the root of their width, where asked for, and positions: sines first, then cosines."""
    assert table is not None
    size = config["d_model"]
    angles = [[place / 10_000 ** (2 * (wave // 2) / size) for wave in range(size)] for place in range(len(pieces))]
    places = np.concatenate([np.sin(np.array(angles)[:, 0::2]), np.cos(np.array(angles)[:, 1::2])], 1)
    learned = weights.get(f"model.{side}.embed_positions.weight")
    scale = math.sqrt(size) if config["scale_embedding"] else 1
    return table[pieces] * scale + (places if learned is None else learned[: len(pieces)])  # type: ignore[no-any-return]


def stack(
    config: dict[str, Any], weights: Weights, side: str, rows: np.ndarray, memory: np.ndarray | None
) -> np.ndarray:
    """All layers of a side: LN(x + part(x)). memory: of the encoder, for the decoder."""
    for number in range(config[f"{side}_layers"]):
        name, heads = f"model.{side}.layers.{number}", config[f"{side}_attention_heads"]
        causal = memory is not None
        found = attention(weights, f"{name}.self_attn", rows, rows, heads, causal)
        rows = norm(weights, f"{name}.self_attn_layer_norm", rows + found)
        if memory is not None:
            found = attention(weights, f"{name}.encoder_attn", rows, memory, heads, False)
            rows = norm(weights, f"{name}.encoder_attn_layer_norm", rows + found)
        inner = activated(config["activation_function"], affine(weights, f"{name}.fc1", rows))
        rows = norm(weights, f"{name}.final_layer_norm", rows + affine(weights, f"{name}.fc2", inner))
    return rows


def affine(weights: Weights, name: str, rows: np.ndarray) -> np.ndarray:
    return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]  # type: ignore[no-any-return]


def norm(weights: Weights, name: str, rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(1, keepdims=True)
    rows = rows / np.sqrt((rows**2).mean(1, keepdims=True) + 1e-5)
    return rows * weights[f"{name}.weight"] + weights[f"{name}.bias"]  # type: ignore[no-any-return]


def activated(name: str, rows: np.ndarray) -> np.ndarray:
    if name == "relu":
        return np.maximum(rows, 0)
    if name == "gelu":
        return rows * 0.5 * (1 + np.vectorize(math.erf)(rows / math.sqrt(2)))  # type: ignore[no-any-return]
    return rows / (1 + np.exp(-rows))  # type: ignore[no-any-return]


def attention(
    weights: Weights, name: str, rows: np.ndarray, source: np.ndarray, heads: int, causal: bool
) -> np.ndarray:
    """Head by head."""
    query, keys, values = (
        affine(weights, f"{name}.{p}_proj", x) for p, x in zip("qkv", (rows, source, source), strict=True)
    )
    size = query.shape[1] // heads
    contexts = []
    for start in range(0, query.shape[1], size):
        own = slice(start, start + size)
        energies = query[:, own] @ keys[:, own].T / math.sqrt(size)
        if causal:
            energies = np.where(np.tri(len(rows)) > 0, energies, -np.inf)
        shares = np.exp(energies - energies.max(1, keepdims=True))
        contexts.append(shares / shares.sum(1, keepdims=True) @ values[:, own])
    return affine(weights, f"{name}.out_proj", np.concatenate(contexts, 1))
