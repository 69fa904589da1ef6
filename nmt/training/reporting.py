"""What training tells: lines for people, metrics.jsonl for programs, TensorBoard for eyes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from bpe.textfiles import no_space, write_lines

METRICS = "metrics.jsonl"


class Reporter:
    """Prints to standard error and appends records to the model folder.

    On resumption, records after the update resumed from are dropped: those updates are made again.
    """

    def __init__(self, folder: Path, *, resumed_at: int, tensorboard: bool, quiet: bool) -> None:
        self.path, self.quiet = folder / METRICS, quiet
        self._keep_until(resumed_at)
        self.writer = self._tensorboard(folder, resumed_at) if tensorboard else None

    def say(self, line: str) -> None:
        """A line for people."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        """A line for people who asked for none, too."""
        print(line, file=sys.stderr, flush=True)

    def record(self, kind: str, update: int, values: dict[str, Any]) -> None:
        """Append one record; kind is 'train' or 'validation'."""
        line = as_json({"kind": kind, "update": update, **values})
        try:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise no_space(error, self.path) from None
        if self.writer is not None:
            for name, value in values.items():
                if isinstance(value, int | float) and math.isfinite(value):
                    self.writer.add_scalar(f"{kind}/{name}", value, update)

    def close(self) -> None:
        """Flush what TensorBoard still holds."""
        if self.writer is not None:
            self.writer.close()

    @staticmethod
    def silent() -> Reporter:
        """One that says and writes nothing: of every worker but the first."""
        return _Silent()

    def _keep_until(self, update: int) -> None:
        if not self.path.exists():
            return
        kept = [r for r in read_metrics(self.path) if r["update"] <= update]
        write_lines(self.path, map(as_json, kept))

    def _tensorboard(self, folder: Path, resumed_at: int) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.say("TensorBoard is not installed (pip install tensorboard); metrics.jsonl has everything")
            return None
        return SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_at + 1)


class _Silent(Reporter):
    def __init__(self) -> None:
        self.writer = None

    def say(self, line: str) -> None:
        pass

    def warn(self, line: str) -> None:
        pass

    def record(self, kind: str, update: int, values: dict[str, Any]) -> None:
        pass


def as_json(record: dict[str, Any]) -> str:
    """One line of metrics.jsonl. A number that is not finite, which JSON does not know, is null."""
    known = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in record.items()
    }
    return json.dumps(known, allow_nan=False)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl; a last line that a killed run left half written is dropped.

    What was not finite is None, in files that say NaN, too.
    """
    records = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            records.append(json.loads(line, parse_constant=lambda _: None))
        except ValueError:
            continue
    return records
