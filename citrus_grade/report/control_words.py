"""What is said of a control chart: whether a lane is in control, what that means, what to do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from citrus_grade.calibration import control
from citrus_grade.runtime.checks import LEAST_TO_TELL, Charts, LaneChart
from citrus_grade.runtime.sampling import Check
from citrus_grade.words import N_, _

HEADS: Final = (N_("lane"), N_("samples"), N_("reference minus NIR, mean"), N_("signals"), N_("state"))
YEAR_2000_S: Final = 946_684_800.0
MOST_NOTES: Final = 5


def rows(charts: Charts) -> list[list[str]]:
    """Return a row a lane under `HEADS`."""
    return [
        [one.lane or _("all"), str(len(one.checks)), f"{one.deviation.mean():+.3f}", str(len(one.signals)), state(one)]
        for one in charts.lanes
    ]


def state(one: LaneChart, say: Callable[[str], str] = _) -> str:
    """Return the state of a lane in a word or two; ``say`` translates."""
    if one.out_since is None:
        return say(N_("in control"))
    return say(N_("OUT since sample {k}")).format(k=one.out_since)


def findings(charts: Charts) -> Iterator[tuple[str, str]]:
    """Yield what was found of each lane and what to do, each with how grave it is: "grave", "bad", "good" or ""."""
    for one in charts.lanes:
        where = _("lane {lane}").format(lane=one.lane) if one.lane else _("all lanes")
        yield _found(one, where, charts.unit)
    out = [one for one in charts.lanes if one.out_since is not None]
    if len(out) > 1 and 2 * len(out) > len(charts.lanes) and len({one.signals[-1].size > 0 for one in out}) == 1:
        yield (
            "bad",
            _("most lanes are off the same way: that is the season or the model more than the lanes; run citrus-grade upkeep"),
        )
    if not charts.in_time:
        yield "", _("not every sample has a time: they were taken in the order of the tables; name their column with --time")
    for note in charts.notes[:MOST_NOTES]:
        yield "bad", note
    if len(charts.notes) > MOST_NOTES:
        yield "bad", _("... and {n} more like these").format(n=len(charts.notes) - MOST_NOTES)
    if charts.lost:
        yield "bad", _("{n} samples got no value of this model on the line and do not count").format(n=charts.lost)
    if charts.others:
        yield "", _("{n} checks of the history are of other models and do not count").format(n=charts.others)
    yield "", _("a lane where all is well gives a false signal once in {n:.0f} samples").format(n=control.run_length())


def _found(one: LaneChart, where: str, unit: str) -> tuple[str, str]:
    n, mean = len(one.checks), one.deviation.mean()
    if one.out_since is not None:
        return "grave", _out(one, where, unit)
    if one.signals:
        text = _("{where}: in control again; the last signal was at sample {sample} of {n}")
        return "good", text.format(where=where, sample=one.signals[-1].sample, n=n)
    if n < LEAST_TO_TELL:
        text = _(
            "{where}: nothing seen in {n} samples, which is few: a shift of {sigma:.2g} {unit} takes {least}; go on sampling"
        )
        return "", text.format(where=where, n=n, sigma=one.sigma, unit=unit, least=LEAST_TO_TELL)
    text = _("{where}: in control, reference minus NIR {mean:+.2f} {unit} over {n} samples; nothing to do")
    return "good", text.format(where=where, mean=mean, unit=unit, n=n)


def _out(one: LaneChart, where: str, unit: str) -> str:
    last, since = one.signals[-1], one.out_since or 1
    first = one.checks[since - 1]
    reads = _("too low") if last.size > 0 else _("too high")
    text = _("{where}: out of control since sample {since} ({sample}): the NIR reads about {size:.2g} {unit} {reads}. {do}")
    alone = since == last.sample
    do = (
        _("One sample alone did this: look at its reference first, and measure it again.")
        if alone
        else _(
            "Clean the lane's window and lamp and measure its white and dark references anew; if it stays, take 20 to 30 sample"
            " fruit and run citrus-grade upkeep."
        )
    )
    named = {"since": since, "sample": _sample(first), "size": abs(last.size), "unit": unit, "reads": reads, "do": do}
    return text.format(where=where, **named)


def _sample(check: Check) -> str:
    """Return what a sample is called: its id, and its day where its time is a date."""
    if check.when is None or check.when < YEAR_2000_S:
        return check.id
    return f"{check.id}, {datetime.fromtimestamp(check.when, UTC):%Y-%m-%d}"
