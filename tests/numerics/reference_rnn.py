"""The equations of Table 8's model in plain NumPy, one sentence and one step at a time, written from the equations.

Independent of the package: it gets named arrays and knows nothing of tying, batches or padding.
"""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru(x: np.ndarray, h: np.ndarray, p: Arrays) -> np.ndarray:
    """r,u = s(x W + h U + b);  n = tanh(r * (h Ux) + x Wx + bx);  h = u*h + (1-u)*n"""
    r, u = np.split(sigmoid(x @ p["W"] + h @ p["U"] + p["b"]), 2)
    n = np.tanh(r * (h @ p["Ux"]) + x @ p["Wx"] + p["bx"])
    return u * h + (1 - u) * n


def second_gru(c: np.ndarray, h1: np.ndarray, p: Arrays) -> np.ndarray:
    """r2,u2 = s(h1 U_nl + b_nl + c Wc);  n = tanh(r2 * (h1 Ux_nl + bx_nl) + c Wcx);  h2 = u2*h1 + (1-u2)*n"""
    r, u = np.split(sigmoid(h1 @ p["U_nl"] + p["b_nl"] + c @ p["Wc"]), 2)
    n = np.tanh(r * (h1 @ p["Ux_nl"] + p["bx_nl"]) + c @ p["Wcx"])
    return u * h1 + (1 - u) * n


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def annotations(source: np.ndarray, p: dict[str, Arrays]) -> np.ndarray:
    """Both directions' states side by side, [S, 2H]."""
    h = np.zeros(p["encoder"]["Ux"].shape[0])
    ahead = []
    for x in source:
        h = gru(x, h, p["encoder"])
        ahead.append(h)
    h = np.zeros_like(h)
    back = []
    for x in source[::-1]:
        h = gru(x, h, p["encoder_r"])
        back.append(h)
    return np.concatenate([np.array(ahead), np.array(back[::-1])], 1)


def scores(source_ids: list[int], target_ids: list[int], p: dict[str, Arrays]) -> tuple[np.ndarray, np.ndarray]:
    """Scores, [T, V], and attention, [T, S], of each target piece given the ones before it."""
    tables, d, out = p["tables"], p["decoder"], p["readout"]
    ctx = annotations(tables["source"][source_ids], p)
    h = np.tanh(ctx.mean(0) @ p["initial"]["W"] + p["initial"]["b"])
    y = np.zeros(tables["target"].shape[1])
    rows, attention = [], []
    for piece in target_ids:
        h1 = gru(y, h, d)
        e = np.tanh(ctx @ d["Wc_att"] + d["b_att"] + h1 @ d["W_comb_att"]) @ d["U_att"] + d["c_tt"]
        a = softmax(e)
        c = a @ ctx
        h = second_gru(c, h1, d)
        t = np.tanh(h @ out["lstm"] + out["lstm_b"] + y @ out["prev"] + out["prev_b"] + c @ out["ctx"] + out["ctx_b"])
        rows.append(t @ tables["output"].T + tables["bias"])
        attention.append(a)
        y = tables["target"][piece]
    return np.array(rows), np.array(attention)
