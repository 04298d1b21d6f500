"""What is said of lanes that were compared: for the page and the terminal."""

from collections.abc import Iterator
from typing import Final

from citrus_grade.calibration.drift import DRIFTED, UNSURE, WITHIN
from citrus_grade.calibration.harmony import say
from citrus_grade.runtime.harmony import Agreement, Harmonised
from citrus_grade.words import N_, _

HEADS: Final = (N_("lane"), N_("fruit"), N_("offset"), N_("interval of 90 %"), N_("out of domain"), N_("verdict"), N_("add"))
VERDICTS: Final = {WITHIN: N_("good"), UNSURE: N_("not sure"), DRIFTED: N_("OFF")}


def rows(one: Harmonised) -> list[list[str]]:
    """Return a row a lane under `HEADS`."""
    found = one.found
    columns = (one.lanes, found.n, found.offset, found.low, found.high, one.strange, found.verdict, found.proposed)
    return [
        [str(lane), f"{n:,}", f"{offset:+.3f}", f"{low:+.3f} – {high:+.3f}", f"{strange:.0%}", _(VERDICTS[verdict]),
         f"{add:+.3f}" if add else ""]
        for lane, n, offset, low, high, strange, verdict, add in zip(*columns, strict=True)
    ]  # fmt: skip


def title(one: Harmonised) -> str:
    """Return what stands above the table of a target."""
    text = _("{name}: how far each lane reads off the mean of all, {unit}; up to {tolerance:.2g} is tolerated")
    return text.format(name=one.target, unit=one.unit or "-", tolerance=one.tolerance)


def findings(agreement: Agreement) -> Iterator[tuple[str, str]]:
    """Yield what was found, each with how grave it is: "grave", "bad", "good" or ""."""
    for one in agreement.targets:
        for text in say(one.found, one.unit, one.lanes):
            yield "grave", f"{one.target}: {text}"
        unsure = [str(lane) for lane, verdict in zip(one.lanes, one.found.verdict, strict=True) if verdict == UNSURE]
        if unsure:
            text = _("{name}: too few fruit to be sure of lane {lanes}: give more runs of this model")
            yield "bad", text.format(name=one.target, lanes=", ".join(unsure))
        if not one.drifted and not unsure:
            yield "good", _("{name}: all lanes agree; nothing to do").format(name=one.target)
        for note in one.notes:
            yield "", f"{one.target}: {note}"
    if agreement.covariates:
        yield (
            "",
            _("allowed for: {names}; a camera that sees lanes differently makes an offset of its own").format(
                names=", ".join(agreement.covariates)
            ),
        )
    yield "", _("this holds where fruit reached the lanes without regard to quality, and compares lanes with each other only")
