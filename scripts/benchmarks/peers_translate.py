"""Runs the drivers of `scripts/bench translate`: each tool's models made once, then its translation timed in turns."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from scripts.benchmarks.environments import variables
from scripts.benchmarks.measure import Command, Tool, run_once
from scripts.benchmarks.model_cost import OURS, Sizes
from scripts.benchmarks.report import Row
from scripts.benchmarks.transformer_cost import CTRANSLATE2, TransformerSizes, model_cost
from scripts.benchmarks.translate_text import SourceText

DRIVERS = Path(__file__).with_name("drivers")
ROOT = Path(__file__).resolve().parents[2]
SPECIALS = {OURS: 3, CTRANSLATE2: 3, "fairseq": 4, "opennmt": 4, "joeynmt": 4}
"Rows of the vocabulary beside its pieces."
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16": {"precision": "bf16"},
    "int8": {"precision": "int8"},
    "float32+shortlist": {"shortlist": True},
    "bf16+shortlist": {"precision": "bf16", "shortlist": True},
    "int8+shortlist": {"precision": "int8", "shortlist": True},
}
"Of our search: its settings, by name."
CTRANSLATE2_VARIANTS = {name: {"compute_type": name} for name in ("float32", "int8")}
"Of CTranslate2's: the precision, by the name of ours."
OUR_INTERPRETER = (OURS, CTRANSLATE2)
"Tools whose drivers import our modules."


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for every tool of a run."""

    scratch: Path
    pythons: Mapping[str, Path]
    "The interpreter of each peer."
    variants: Sequence[str]
    sizes: Mapping[str, Sizes | TransformerSizes]
    device: str
    threads: int
    rounds: int
    beam: int
    length: int
    "Pieces of every translation; the next step writes </s> or, in tools that cannot be forced to, one more piece."
    batch: int
    alone: int
    "How many sentences are also translated one by one."

    @property
    def steps(self) -> int:
        """Decoder steps of every translation, which is how many pieces count as written."""
        return self.length + 1


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row of the table: a tool, and for ours and CTranslate2 a variant."""

    name: str
    tool: str
    search: Mapping[str, Any]

    def command(self, setting: Setting, spec: dict[str, Any], output: Path) -> Command:
        """Its driver, as a process."""
        threads = str(setting.threads)
        env = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if self.tool in OUR_INTERPRETER:
            path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            python, env = Path(sys.executable), env | {"PYTHONPATH": path}
        else:
            python, env = setting.pythons[self.tool], env | variables(self.tool)
        driver = DRIVERS / f"translate_{self.tool}.py"
        return Command(argv=[str(python), str(driver), json.dumps(spec)], stdout=output, env=env)


def candidates(setting: Setting) -> list[Candidate]:
    """Ours in its variants, then the peers."""
    found = [Candidate(name=f"ours, {name}", tool=OURS, search=VARIANTS[name]) for name in setting.variants]
    for peer in setting.pythons:
        variants: Mapping[str, Mapping[str, Any]] = CTRANSLATE2_VARIANTS if peer == CTRANSLATE2 else {"": {}}
        for name, search in variants.items():
            found.append(Candidate(name=f"{peer}, {name}" if name else peer, tool=peer, search=search))
    return found


def take_turns(setting: Setting, text: SourceText) -> tuple[list[Row], dict[str, str]]:
    """A row for each candidate, and why the peers that failed did; ours must not fail."""
    failed: dict[str, str] = {}
    wanted = candidates(setting)
    folders: dict[str, Path] = {}
    for candidate in {candidate.tool: candidate for candidate in wanted}.values():
        folders[candidate.tool] = setting.scratch / f"{candidate.tool}-{text.num_words}"
        folders[candidate.tool].mkdir()
        print(f"making a model of {text.num_words:,} pieces: {candidate.tool}", file=sys.stderr, flush=True)
        _try(candidate, setting, _spec(candidate, setting, text, folders, "make"), failed)
    found: dict[str, list[dict[str, Any]]] = {candidate.name: [] for candidate in wanted}
    for number in range(1, setting.rounds + 1):
        for candidate in wanted:
            if candidate.tool in failed:
                continue
            print(f"round {number} of {setting.rounds}: {candidate.name}", file=sys.stderr, flush=True)
            spec = _spec(candidate, setting, text, folders, "translate")
            found[candidate.name] += filter(None, [_try(candidate, setting, spec, failed)])
    done = [candidate for candidate in wanted if candidate.tool not in failed]
    return [_row(candidate, found[candidate.name], setting, text) for candidate in done], failed


def _spec(
    candidate: Candidate, setting: Setting, text: SourceText, folders: Mapping[str, Path], action: str
) -> dict[str, Any]:
    """What the driver is asked for."""
    return {
        "action": action,
        "folder": str(folders[candidate.tool]),
        "our_folder": str(folders[OURS]),
        "words": str(text.words),
        "source": str(text.sentences),
        "search": dict(candidate.search),
        **asdict(setting.sizes[candidate.tool]),
        **{name: getattr(setting, name) for name in ("device", "threads", "beam", "length", "batch", "alone")},
    }


def _try(candidate: Candidate, setting: Setting, spec: dict[str, Any], failed: dict[str, str]) -> dict[str, Any] | None:
    """What the driver found; a peer's failure is noted."""
    output = setting.scratch / "found.json"
    try:
        command = candidate.command(setting, spec | {"launched": time.time()}, output)
        usage = run_once(Tool(name=candidate.name, steps=[command]))
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8")) | {"peak_bytes": usage.peak_bytes}
        if spec["action"] == "translate":
            _check(candidate, setting, found)
    except UserError as error:
        if candidate.tool == OURS:
            raise
        failed[candidate.tool] = error.problem
        return None
    return found


def _check(candidate: Candidate, setting: Setting, found: Mapping[str, Any]) -> None:
    """Equal work is what makes the figures comparable. A tool may search a large batch in parts, each of all steps."""
    if not set(found["lengths"]) <= {setting.length, setting.steps} or found["decoder_steps"] % setting.steps:
        did = f"{found['lengths']} pieces in {found['decoder_steps']} steps"
        problem = f"translations of {did}: {setting.length} in {setting.steps} were asked for"
        raise UserError(problem, where=candidate.name)


def _row(candidate: Candidate, found: Sequence[dict[str, Any]], setting: Setting, text: SourceText) -> Row:
    def median(key: str) -> float:
        return float(statistics.median(run[key] for run in found))

    of_model = model_cost(candidate.tool, text.num_words + SPECIALS[candidate.tool], setting.sizes[candidate.tool])
    counted = found[0]["parameters"]
    assert counted == of_model.parameters, f"{candidate.name}: {counted:,} parameters, not {of_model.parameters:,}"
    seconds = median("translate_seconds")
    row: Row = {
        "tool": candidate.name,
        "seconds": seconds,
        "sentences_per_second": text.num_sentences / seconds,
        "pieces_per_second": text.num_sentences * setting.steps / seconds,
        "processor_seconds": median("processor_seconds"),
        "import_seconds": median("import_seconds"),
        "load_seconds": median("load_seconds"),
        "peak_bytes": median("peak_bytes"),
        "rounds": [run["translate_seconds"] for run in found],
        **asdict(of_model),
    }
    if "shortlist" not in candidate.search:
        row["multiply_adds_per_second"] = row["pieces_per_second"] * setting.beam * of_model.per_output_piece
    if setting.device == "cuda":
        row["device_bytes"] = median("device_bytes")
    alone = [seconds for run in found for seconds in run["alone_seconds"]]
    if len(alone) > 1:
        row |= {"alone_median": statistics.median(alone), "alone_95": statistics.quantiles(alone, n=20)[-1]}
    return row


def with_ratios(rows: Sequence[Row], reference: str = "joeynmt") -> list[Row]:
    """Each row with how many times faster it is than the fastest peer, than the reference, and, where it is ours, than
    CTranslate2 in the same precision; in both ways."""
    peers = [row for row in rows if not row["tool"].startswith(OURS)]
    by_name = {row["tool"]: row for row in peers}
    return [dict(row) | _ratios(row, peers, by_name, reference) for row in rows]


def _ratios(row: Row, peers: Sequence[Row], by_name: Mapping[str, Row], reference: str) -> Row:
    found: Row = {}
    if peers:
        found["of_fastest_peer"] = row["sentences_per_second"] / max(peer["sentences_per_second"] for peer in peers)
    if peers and "alone_median" in row:
        found["alone_of_fastest_peer"] = min(peer["alone_median"] for peer in peers) / row["alone_median"]
    for key, name in ((reference, reference), (CTRANSLATE2, row["tool"].replace(OURS, CTRANSLATE2))):
        other = by_name.get(name)
        if other is not None and (key == reference or other is not row):
            found[f"of_{key}"] = row["sentences_per_second"] / other["sentences_per_second"]
            if "alone_median" in row:
                found[f"alone_of_{key}"] = other["alone_median"] / row["alone_median"]
    return found
