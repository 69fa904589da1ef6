"""Mean, deviation and 95% interval of a few numbers: what several seeds allow one to say."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
    2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
    2.0452, 2.0423,
)  # fmt: skip
"Student's t at 0.975 for 1 to 30 degrees of freedom."


@dataclass(frozen=True)
class Summary:
    """Of n numbers: the mean; deviation: the sample's standard deviation; margin: half the width of the mean's 95%
    interval by Student's t. Both are None for a single number."""

    mean: float
    deviation: float | None
    margin: float | None
    n: int


def summarize(values: Sequence[float]) -> Summary:
    """The summary of at least one number."""
    n = len(values)
    mean = statistics.fmean(values)
    if n < 2:
        return Summary(mean, None, None, n)
    deviation = statistics.stdev(values)
    return Summary(mean, deviation, student_t(n - 1) * deviation / math.sqrt(n), n)


def student_t(freedom: int) -> float:
    """The 0.975 quantile of Student's t; beyond the table by the first terms of its expansion round the normal's."""
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z = statistics.NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return z + first + second + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
