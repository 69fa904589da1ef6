"""nmt-serve under load, over the loopback interface: many clients, and bad ones.

Throughput: every client sends one line after the other, as raw HTTP. nmt-translate's search gets the same lines in
blocks, with the same settings, in a process that has loaded the model; the two take turns. The clients' own work is
done on the same cores as the server's. With --export in place of --model, a folder of nmt-export is served, and
CTranslate2 gets the lines. Then clients that vanish, malformed requests and slow senders come, and after
each the server must answer, hold no more memory than before, and have written nothing to standard error.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import nmt.cli  # noqa: F401 (chooses how threads wait, before torch is loaded; the server does as this process does)
from bpe.command import Parser
from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.cli.pipes import BLOCK_LINES
from scripts.benchmarks.report import Column, Row, Table, as_json, facts, write_json
from scripts.benchmarks.serve_alone import Alone, alone
from scripts.benchmarks.serve_clients import ask_all, send_nonsense, send_slowly, translate_request, vanish

MEGABYTE = 1 << 20
WARM_UP = 64
RECEIVE_SECONDS = 3.0
"In which a slow request must have come, here."
SPEED_COLUMNS = (
    Column("what", "what"),
    Column("lines/s", "lines_per_second", ",.1f"),
    Column("of the first", "share", ".1%"),
    Column("CPU s", "cpu_seconds", ",.1f"),
    Column("median ms", "median", ",.0f", 1000),
    Column("99% ms", "percentile_99", ",.0f", 1000),
    Column("other lines", "different", ",.0f"),
)
BAD_COLUMNS = (
    Column("what", "what"),
    Column("seconds", "seconds", ",.1f"),
    Column("answers", "answers"),
    Column("then: ms", "then", ",.0f", 1000),
    Column("MB before", "before", ",.0f", 1 / MEGABYTE),
    Column("MB after", "after", ",.0f", 1 / MEGABYTE),
    Column("open files", "files", ",.0f"),
)
NOTES = (
    "the first: its search on the same lines, loading not counted; median and 99%: of a request",
    "CPU s: processor time, of the server alone without its clients'",
    "other lines: whose translation is not that of the first",
)
BAD_NOTES = ("answers: how many of each status, 0: closed without one; then: the next proper request",)


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench serve", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--model", type=Path, metavar="DIR", help="a trained model")
    add("--export", type=Path, metavar="DIR", help="or a folder of nmt-export --to ctranslate2")
    add("--source", type=Path, required=True, metavar="FILE", help="raw text, a sentence a line")
    add("--clients", type=int, nargs="+", default=[1, 64], metavar="N", help="default: 1 64")
    numbers = {"--lines": 1000, "--rounds": 3, "--threads": 2}
    numbers |= {"--vanishing": 1000, "--malformed": 10_000, "--slow": 100}
    for flag, default in numbers.items():
        add(flag, type=int, default=default, metavar="N", help=f"default: {default}")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    wanted = parser.parse_args(argv)
    if min(wanted.lines, wanted.rounds, wanted.threads, *wanted.clients) < 1:
        raise UserError("--lines, --rounds, --threads and --clients must be at least 1")
    if bool(wanted.model) == bool(wanted.export):
        parser.error("one of --model and --export is needed")
    return wanted


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    about = facts("serve", argv, ("torch", "ctranslate2", "starlette", "uvicorn"))
    print(about.text(), flush=True)
    lines = [line for line in islice(read_lines(wanted.source), wanted.lines) if line.strip()]
    if not lines:
        raise UserError("has no lines", where=wanted.source)
    first = alone(wanted)
    options = first.reader.text.options
    requests = [translate_request(line, options.source, options.target) for line in lines]
    tables: list[Table] = []
    with Server(wanted) as server:
        for measure in (_speed, _bad_clients):
            tables.append(measure(wanted, server, first, lines, requests))
            print(f"\n{tables[-1].text()}", flush=True)
    if wanted.json:
        given = {key: str(value) if isinstance(value, Path) else value for key, value in vars(wanted).items()}
        write_json(wanted.json, about, {"options": given, "tables": as_json(tables)})


class Server:
    """nmt-serve as a process, from when it answers until it is told to end."""

    def __init__(self, wanted: Namespace) -> None:
        command = [sys.executable, "-P", "-m", "nmt.cli.serve", "--port", "0"]
        command += ["--export", str(wanted.export)] if wanted.export else ["--model", str(wanted.model)]
        command += ["--device", "cpu", "--threads", str(wanted.threads)]
        command += ["--set", f"serve.receive_timeout={RECEIVE_SECONDS}", "--queue-limit", "4096"]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process is)
        self.process = subprocess.Popen(command, stderr=self._log)
        self.port = 0

    def __enter__(self) -> Server:
        while not (found := re.search(r":(\d+) serves", self.log())):
            if self.process.poll() is not None:
                raise UserError(f"nmt-serve ended: {self.log().strip()}")
            time.sleep(0.1)
        self.port = int(found[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def log(self) -> str:
        """What it has written to standard error."""
        self._log.seek(0)
        return self._log.read()

    def cpu_seconds(self) -> float | None:
        """Processor time that it has used; None where the system does not say."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return None
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int | None:
        """Bytes that it holds now; None where the system does not say."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
        return int(found[1]) * 1024 if found else None

    def open_files(self) -> int | None:
        """How many files and connections it has open; None where the system does not say."""
        folder = f"/proc/{self.process.pid}/fd"
        return len(os.listdir(folder)) if os.path.isdir(folder) else None


def _speed(wanted: Namespace, server: Server, first: Alone, lines: Sequence[str], requests: Sequence[bytes]) -> Table:
    expected = first.translate(lines[:WARM_UP])
    asyncio.run(ask_all(server.port, requests[:WARM_UP], WARM_UP))
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    served: dict[int, list[Row]] = {clients: [] for clients in wanted.clients}
    for number in range(wanted.rounds):
        print(f"round {number + 1} of {wanted.rounds}", file=sys.stderr, flush=True)
        begun, used = time.perf_counter(), time.process_time()
        blocks = (lines[start : start + BLOCK_LINES] for start in range(0, len(lines), BLOCK_LINES))
        expected = [text for block in blocks for text in first.translate(block)]
        seconds.append(time.perf_counter() - begun)
        cpu_seconds.append(time.process_time() - used)
        for clients, rows in served.items():
            rows.append(_of_clients(server, requests, clients, expected))
    base = len(lines) / statistics.median(seconds)
    own: Row = {"what": f"{first.name}, blocks of {BLOCK_LINES:,}", "lines_per_second": base, "share": 1.0}
    rows = [own | {"cpu_seconds": statistics.median(cpu_seconds)}]
    for clients, found in served.items():
        names = ("lines_per_second", "cpu_seconds", "median", "percentile_99", "different")
        row: Row = {name: _median([each[name] for each in found]) for name in names}
        what = f"nmt-serve, {clients:,} client{'s' if clients > 1 else ''}"
        rows.append({"what": what, **row, "share": row["lines_per_second"] / base})
    title = f"{len(lines):,} lines, beam {first.reader.search.beam}, {wanted.threads} threads, {wanted.rounds} rounds"
    return Table(title=title, columns=SPEED_COLUMNS, rows=rows, notes=NOTES)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _of_clients(server: Server, requests: Sequence[bytes], clients: int, expected: Sequence[str]) -> Row:
    used = server.cpu_seconds()
    found = asyncio.run(ask_all(server.port, requests, clients))
    spent = server.cpu_seconds()
    if set(found.statuses) != {200}:
        raise UserError(f"the server answered {dict(found.statuses)}", hint=server.log())
    each = sorted(found.each)
    return {
        "lines_per_second": len(requests) / found.seconds,
        "cpu_seconds": None if used is None or spent is None else spent - used,
        "median": statistics.median(each),
        "percentile_99": each[min(len(each) - 1, len(each) * 99 // 100)],
        "different": sum(found.texts[number] != text for number, text in enumerate(expected)),
    }


def _bad_clients(
    wanted: Namespace, server: Server, first: Alone, lines: Sequence[str], requests: Sequence[bytes]
) -> Table:
    some = [requests[number % len(requests)] for number in range(wanted.vanishing)]
    slow = [f"{wanted.slow:,} senders of a byte in 50 ms", send_slowly(server.port, wanted.slow, requests[0], 0.05)]
    kinds: list[list[Any]] = [
        [f"{wanted.vanishing:,} clients that vanish", vanish(server.port, some, 100)],
        [f"{wanted.malformed:,} malformed requests", send_nonsense(server.port, wanted.malformed, 100)],
        slow,
    ]
    said = server.log()
    rows = [_after(server, requests[0], what, work) for what, work in kinds]
    if server.log() != said:
        raise UserError(f"the server wrote to standard error: {server.log()[len(said) :][:2000]}")
    return Table(title="Bad clients", columns=BAD_COLUMNS, rows=rows, notes=BAD_NOTES)


def _after(server: Server, proper: bytes, what: str, work: Coroutine[Any, Any, Any]) -> Row:
    """What bad clients cost, and whether the server answers after them."""
    print(what, file=sys.stderr, flush=True)
    before, begun = server.memory(), time.perf_counter()
    statuses = asyncio.run(work)
    seconds = time.perf_counter() - begun
    then = asyncio.run(ask_all(server.port, [proper], 1))
    if then.statuses != {200: 1}:
        raise UserError(f"after {what} the server answered {dict(then.statuses)}", hint=server.log())
    _settle(server)
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted((statuses or {}).items()))
    return {
        "what": what,
        "seconds": seconds,
        "answers": answers or "-",
        "then": then.each[0],
        "before": before,
        "after": server.memory(),
        "files": server.open_files(),
    }


def _settle(server: Server, quiet: Callable[[float], object] = time.sleep) -> None:
    """Wait until connections that were broken off are closed on the server's side, too."""
    for _ in range(50):
        before = server.open_files()
        quiet(0.2)
        if server.open_files() == before:
            return
