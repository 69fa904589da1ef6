"""The claims of the paper's abstract, each with what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nmt.reproduce.gradients import ROWS
from nmt.reproduce.intervals import Summary
from nmt.reproduce.language.paper import LANGUAGE_TABLES
from nmt.reproduce.language.report import claim_line
from nmt.reproduce.language.results import LanguageResults
from nmt.reproduce.report import comparison
from nmt.reproduce.results import Results
from nmt.reproduce.rowscores import RowScores, differences, verdict
from nmt.reproduce.sizes import table_8_sizes
from nmt.reproduce.table4 import MODELS
from nmt.reproduce.whole.page import WholePaper
from nmt.reproduce.whole.sources import KINDS
from nmt.tying import Tying

RULE = (
    "A part of a claim is shown where the 95% interval over seeds lies on the claim's side of zero, the other way "
    "round where it lies on the other side, not shown where it holds zero, and open where there is one seed or none. A "
    "claim is shown where all its parts are. Harm to translation counts as there where the interval of the BLEU "
    "difference lies below zero; that none is shown does not prove that there is none."
)
HALF = 0.5


@dataclass(frozen=True)
class Evidence:
    """A part of a claim, or some that are told together."""

    findings: tuple[str, ...]
    "Of each part: shown, not shown, the other way round, or open."
    line: str
    "The numbers, for people."


@dataclass(frozen=True, kw_only=True)
class AbstractClaim:
    """What the abstract says, and what speaks for it and against it here."""

    letter: str
    text: str
    read_from: str
    evidence: tuple[Evidence, ...]

    @property
    def finding(self) -> str:
        """Of all parts together."""
        return together([finding for each in self.evidence for finding in each.findings])


def together(findings: Sequence[str]) -> str:
    """What parts say together; parts that are open are told where the others agree."""
    known = [each for each in findings if each != "open"]
    if not known:
        return "open"
    if all(each == "shown" for each in known):
        still = len(findings) - len(known)
        return "shown" if not still else f"shown as far as it was measured ({still} of {len(findings)} parts open)"
    if "shown" in known:
        return f"in part ({known.count('shown')} of {len(findings)} parts shown)"
    return "the other way round" if set(known) == {"the other way round"} else "not shown"


def abstract_claims(paper: WholePaper) -> list[AbstractClaim]:
    """All four."""
    return [
        AbstractClaim(
            letter="a",
            text="the topmost weight matrix of a language model is a valid word embedding",
            read_from="Table 3",
            evidence=tuple(_valid_embedding(paper)),
        ),
        AbstractClaim(
            letter="b",
            text="a tied embedding evolves more like the untied model's output embedding than its input embedding",
            read_from="Table 4, section 3",
            evidence=tuple(_like_output(paper)),
        ),
        AbstractClaim(
            letter="c",
            text="tying and projection regularisation reduce the perplexity of language models",
            read_from="Tables 5, 6, 7",
            evidence=tuple(_perplexity(paper)),
        ),
        AbstractClaim(
            letter="d",
            text="tying takes translation models to less than half of their size without harming their performance",
            read_from="Table 8",
            evidence=tuple(_translation(paper)),
        ),
    ]


def side(found: Summary | None) -> str:
    """shown: the interval lies above 0; open: there is none."""
    return "open" if found is None else verdict(found)


def reduced(scale: str) -> str:
    """What is said of models that are not the paper's."""
    return "" if scale == "paper" else f" (scale {scale})"


def _absent(key: str) -> Evidence:
    title = KINDS[key].title.partition(":")[0]
    return Evidence(("open",), f"{title}: open; not there yet ({KINDS[key].how})")


def _valid_embedding(paper: WholePaper) -> Iterator[Evidence]:
    if not paper.records["table3"]:
        yield _absent("table3")
    for table in paper.records["table3"]:
        where = f"Table 3{f' on {table.name}' if table.name else ''}{reduced(table.scale)}"
        if not table.runs:
            yield Evidence(("open",), f"{where}: open; no model is finished")
            continue
        yield from _by_benchmark(table.scores, where)


def _by_benchmark(scores: RowScores, where: str) -> Iterator[Evidence]:
    better = {each.benchmark: each.difference for each in differences(scores) if each.better == "output"}
    rhos = {name: scores.mean("output", name) for name in scores.benchmarks}
    yield _of_benchmarks(f"{where}: output rows order pairs as people do (rho above 0)", rhos)
    yield _of_benchmarks(f"{where}: output rows score higher than input rows", {n: better.get(n) for n in rhos})


def _of_benchmarks(claim: str, found: Mapping[str, Summary | None]) -> Evidence:
    findings = tuple(side(each) for each in found.values())
    told = ", ".join(f"{name} {side(each)} ({_interval(each)})" for name, each in found.items())
    return Evidence(findings, f"{claim}: {told}")


def _interval(found: Summary | None) -> str:
    if found is None:
        return "no rho"
    return f"{found.mean:+.3f}" + (" at one seed" if found.margin is None else f" ± {found.margin:.3f}")


def _like_output(paper: WholePaper) -> Iterator[Evidence]:
    if not paper.records["table4"]:
        yield _absent("table4")
    for table in paper.records["table4"]:
        for model in ("small", "large"):
            column = table.column(model)
            if column is None:
                yield Evidence(("open",), f"Table 4, {MODELS[model]}: open; no models yet")
            else:
                yield Evidence((side(column.difference),), f"Table 4, {column.reading()}")
    if not paper.records["gradients"]:
        yield _absent("gradients")
    for study in paper.records["gradients"]:
        for rows, line in zip(ROWS, study.reading(), strict=True):
            yield Evidence((side(study.difference(rows)),), f"Section 3{reduced(study.scale)}: {line}")


def _perplexity(paper: WholePaper) -> Iterator[Evidence]:
    for key in ("table5", "table6"):
        if not paper.records[key]:
            for claim in LANGUAGE_TABLES[key].claims:
                yield Evidence(("open",), f"{KINDS[key].title.partition(':')[0]}: {claim.text}: open; not there yet")
        for results in paper.records[key]:
            yield from _language_claims(results, f"{KINDS[key].title.partition(':')[0]}{reduced(results.scale)}")
    if not paper.records["table7"]:
        yield _absent("table7")
    for table in paper.records["table7"]:
        for results in table.texts.values():
            yield from _language_claims(results, f"Table 7, {results.name}{reduced(results.scale)}")


def _language_claims(results: LanguageResults, where: str) -> Iterator[Evidence]:
    for claim in results.claims:
        yield Evidence((claim.finding,), f"{where}: {claim_line(claim, results.split)}")


def _translation(paper: WholePaper) -> Iterator[Evidence]:
    counted = [row for row in table_8_sizes() if row["tying"] == Tying.THREE_WAY.value]
    told = ", ".join(f"{row['pair'].upper()} {100 * row['of_untied']:.1f}%" for row in counted)
    small = all(row["of_untied"] < HALF for row in counted)
    finding = "shown" if small else "the other way round"
    line = f"size at the paper's vocabularies, counted from built models: {told} of untied's parameters: {finding}"
    yield Evidence((finding,), line)
    if not paper.records["table8"]:
        yield _absent("table8")
    for results in paper.records["table8"]:
        yield from _language_pair(results)


def _language_pair(results: Results) -> Iterator[Evidence]:
    where = f"Table 8 on {f'{results.name} {results.pair.upper()}'.strip()}{reduced(results.scale)}"
    totals = {mode.tying: mode.total for mode in results.modes}
    tied, untied = totals.get(Tying.THREE_WAY.value), totals.get(Tying.UNTIED.value)
    if tied is None or untied is None:
        yield Evidence(("open",), f"{where}: open; not all modes are there")
        return
    share = tied / untied
    finding = "shown" if share < HALF else "not shown"
    yield Evidence((finding,), f"{where}: less than half of the size: {finding}; three-way has {share:.1%} of untied's")
    for name in results.sets[1:] or results.sets:
        found = comparison(results, Tying.THREE_WAY.value, name)
        difference = found.difference if found else None
        yield Evidence((_harm(difference),), f"{where}, {name}: no harm to BLEU: {_harm_told(difference)}")


def _harm(difference: Summary | None) -> str:
    if difference is None or difference.margin is None:
        return "open"
    return "the other way round" if difference.mean + difference.margin < 0 else "shown"


def _harm_told(difference: Summary | None) -> str:
    if difference is None:
        return "open; no seed has both models"
    if difference.margin is None:
        return f"open at one seed; {difference.mean:+.2f}"
    low, high = difference.mean - difference.margin, difference.mean + difference.margin
    words = "harm shown" if high < 0 else "none shown" if low <= 0 else "better"
    return f"{words}; {difference.mean:+.2f} (95% interval {low:+.2f} to {high:+.2f}, {difference.n} seeds)"
