"""Imports go down only, over the syntax tree of every module: the house keeps its shape."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from nmt.models.architectures import ARCHITECTURES, LANGUAGE_ARCHITECTURES

ROOT = Path(__file__).resolve().parents[2]

LAYERS: tuple[tuple[str, ...], ...] = (
    ("bpe",),
    ("nmt.packages", "nmt.scratch", "nmt.tying", "nmt.waiting"),
    ("nmt.models.architectures", "nmt.text"),
    ("nmt.config", "nmt.layers", "nmt.corpora", "nmt.device", "nmt.report"),
    ("nmt.configfile", "nmt.data"),
    ("nmt.models", "nmt.prepare"),
    ("nmt.search", "nmt.folder", "nmt.evaluate", "nmt.word2vec"),
    ("nmt.shortlist",),
    ("nmt.translate", "nmt.language"),
    ("nmt.tasks", "nmt.conversion", "nmt.explain"),
    ("nmt.training",),
    ("nmt.reproduce", "nmt.serve"),
    ("nmt.cli",),
)
"""Bottom up. A module imports its own entry and entries of lower rows, never a neighbour in its row; where it is in two
entries, the longer name is its own."""

LAZY = (
    "ctranslate2",
    "dask",
    "distributed",
    "langcodes",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "py3langid",
    "sacremoses",
    "sentencepiece",
    "subword_nmt",
    "tensorboard",
    "torch.utils.tensorboard",
    "zstandard",
)
"Packages that a command may do without: imported inside the function that needs them."

EXPORTERS = tuple(
    f"nmt.conversion.{name}" for name in ("ctranslate2_folder", "onnx_folder", "onnx_rnn", "onnx_transformer")
)
"Write a network, part by part, as another program has it: the only modules elsewhere that know networks."

UNPICKLERS = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = sorted(path for package in ("bpe", "nmt") for path in (ROOT / package).rglob("*.py"))
TREES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def imported(node: ast.AST) -> Iterator[str]:
    """What one statement imports; of `from package import name` the module if `name` is one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in TREES or full in LAZY else str(node.module)


def imports(tree: ast.AST) -> set[str]:
    """Everything a module imports, inside functions too."""
    return {name for node in ast.walk(tree) for name in imported(node)}


def imports_at_load(node: ast.AST) -> Iterator[str]:
    """What importing the module imports: everything that is not inside a function."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imported(child)
            yield from imports_at_load(child)


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def place(module: str) -> tuple[int, str]:
    """The row and the entry a module belongs to; `nmt` itself holds the version and stands at the bottom."""
    if module == "nmt":
        return 0, module
    found = [(row, entry) for row, entries in enumerate(LAYERS) for entry in entries if is_in(module, entry)]
    assert found, f"{module} has no place in LAYERS: give it one"
    return max(found, key=lambda place: len(place[1]))


@pytest.mark.parametrize("module", TREES)
def test_imports_go_down_only(module: str) -> None:
    row, entry = place(module)
    for name in sorted(imports(TREES[module]) & TREES.keys()):
        below, other = place(name)
        assert other == entry or below < row or name == "nmt", f"{module} (row {row}) imports {name} (row {below})"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module: (imports(tree) & TREES.keys()) - {"nmt"} for module, tree in TREES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(TREES) - 1  # raises CycleError, naming the circle


def test_no_two_classes_have_one_name() -> None:
    classes = [node.name for tree in TREES.values() for node in tree.body if isinstance(node, ast.ClassDef)]
    public = Counter(name for name in classes if not name.startswith("_"))
    assert not [name for name, times in public.items() if times > 1]


def test_the_version_stands_alone() -> None:
    assert imports(TREES["nmt"]) <= {"__future__"}


def test_subwords_need_the_standard_library_alone() -> None:
    allowed = {"bpe", *sys.stdlib_module_names}
    for module, tree in TREES.items():
        if is_in(module, "bpe"):
            assert {name.partition(".")[0] for name in imports(tree)} <= allowed, module


def test_a_model_is_known_by_its_interface_alone() -> None:
    """Training and search see nmt.models.interface; only the table of architectures knows which networks there are.

    What is searched is put together in nmt/translate/searcher.py. Exporters write down each part of a network.
    """
    for_searcher = {"nmt.models.ensemble", "nmt.models.fusion", "nmt.models.inference"}
    for module, tree in TREES.items():
        seen = {name for name in imports(tree) if is_in(name, "nmt.models")}
        if is_in(module, "nmt.search"):
            assert seen <= {"nmt.models.interface"}, module
        elif not is_in(module, "nmt.models") and module not in EXPORTERS:
            names = ("interface", "build", "architectures", "language", "language_build", "montecarlo")
            everywhere = {f"nmt.models.{name}" for name in names}
            assert seen <= everywhere | (for_searcher if module == "nmt.translate.searcher" else set()), module
    networks = {f"nmt.models.{name}" for name in (*ARCHITECTURES, *LANGUAGE_ARCHITECTURES)}
    for module, tree in TREES.items():
        others = {name for name in networks if not is_in(module, name)}
        seen = {name for name in imports(tree) for network in others if is_in(name, network)}
        knowing = ("nmt.models.table", "nmt.models.language_build", *EXPORTERS)
        assert not seen or module in knowing, f"{module} knows {seen}"


def test_training_knows_a_task_by_its_interface_alone() -> None:
    """No pairs, no corpus, no search: what a batch is, what it costs and how it is validated is the task's."""
    rooms = ("models", "tasks", "search", "translate", "evaluate", "shortlist", "prepare", "data", "text", "layers")
    allowed = {
        "nmt.models.interface",
        "nmt.tasks.interface",
        "nmt.data.position",
        "nmt.data.prefetch",
        "nmt.layers.processor",
        "nmt.layers.triton.available",
        "nmt.layers.tying",
    }
    by_name = {
        "nmt.training.folder": {"nmt.shortlist.table", "nmt.text.pipeline"},  # files that --force removes
        "nmt.training.optimizers": {"nmt.layers.triton.adadelta"},  # all kernels are in one room
    }
    for module in (name for name in TREES if is_in(name, "nmt.training")):
        seen = {name for name in imports(TREES[module]) for room in rooms if is_in(name, f"nmt.{room}")}
        assert seen <= allowed | by_name.get(module, set()), module


def test_a_task_knows_no_other() -> None:
    rooms = {path.name for path in (ROOT / "nmt/tasks").iterdir() if (path / "__init__.py").exists()}
    for room in rooms:
        for module in (name for name in TREES if is_in(name, f"nmt.tasks.{room}")):
            seen = {name for name in imports(TREES[module]) if is_in(name, "nmt.tasks")}
            assert all(name == "nmt.tasks.interface" or is_in(name, f"nmt.tasks.{room}") for name in seen), module


def test_the_progress_of_a_run_has_one_writer() -> None:
    """Its fields are assigned in nmt/training/progress.py alone."""
    tree = TREES["nmt.training.progress"]
    progress = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    fields = {
        node.target.id
        for node in progress.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert "best_score" in fields
    names = ("state", "progress", "self.progress", "trainer.progress")
    for module in (name for name in TREES if is_in(name, "nmt.training")):
        targets = [
            node
            for node in ast.walk(TREES[module])
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        ]
        written = {target.attr for target in targets if ast.unparse(target.value) in names}
        assert not written & fields, module


def test_optional_packages_are_imported_where_they_are_used() -> None:
    for module, tree in TREES.items():
        early = {name for name in imports_at_load(tree) for package in LAZY if is_in(name, package)}
        assert not early, f"{module} imports {early} when it is loaded"


def test_nothing_is_ever_unpickled() -> None:
    """But tensors alone, of a file of Hugging Face's."""
    for module, tree in TREES.items():
        safe = {
            node.func
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and module == "nmt.conversion.marian_weights"
            and any(one.arg == "weights_only" and ast.unparse(one.value) == "True" for one in node.keywords)
        }
        assert not {name for name in imports(tree) if name.partition(".")[0] in UNPICKLERS}, module
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node not in safe:
                assert ast.unparse(node) not in ("torch.load", "torch.jit.load", "torch.hub.load"), module
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                assert "load" not in {alias.name for alias in node.names}, module
            if isinstance(node, ast.keyword):
                assert node.arg != "allow_pickle" or ast.unparse(node.value) == "False", module
