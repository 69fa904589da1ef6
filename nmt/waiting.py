"""How the threads of a product wait for each other: asleep.

By default they spin for milliseconds, in the hope that the last one is nearly done. As soon as another program wants a
core, the last one is not even running, and the others burn the time that it needs: `scripts/bench busy` measures it.
OpenMP reads its setting when its library is loaded, so this comes before torch, wherever a command starts.
"""

from __future__ import annotations

import os

OWN_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"What a user may have set: then it counts."


def wait_asleep() -> None:
    """Have threads that wait give up their core. Without effect where OpenMP is loaded already."""
    if not any(name in os.environ for name in OWN_SETTINGS):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
