"""The stages of `scripts/bench gpu` that train: speed, graphs, what an update waits for, settings, and equal bits."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from nmt.data.corpus import PreparedCorpus
from nmt.layers import cross_entropy
from nmt.layers.triton.available import kernels_told, what_is_missing
from nmt.layers.tying import unique_parameters
from nmt.text.vocabulary import Vocabulary
from nmt.training import graphs
from nmt.training.optimizers import load_optimizer, optimizer_tensors
from scripts.benchmarks.gpu_work import PRECISIONS, Bench, float32_products, measured, timed
from scripts.benchmarks.report import Column, Row, Table
from scripts.benchmarks.train_parts import Training, parts_table

COLUMNS = (
    Column("training", "what"),
    Column("pieces/batch", "pieces_per_batch", ",.0f"),
    Column("ms", "milliseconds", ",.2f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column("minutes for 300,000 updates", "paper_minutes", ",.0f"),
    Column("peak MB", "peak_bytes", ",.0f", 1e-6),
    Column("parameters, gradients, optimizer MB", "state_bytes", ",.0f", 1e-6),
    Column("peak/that", "peak_of_state", ".2f"),
)
NOTES = (
    "Table 8's recipe: Adadelta, no dropout; pieces: real target pieces, </s> counted",
    "peak: with the largest batch of the text tried first, as nmt-train does; on a CPU the whole process until then",
)
CHUNK_ELEMENTS = (2**24, 2**26, 2**28, 2**29)
LEARNING_RATE = 1e-3


def _table(bench: Bench, title: str, rows: list[Row]) -> Table:
    failed = [f"{row['what']}: {row['failed']}" for row in rows if "failed" in row]
    return Table(title=f"{title}, {bench.sizes}", columns=COLUMNS, rows=rows, notes=[*NOTES, *failed])


def products(bench: Bench) -> Iterator[Table]:
    """The rate of a large matrix product, which everything else is a share of."""
    size, rows = bench.scale.product, []
    for name, (ours, torchs) in PRECISIONS.items():
        dtype = torch.bfloat16 if ours == "bf16" else torch.float32
        with float32_products(torchs):
            square = torch.randn(size, size, device=bench.device).to(dtype)
            timed(bench.device, [lambda square=square: square @ square])  # type: ignore[misc]
            milliseconds = timed(bench.device, [lambda square=square: square @ square] * 5)  # type: ignore[misc]
        rows.append({"what": name, "milliseconds": milliseconds, "flops": 2e3 * size**3 / milliseconds})
    columns = (
        Column("products", "what"),
        Column("ms", "milliseconds", ",.3f"),
        Column("TFLOP/s", "flops", ",.1f", 1e-12),
    )
    yield Table(title=f"A matrix product of {size:,} cubed", columns=columns, rows=rows)


def sentences(bench: Bench) -> Iterator[Table]:
    """Table 8's batches in bf16, and the parts of an update launched call by call."""
    yield _table(bench, f"Training on {bench.scale.sentences} sentences", [measured("bf16", bench.as_nmt_train)])
    yield parts_table(bench.training(), "bf16")


def graph(bench: Bench) -> Iterator[Table]:
    """The same updates without our kernels and with them, launched by the host, and played again as CUDA graphs."""
    title = "The same updates with and without kernels and graphs"
    if not bench.cuda:
        yield bench.without_cuda(title)
        return
    rows = []
    with kernels_told("left out for comparison"):
        rows.append(measured("call by call, without kernels", bench.training))
    if missing := what_is_missing():
        rows.append({"what": "kernels", "failed": missing})
    else:
        rows.append(measured("call by call, kernels", bench.training))
        rows.append(measured("graphs, kernels", bench.as_nmt_train))
    yield _table(bench, title, rows)


def profile(bench: Bench) -> Iterator[Table]:
    """Launches of an update, how long the GPU was busy, and with what."""
    title = "Launches of an update"
    if not bench.cuda:
        yield bench.without_cuda(title)
        return
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    training = bench.training()
    batch = next(iter(training.stream()))
    for _ in range(3):
        training.update(batch)
    torch.cuda.synchronize()
    started = time.perf_counter()
    with profiled(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        training.update(batch)
        torch.cuda.synchronize()
    wall = time.perf_counter() - started
    kernels = [
        event
        for event in found.events() or ()
        if event.device_type == torch.autograd.DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    busy = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
    microseconds, times = Counter[str](), Counter[str]()
    for event in kernels:
        microseconds[event.name[:60]] += round(event.time_range.elapsed_us())
        times[event.name[:60]] += 1
    rows: list[Row] = [{"what": "all", "times": len(kernels), "milliseconds": 1e3 * busy}]
    rows += [{"what": n, "times": times[n], "milliseconds": m / 1e3} for n, m in microseconds.most_common(15)]
    columns = (Column("kernel", "what"), Column("times", "times", ","), Column("ms", "milliseconds", ",.2f"))
    note = f"busy {1e3 * busy:,.1f} ms; {1e3 * wall:,.1f} ms passed under the profiler, which slows the host down"
    yield Table(title=f"{title}, {bench.sizes}", columns=columns, rows=rows, notes=[note])


def waiting(bench: Bench) -> Iterator[Table]:
    """Whether an update makes the host wait for the GPU."""
    title = "Updates that may not wait"
    if not bench.cuda:
        yield bench.without_cuda(title)
        return
    rows: list[Row] = []
    recorded = {"Adadelta, played again": {"recorded": True}} if bench.records else {}
    for name, settings in (SETTINGS | recorded).items():
        training = bench.training(**settings)  # type: ignore[arg-type]
        batch = next(iter(training.stream()))
        for _ in range(training.warm_rounds + 1):
            training.update(batch)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            training.updater.begin([batch], training.made + 1)
            rows.append({"what": name, "waits": "no"})
        except RuntimeError as error:
            rows.append({"what": name, "waits": str(error).split("\n")[0]})
        finally:
            torch.cuda.set_sync_debug_mode("default")
    yield Table(title=title, columns=(Column("training", "what"), Column("waits", "waits")), rows=rows)


def buffers(bench: Bench) -> Iterator[Table]:
    """How many scores the loss holds at a time."""
    rows: list[Row] = []
    kind, table = bench.device.type, cross_entropy.CHUNK_ELEMENTS
    before, share = table[kind], cross_entropy.CHUNK_SHARE
    cross_entropy.CHUNK_SHARE = 1.0  # of a GPU's memory: as many as are asked for
    try:
        for value in CHUNK_ELEMENTS:
            table[kind] = value
            rows.append(measured(f"scores at a time {value:,}", bench.as_nmt_train))
    finally:
        table[kind], cross_entropy.CHUNK_SHARE = before, share
    yield _table(bench, "Chunks of the loss", rows)


def batches(bench: Bench) -> Iterator[Table]:
    """Larger batches in bf16."""
    sizes = bench.scale.batch_tokens
    rows = [
        measured(f"{tokens:,} pieces", lambda tokens=tokens: bench.as_nmt_train(batch_tokens=tokens, batch_sentences=0))  # type: ignore[misc]
        for tokens in sizes
    ]
    yield _table(bench, "Training on larger batches", rows)


def precisions(bench: Bench) -> Iterator[Table]:
    """Float32 products, rounded as TF32 and not."""
    rows = []
    for name in ("tf32", "float32"):
        ours, torchs = PRECISIONS[name]
        with float32_products(torchs):
            rows.append(measured(name, lambda ours=ours: bench.as_nmt_train(precision=ours)))  # type: ignore[misc]
    yield _table(bench, "Training in float32", rows)


SETTINGS = {
    "Adadelta": {},
    "Adam": {"optimizer": "adam"},
    "Adam, moving average, dropout 0.2, smoothing 0.1": {
        "optimizer": "adam", "ema": 0.999, "label_smoothing": 0.1, "dropout": 0.2,
    },
}  # fmt: skip


def settings(bench: Bench) -> Iterator[Table]:
    """Other recipes at the full size."""
    rows = [
        measured(name, lambda wanted=wanted: bench.as_nmt_train(**wanted))  # type: ignore[misc, arg-type]
        for name, wanted in SETTINGS.items()
    ]
    yield _table(bench, "Other recipes", rows)


def resuming(bench: Bench) -> Iterator[Table]:
    """Whether four updates in one go give the bits of two, a saved state, and two more."""
    rows: list[Row] = []
    for name, wanted in SETTINGS.items():
        whole, first, second = (bench.training(**wanted) for _ in range(3))  # type: ignore[arg-type]
        four = list(whole.stream())[:2] * 2
        for training, own in ((whole, four), (first, four[:2])):
            for batch in own:
                training.update(batch)
        _hand_over(first, second)
        for batch in four[2:]:
            second.update(batch)
        left, right = (unique_parameters(training.model) for training in (whole, second))
        rows.append({"what": name, "equal": _compared(left, right)})
    if bench.records:
        rows.append({"what": "graphs beside calls", "equal": _played_beside_called(bench)})
    columns = (Column("training", "what"), Column("resumed", "equal"))
    yield Table(title=f"Two updates and two more, beside four, {bench.sizes}", columns=columns, rows=rows)


def _compared(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> str:
    """In words."""
    differing = [key for key in left if not torch.equal(left[key], right[key])]
    return "to the bit" if not differing else f"not: {', '.join(differing[:3])}"


def _played_beside_called(bench: Bench) -> str:
    """The weights after updates of one shape that were played again from the third on, beside those of calls alone."""
    found = []
    for most in (graphs.MOST_SHAPES, 0):
        training = bench.training(recorded=True, **SETTINGS["Adam, moving average, dropout 0.2, smoothing 0.1"])  # type: ignore[arg-type]
        batch, before = next(iter(training.stream())), graphs.MOST_SHAPES
        graphs.MOST_SHAPES = most
        try:
            for _ in range(6):
                training.update(batch)
        finally:
            graphs.MOST_SHAPES = before
        found.append(unique_parameters(training.model))
    return _compared(*found)


def _hand_over(first: Training, second: Training) -> None:
    """Continue with a training where another one stopped, by way of the processor's memory."""
    names = list(first.updater.parameters)
    weights = {name: parameter.detach().cpu() for name, parameter in first.updater.parameters.items()}
    average = {name: tensor.cpu() for name, tensor in first.updater.average.items()}
    load_optimizer(second.updater.optimizer, names, optimizer_tensors(first.updater.optimizer, names))
    second.updater.restore(weights, average, first.updater.carried)
    second.made = first.made


def learning(bench: Bench) -> Iterator[Table]:
    """Real updates with Adam, until pieces are told by how frequent they are, which is all that made-up text has."""
    training = bench.training(optimizer="adam", learning_rate=LEARNING_RATE, schedule="constant", warmup_updates=0)
    training.work = dataclasses.replace(training.work, updates=bench.scale.learning_updates)
    found: list[float] = []
    for number, batch in enumerate(training.stream(), 1):
        result = training.updater.update(batch, number)
        found.append(result.cross_entropy / batch.num_target_tokens)
    last = found[-bench.scale.updates :]
    row = {"what": "bf16, Adam", "updates": len(found), "first": found[0], "last": sum(last) / len(last)}
    wanted = _entropy(bench)
    columns = (
        Column("training", "what"), Column("updates", "updates", ","), Column("first nats", "first", ".3f"),
        Column("last nats", "last", ".3f"), Column("entropy of the pieces", "entropy", ".3f"),
    )  # fmt: skip
    yield Table(title=f"Learning, {bench.sizes}", columns=columns, rows=[row | {"entropy": wanted}])


def _entropy(bench: Bench) -> float:
    """Nats a piece of who knows how frequent pieces are, and that a sentence's end is one of them."""
    pairs = PreparedCorpus(bench.text.folder, {"splits": {"train": {}}}, Vocabulary((), (), ())).split("train")
    counts = np.bincount(np.asarray(pairs.target_ids))
    shares = np.append(counts[counts > 0], len(pairs)) / (counts.sum() + len(pairs))
    return -math.fsum((shares * np.log(shares)).tolist())
