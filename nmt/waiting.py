"""How the threads of a product wait for each other: spinning for a moment, or asleep where other programs run.

By default they spin for milliseconds, in the hope that the last one is nearly done. As soon as another program wants a
core, the last one is not even running, and the others burn the time that it needs. Asleep they leave it, but waking
takes longer than most products: alone on the machine that costs a third of the speed (docs/benchmarks.md has figures).
OpenMP reads its setting when its library is loaded, so it is chosen before torch is, by a look at what runs then.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

OWN_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"What a user may have set: then it counts."
BRIEFLY = "10000"
"Turns that a thread spins, in place of 300,000: what comes later than the first look costs less."
LOOKS, PAUSE_SECONDS = 5, 0.005
LOADAVG = Path("/proc/loadavg")


def choose_waiting() -> None:
    """Set how threads wait. Without effect where OpenMP is loaded already; elsewhere than on Linux nothing is set."""
    if any(name in os.environ for name in OWN_SETTINGS):
        return
    others = others_running()
    if others is not None:
        name, value = ("OMP_WAIT_POLICY", "PASSIVE") if others else ("GOMP_SPINCOUNT", BRIEFLY)
        os.environ[name] = value


def others_running() -> int | None:
    """How many threads of other programs want a core now, the median of a few looks; None: the system does not say."""
    counts = []
    for _ in range(LOOKS):
        try:
            counts.append(int(LOADAVG.read_text().split()[3].partition("/")[0]) - 1)  # this process is running, too
        except (OSError, ValueError, IndexError):
            return None
        time.sleep(PAUSE_SECONDS)
    return max(0, int(statistics.median(counts)))
