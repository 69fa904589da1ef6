"""ONNX graphs, node by node, whose weights lie in one file beside them, each once.

Graphs that share a matrix name the same bytes of that file, and a graph that uses one for two things, as an embedding
and an output, has one initializer of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nmt.packages import import_package

OPSET, IR_VERSION = 17, 8
"The first that have layer norms; runtimes since 2022 read them."
DATA = "weights.bin"
ALIGNMENT = 64
"Bytes of it that a tensor begins at a multiple of."


class WeightsBeside:
    """The file of all weights. Tensors are told apart by their storage, so that tied ones are there once."""

    def __init__(self, output_bias: Tensor) -> None:
        """output_bias: [V], in which padding's makes its probability zero."""
        self.output_bias = output_bias
        self._kept: list[Tensor] = []  # as long as they are, no other tensor has their place in memory
        self.arrays: list[np.ndarray] = []
        self.size = 0
        self._places: dict[tuple[int, bool], tuple[str, int, np.ndarray]] = {}

    def place(self, tensor: Tensor, name: str, transposed: bool) -> tuple[str, int, np.ndarray]:
        """Name, offset and values of a tensor; transposed: [Y, X] lies there as [X, Y]."""
        key = tensor.data_ptr(), transposed
        if key not in self._places:
            values = tensor.detach().float().cpu().numpy()
            values = np.ascontiguousarray(values.T if transposed else values)
            self._kept.append(tensor)
            self._places[key] = name, self.size, values
            self.arrays.append(values)
            self.size += values.nbytes + -values.nbytes % ALIGNMENT
        return self._places[key]

    def write(self, path: Path) -> None:
        """All of them."""
        with path.open("wb") as stream:
            for values in self.arrays:
                stream.write(values.data)
                stream.write(bytes(-values.nbytes % ALIGNMENT))


class Graph:
    """One ONNX model in the making. Methods add nodes and return the names of their outputs."""

    def __init__(self, name: str, weights: WeightsBeside) -> None:
        self.name, self.weights = name, weights
        self.onnx = import_package("onnx", "nmt-export --to onnx")
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, shape: Sequence[int | str], *, integers: bool = False) -> str:
        """An input of the model; names in its shape are sizes that may vary."""
        kind = self.onnx.TensorProto.INT64 if integers else self.onnx.TensorProto.FLOAT
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, shape: Sequence[int | str]) -> None:
        """An output of the model."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, shape))

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        """An operator of one output."""
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, outputs: int, *inputs: str, **attributes: object) -> list[str]:
        """An operator of several outputs."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, values: object, kind: str = "int64") -> str:
        """Small numbers."""
        array = np.array(values, dtype=kind)
        name = f"constant_{kind}_{array.shape}_{hashlib.sha256(array.tobytes()).hexdigest()}"
        self.initializers.setdefault(name, self.onnx.numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        """A float32 number."""
        return self.constant(value, "float32")

    def weight(self, tensor: Tensor, name: str, *, transposed: bool = False) -> str:
        """A parameter."""
        name, offset, values = self.weights.place(tensor, name + ".transposed" * transposed, transposed)
        if name not in self.initializers:
            proto = self.onnx.TensorProto(name=name, data_type=self.onnx.TensorProto.FLOAT, dims=values.shape)
            proto.data_location = self.onnx.TensorProto.EXTERNAL
            where: Mapping[str, object] = {"location": DATA, "offset": offset, "length": values.nbytes}
            for key, value in where.items():
                proto.external_data.add(key=key, value=str(value))
            self.initializers[name] = proto
        return name

    def save(self, folder: Path) -> None:
        """Write NAME.onnx; the weights' file is written by itself."""
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, list(self.initializers.values()))
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="nmt-export")
        (folder / f"{self.name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def affine(graph: Graph, rows: str, linear: Any, name: str) -> str:
    """rows W' + b of a map with `weight`, [Y, X], and `bias`."""
    product = graph.node("MatMul", rows, graph.weight(linear.weight, f"{name}.weight", transposed=True))
    return graph.node("Add", product, graph.weight(linear.bias, f"{name}.bias"))


def log_probs(graph: Graph, readout: str, embeddings: Any) -> str:
    """[batch, E] -> log-probabilities of all target rows, [batch, V]. The bias makes padding's zero."""
    weight = graph.weight(embeddings.output, "embeddings.output")
    bias = graph.weight(graph.weights.output_bias, "embeddings.output_bias")
    scores = graph.node("Gemm", readout, weight, bias, transB=1)
    return graph.node("LogSoftmax", scores, axis=-1)


def added_mask(graph: Graph, mask: str, axes: Sequence[int]) -> str:
    """[batch, source], 1 at real pieces -> what is added to energies: 0 there, else -inf. axes: to insert."""
    real = graph.node("Cast", mask, to=graph.onnx.TensorProto.BOOL)
    added = graph.node("Where", real, graph.number(0.0), graph.number(-np.inf))
    return graph.node("Unsqueeze", added, graph.constant(list(axes)))
