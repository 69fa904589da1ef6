"""Trains the three tying modes with one recipe, scores them, and writes a table, its JSON and a picture of the curves.

    .venv/bin/python scripts/three_modes.py --prepared prepared --corpus corpus --config configs/multi30k/rnn.yaml \
        --models models --out docs/results/multi30k

Interrupted, it continues: finished models are not trained again. The picture needs matplotlib (setup.cfg's extra
`plot`); without it the table is written all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bpe.textfiles import write_text
from nmt.bundle import load_bundle, versions
from nmt.layers.tying import Tying
from nmt.ledger import size_of
from nmt.training.reporting import METRICS, read_metrics


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    for flag in ("--prepared", "--corpus", "--config", "--models", "--out"):
        parser.add_argument(flag, type=Path, required=True)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of each training (0: all)")
    parser.add_argument("--title", default="Three tying modes")
    parser.add_argument("--report-only", action="store_true", help="train nothing; report the models that are there")
    return parser.parse_args()


def call(command: str, *options: object, output: bool = False) -> str:
    """Run one of the toolkit's commands."""
    line = [sys.executable, "-m", f"nmt.cli.{command}", *map(str, options)]
    print("+ nmt-" + " ".join([command, *map(str, options)]), file=sys.stderr, flush=True)
    done = subprocess.run(line, check=True, text=True, stdout=subprocess.PIPE if output else None)
    return done.stdout or ""


def measure(wanted: argparse.Namespace, mode: Tying) -> dict[str, Any]:
    """Train one mode, score it on the corpus's test set, and collect what the table needs."""
    folder = wanted.models / mode.value
    if not wanted.report_only:
        call(
            "train", "--tying", mode.value, "--config", wanted.config, "--prepared", wanted.prepared,
            "--model", folder, "--threads", wanted.threads,
        )  # fmt: skip
    translations, baseline = wanted.models / f"{mode.value}.test", wanted.models / f"{Tying.UNTIED.value}.test"
    compared = [] if mode is Tying.UNTIED else ["--baseline", baseline]
    test = ["--corpus", wanted.corpus, "--output", translations, *compared]
    scores = json.loads(call("evaluate", "--model", folder, *test, "--json", output=True))
    bundle = load_bundle(folder, torch.device("cpu"))
    size = size_of(bundle.model)
    metrics = read_metrics(folder / METRICS)
    trained = [record for record in metrics if record["kind"] == "train"]
    checks = [record for record in metrics if record["kind"] == "validation"]
    best = next(record for record in checks if str(record["update"]) == bundle.metadata["update"])
    return {
        "tying": mode.value,
        "parameters": {"embedding": size.embedding, "other": size.other, "total": size.total},
        "best_update": best["update"],
        "updates": checks[-1]["update"],
        "minutes": checks[-1]["seconds"] / 60,
        "target_tokens": checks[-1]["target_tokens"],
        "tokens_per_second": sorted(record["tokens_per_second"] for record in trained)[len(trained) // 2],
        "validation": {"bleu": best["bleu"], "cross_entropy": best["cross_entropy"]},
        "test": {key: scores[key] for key in ("bleu", "chrf2", "ter", "signatures", "search", "num_lines")},
        "p_value_against_untied": scores["comparison"]["p_value"] if compared else None,
        "sentences_per_second": scores["sentences_per_second"],
        "curve": [
            {key: record[key] for key in ("update", "target_tokens", "seconds", "bleu", "cross_entropy")}
            for record in checks
        ],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The Markdown table."""
    untied = rows[0]["parameters"]["total"]
    lines = [
        "| tying | parameters | of untied | valid BLEU | test BLEU | p | chrF2 | updates (best) | minutes | tokens/s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        total = row["parameters"]["total"]
        test, p_value = row["test"], row["p_value_against_untied"]
        p = "" if p_value is None else f"{p_value:.3f}"
        lines.append(
            f"| {row['tying']} | {total:,} | {100 * total / untied:.1f}% | {row['validation']['bleu']:.2f} "
            f"| **{test['bleu']:.2f}** | {p} | {test['chrf2']:.2f} | {row['updates']:,} ({row['best_update']:,}) "
            f"| {row['minutes']:.0f} | {row['tokens_per_second']:,.0f} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """The processor's name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().split("\n") if line.startswith("model name")
        ]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def draw(rows: list[dict[str, Any]], path: Path, title: str) -> bool:
    """Validation BLEU and cross entropy of the modes over the target tokens seen, as an SVG."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no picture", file=sys.stderr)
        return False
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "nmt"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for row, style in zip(rows, ("--", "-.", "-"), strict=True):
        millions = [point["target_tokens"] / 1e6 for point in row["curve"]]
        label = f"{row['tying']} ({row['parameters']['total'] / 1e6:.1f}M)"
        axes[0].plot(millions, [point["bleu"] for point in row["curve"]], style, label=label)
        axes[1].plot(millions, [point["cross_entropy"] for point in row["curve"]], style, label=label)
    axes[0].set_ylabel("validation BLEU")
    axes[1].set_ylabel("validation cross entropy (nats)")
    for axis in axes:
        axis.set_xlabel("target tokens seen (millions)")
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.suptitle(title)
    figure.savefig(path, metadata={"Date": None})
    return True


def main() -> None:
    """Measure and write."""
    wanted = arguments()
    rows = [measure(wanted, mode) for mode in Tying]
    wanted.out.mkdir(parents=True, exist_ok=True)
    picture = draw(rows, wanted.out / "curves.svg", wanted.title)
    facts = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "versions": versions()}
    report = {"title": wanted.title, "config": str(wanted.config), **facts, "modes": rows}
    write_text(wanted.out / "results.json", json.dumps(report, indent=1) + "\n")
    signature = rows[0]["test"]["signatures"]["bleu"]
    text = [
        f"# {wanted.title}",
        table(rows),
        f"Command, after `nmt-prep`: `python scripts/three_modes.py --config {wanted.config} "
        f"--threads {wanted.threads} --corpus corpus --prepared prepared --models models --out OUT`.",
        f"Recipe: `{wanted.config}`, one seed. Test: beam {rows[0]['test']['search']['beam']}, detokenised, sacreBLEU "
        f"`{signature}`; p: paired bootstrap against untied. Minutes include validations; tokens/s is the median of "
        "target tokens, `</s>` included.",
        f"{facts['date']}, {facts['machine']}, "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        + ".",
        *(["![curves](curves.svg)"] if picture else []),
    ]
    write_text(wanted.out / "README.md", "\n\n".join(text) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
