"""The rule of the advice, stated once: what is measured -> a mode, why, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nmt.reproduce.advise.measured import Measured, ModeMeasured
from nmt.tying import Tying

TOLERANCE = 0.5
"BLEU that a tied model may lose on average in the short training, as long as the loss is not shown."

RULES = (
    "A tied mode is ruled out where the short training shows that it loses (the 95% interval over seeds of its BLEU "
    f"minus untied's lies below zero), and where it loses more than {TOLERANCE} BLEU on average, shown or not.",
    "Of the modes that are left the one with the fewest parameters is advised; but three-way gives way to decoder, "
    "where that is left too, if it saves a smaller share of decoder's parameters than it adds arithmetic.",
    "BLEU is of the validation text. Test sets decide nothing.",
    "A short training is not a long one: the order may change, and the gain half way beside the gain in the end, as "
    "training measures BLEU, says which way it goes. nmt-reproduce table8 trains to the end.",
)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What is advised. because, changes: sentences."""

    tying: Tying
    merges: int
    because: tuple[str, ...]
    changes: tuple[str, ...]
    "What would change it."
    firm: bool
    "Whether every comparison that decided it is shown, by intervals that leave out both zero and the tolerance."

    def headline(self, source: str, target: str) -> str:
        """In a line."""
        return f"For {source}-{target}: {self.tying.value} tying, {self.merges:,} merges" + (
            "." if self.firm else ", as far as so short a training tells."
        )


def advise(measured: Measured) -> Advice:
    """Apply the rule."""
    left = [mode for mode in measured.modes if mode.tying is Tying.UNTIED or not ruled_out(mode)]
    tying = min(left, key=lambda mode: mode.parameters).tying
    outbid = tying is Tying.THREE_WAY and not measured.row.pays and Tying.DECODER in [mode.tying for mode in left]
    if outbid:
        tying = Tying.DECODER
    because = [*_of_modes(measured, tying, outbid=outbid), *_of_text(measured)]
    return Advice(
        tying=tying,
        merges=measured.merges,
        because=(*because, measured.merges_why),
        changes=tuple(_changes(measured, tying, outbid=outbid)),
        firm=all(is_firm(mode) for mode in measured.modes if mode.gain is not None),
    )


def ruled_out(mode: ModeMeasured) -> str:
    """Why a tied mode is ruled out; '' where it is not."""
    gain = mode.gain
    assert gain is not None
    if gain.margin is not None and gain.mean + gain.margin < 0:
        return f"{mode.tying.value} is shown to lose: {gain_text(mode)}"
    if gain.mean < -TOLERANCE:
        return f"{mode.tying.value} loses more than {TOLERANCE} BLEU on average: {gain_text(mode)}"
    return ""


def is_firm(mode: ModeMeasured) -> bool:
    """Whether the interval of a mode's gain settles that it is ruled out, or that it is not."""
    gain = mode.gain
    if gain is None or gain.margin is None:
        return False
    return gain.mean + gain.margin < 0 or gain.mean - gain.margin > -TOLERANCE


def gain_text(mode: ModeMeasured) -> str:
    """'-0.32 ± 0.81 BLEU against untied over 3 seeds'."""
    gain = mode.gain
    assert gain is not None
    if gain.margin is None:
        return f"{gain.mean:+.2f} BLEU against untied (one seed)"
    return f"{gain.mean:+.2f} ± {gain.margin:.2f} BLEU against untied over {gain.n} seeds"


def saving_text(mode: ModeMeasured, untied: ModeMeasured) -> str:
    """What a mode saves of untied's size on disk."""
    share = 1 - mode.parameters / untied.parameters
    return (
        f"{share:.0%} fewer parameters than untied ({mode.parameters / 1e6:.2f}M of {untied.parameters / 1e6:.2f}M; "
        f"{mode.float32_bytes / 1e6:.1f} MB on disk, {mode.int8_bytes / 1e6:.1f} MB in int8)"
    )


def _of_modes(measured: Measured, chosen: Tying, *, outbid: bool) -> Iterator[str]:
    untied = measured.mode(Tying.UNTIED)
    if chosen is not Tying.UNTIED:
        mode = measured.mode(chosen)
        yield f"{chosen.value} has {saving_text(mode, untied)}, and is not ruled out: {gain_text(mode)}."
    for mode in measured.modes:
        if mode.gain is not None and (why := ruled_out(mode)):
            yield f"{why}."
    if outbid:
        yield f"three-way is left too, {gain_text(measured.mode(Tying.THREE_WAY))}, but does not pay: {_bargain()}."


def _bargain() -> str:
    return "it saves a smaller share of decoder's parameters than it adds arithmetic"


def _of_text(measured: Measured) -> Iterator[str]:
    row = measured.row
    yield (
        f"With {row.merges:,} merges {row.source_shared:.0%} of the source's pieces are the target's too, and "
        f"{row.running_shared:.0%} of the running pieces of both sides are in both."
    )
    if measured.source_script != measured.target_script:
        yield (
            f"The scripts differ ({measured.source_script} and {measured.target_script}); their letters have "
            f"{measured.script_overlap:.0%} in common."
        )


def _changes(measured: Measured, chosen: Tying, *, outbid: bool) -> Iterator[str]:
    for mode in measured.modes:
        if mode.gain is not None:
            yield from _changes_of(mode, measured.mode(Tying.UNTIED))
    paying, losing = (
        ", ".join(f"{row.merges:,}" for row in measured.counted if row.pays is wanted) for wanted in (True, False)
    )
    if outbid or not measured.row.pays:
        none = f"No number of merges: with none of those counted three-way pays ({_bargain()})."
        yield f"Other merges: three-way pays with {paying}." if paying else none
    elif chosen is Tying.THREE_WAY and losing:
        yield f"Other merges: with {losing} three-way does not pay: {_bargain()}."


def _changes_of(mode: ModeMeasured, untied: ModeMeasured) -> Iterator[str]:
    """What would change what is said of a tied mode."""
    gain = mode.gain
    assert gain is not None
    if not is_firm(mode):
        wide = "one seed has no interval" if gain.margin is None else f"the interval of ± {gain.margin:.2f} is wide"
        yield f"More seeds or minutes: {wide}, and {mode.tying.value} may be on either side of the line."
    if mode.course is not None:
        yield f"A longer training: {mode.tying.value}'s gain was {_way(*mode.course)}."
    if ruled_out(mode):
        yield f"If size counts for more than {-gain.mean:.2f} BLEU: {mode.tying.value} has {saving_text(mode, untied)}."


def _way(half_way: float, end: float) -> str:
    """How a gain went."""
    word = "rising" if end > half_way else "falling" if end < half_way else "level"
    return f"{half_way:+.2f} BLEU half way and {end:+.2f} in the end, {word}"
