"""What the records say, by rules that are stated with it.

The question is of Lopardo et al. (2026, arXiv 2603.26663), who find of language models that a tied table is more like
an untied output than an untied input, since the output's gradients dominate early in training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from nmt.layers.roles import USES
from nmt.reproduce.intervals import Summary, summarize
from nmt.reproduce.tying.records import EARLY, LATE, WHOLE, Point, RunGroup, cosine_of

DROWNS = 2.0
"The output's gradient drowns another's where its norm is more than so many times the other's."
NAMES = {"source_input": "source input", "target_input": "target input", "output": "output"}
"The roles for people."

ONE_SEED = "one seed: open whether others agree"

RULES = (
    f"Early: the first {EARLY:.0%} of the records; late: the last {LATE:.0%}. Of each run the mean of log2(norm of the "
    "output's gradient / norm of the input's) is taken over both; what is said goes by the 95% interval of the seeds' "
    "mean by Student's t. Ratios are geometric means therefore.",
    f"The output drowns an input where the whole interval is above a ratio of {DROWNS:g}; it is larger where it is "
    "above 1, smaller where it is below 1; otherwise no difference is shown.",
    "Early more than late: the interval of the difference, early less late, is above 0; less: below 0.",
    "Together or against each other: the interval of the mean cosine of two gradients, late, is above or below 0.",
    "More like the output or the input: the interval of the difference of the two rank correlations with the untied "
    "run's matrices, at the last validation, is above or below 0.",
    "Gradients are of single updates, before they are clipped. Adam divides them by their own size, element by "
    "element: a role that is small everywhere still moves the rows that it alone touches.",
)
"How the reading comes about."


def reading(groups: Sequence[RunGroup]) -> list[str]:
    """A sentence for each tied pair of roles of each group, and for its likeness to the untied run's matrices."""
    lines = [line for group in groups for line in _of_group(group)]
    return lines or ["No matrix of these runs has two roles: there is nothing to drown."]


def _of_group(group: RunGroup) -> Iterator[str]:
    for roles in WHOLE[group.tying]:
        if len(roles) > 1:
            yield from (f"{group.label}: {drowning(group, role)}" for role in roles if role != "output")
            yield f"{group.label}: {direction(group, roles)}"
            if likeness := like_untied(group):
                yield f"{group.label}: {likeness}"


def log_ratio(role: str, point: Point) -> float | None:
    """log2 of the norms of the output's gradient and a role's; None where one is zero or was not finite."""
    output, other = point["gradient.output"], point[f"gradient.{role}"]
    return math.log2(output / other) if output and other else None


def drowning(group: RunGroup, role: str) -> str:
    """Whether the output's gradient drowns a role's early on."""
    early = group.over_seeds(lambda run: run.early(lambda point: log_ratio(role, point)))
    late = group.over_seeds(lambda run: run.late(lambda point: log_ratio(role, point)))
    change = group.over_seeds(
        lambda run: _less(
            run.early(lambda point: log_ratio(role, point)), run.late(lambda point: log_ratio(role, point))
        )
    )
    if early is None or late is None or change is None:
        return f"nothing is known of the {NAMES[role]}'s gradients"
    told = f"{ratio_text(early)} times the {NAMES[role]}'s early, {ratio_text(late)} times late"
    if early.margin is None or change.margin is None:
        return f"the output's gradient is {told} ({ONE_SEED})"
    low, high = early.mean - early.margin, early.mean + early.margin
    if low > math.log2(DROWNS):
        verdict = f"the output's gradient drowns the {NAMES[role]}'s early on"
    elif low > 0:
        verdict = f"the output's gradient is larger than the {NAMES[role]}'s early on, but does not drown it"
    elif high < 0:
        verdict = f"the output's gradient is smaller than the {NAMES[role]}'s early on"
    else:
        verdict = f"no difference is shown between the output's gradient and the {NAMES[role]}'s early on"
    when = {1: "more so than late", -1: "less so than late", 0: "not shown to differ from late"}[sign_of(change)]
    return f"{verdict}, {when}: it is {told}"


def direction(group: RunGroup, roles: Sequence[str]) -> str:
    """Whether the roles of one matrix pull it the same way, late in training."""
    told = []
    for role in (role for role in roles if role != "output"):
        found = group.over_seeds(lambda run, role=role: run.late(cosine_of(role, "output")))  # type: ignore[misc]
        if found is None:
            continue
        if found.margin is None:
            told.append(f"the cosine of the output's and the {NAMES[role]}'s is {found.mean:+.3f} late ({ONE_SEED})")
            continue
        way = {1: "together", -1: "against each other", 0: "neither together nor apart"}[sign_of(found)]
        told.append(f"the output and the {NAMES[role]} pull {way}, cosine {found.mean:+.3f} ± {found.margin:.3f}")
    return "; ".join(told) or "no cosine is known"


def like_untied(group: RunGroup) -> str:
    """Whether the table is more like the untied output or an untied input; '' where that was not recorded."""
    inputs = [role for role in USES if role != "output" and role in WHOLE[group.tying][-1]]
    return "; ".join(filter(None, (_likeness(group, role) for role in inputs)))


def _likeness(group: RunGroup, role: str) -> str:
    last = [run.checks[-1] for run in group.runs if run.checks]
    pairs = [(point.get("rho.output"), point.get(f"rho.{role}")) for point in last]
    known = [(output, other) for output, other in pairs if output is not None and other is not None]
    if not known:
        return ""
    found = summarize([output - other for output, other in known])
    rhos = " and ".join(f"{summarize(values).mean:.3f}" for values in zip(*known, strict=True))
    if found.margin is None:
        return f"rank correlations with the untied output and the untied {NAMES[role]} are {rhos} ({ONE_SEED})"
    told = f"(rho {rhos}, difference {found.mean:+.3f} ± {found.margin:.3f})"
    if not sign_of(found):
        return f"the table is as like the untied output as the untied {NAMES[role]} {told}"
    more = "more" if sign_of(found) > 0 else "less"
    return f"the table is {more} like the untied output than the untied {NAMES[role]} {told}"


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def sign_of(summary: Summary) -> int:
    """1 or -1 where the whole interval of several seeds is above or below zero, else 0."""
    margin = math.inf if summary.margin is None else summary.margin
    return (summary.mean - margin > 0) - (summary.mean + margin < 0)


def ratio_text(summary: Summary) -> str:
    """A mean of log2 of ratios as a ratio, with its interval where there is one: '3.2 (2.9 to 3.6)'."""
    mean = 2**summary.mean
    if summary.margin is None:
        return f"{mean:.2f}"
    low, high = (2 ** (summary.mean + sign * summary.margin) for sign in (-1, 1))
    return f"{mean:.2f} (95% interval {low:.2f} to {high:.2f})"


def matrix_name(roles: Sequence[str]) -> str:
    """A matrix by its roles, for people."""
    return " = ".join(NAMES[role] for role in roles)
