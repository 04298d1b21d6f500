"""The rows of an accuracy card, as text: for the page and the terminal."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from citrus_grade.models.evaluate import Accuracy, Part, Share
from citrus_grade.runtime.evaluating import Evaluated
from citrus_grade.words import N_, _

NOTHING: Final = "–"
PARTS: Final = (
    N_("name"), N_("n"), N_("bias"), N_("SEP"), N_("slope"), N_("RMSEP"), N_("R2"), N_("RPD"), N_("cover"),
)  # fmt: skip


def number(value: float | None, form: str = ".3g") -> str:
    """Return a number, or a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else format(value, form)


def percent(of: Share) -> str:
    """Return a share in per cent."""
    return NOTHING if math.isnan(of.share) else f"{100 * of.share:.1f} %"


def _between(low: float, high: float) -> str:
    return NOTHING if math.isnan(low) else f"{low:.3g} – {high:.3g}"


def _interval(of: Share) -> str:
    return NOTHING if math.isnan(of.share) else f"{100 * of.low:.0f} – {100 * of.high:.0f} %"


def figures(found: Evaluated) -> Iterator[tuple[str, str, str]]:
    """Yield what, value, and limit or interval of all fruit together."""
    card, one = found.card, found.card.overall.accuracy
    unit = f", {found.unit}" if found.unit else ""
    yield _("n, fruit"), f"{one.n:,}", ""
    yield _("reference: range") + unit, _between(one.low, one.high), ""
    yield _("reference: mean, SD") + unit, f"{one.mean:.4g}, {number(one.sd)}", ""
    yield _("SEL, the laboratory's error") + unit, number(card.basis.sel), ""
    yield (
        _("bias (reference minus predicted)") + unit,
        number(one.bias, "+.3g"),
        _("± {limit}").format(limit=number(one.bias_limit)),
    )
    yield _("SEP") + unit, number(one.sep), _("{between}; limit {limit}").format(
        between=_between(one.sep_low, one.sep_high), limit=number(card.sep_limit)
    )  # fmt: skip
    if card.sep_without_lab is not None:
        yield _("SEP without the laboratory's share") + unit, number(card.sep_without_lab), ""
    yield _("slope"), number(one.slope, ".3f"), _("1 ± {limit}").format(limit=number(one.slope_limit, ".3f"))
    yield _("RMSEP") + unit, number(one.rmsep), _("in training {error}").format(error=number(card.basis.error))
    yield _("R2, RPD"), f"{number(one.r2, '.3f')}, {number(one.rpd, '.2f')}", ""
    if not math.isnan(card.sd_within_lots):
        yield _("SD of references inside lots") + unit, number(card.sd_within_lots), ""
    yield _("references inside the interval of 90 %"), percent(card.overall.coverage), _interval(card.overall.coverage)
    yield _("beyond T2, beyond Q"), f"{percent(card.beyond_t2)}, {percent(card.beyond_q)}", ""
    if card.in_domain is not None and card.beyond.share > 0:
        yield _("RMSEP of fruit in domain") + unit, number(card.in_domain.accuracy.rmsep), f"n = {card.in_domain.accuracy.n:,}"
    if card.temperature is not None:
        warm = card.temperature
        yield _("fruit temperature, °C"), _between(warm.low, warm.high), _("residual {slope} ± {half} per °C").format(
            slope=number(warm.slope, "+.3g"), half=number(warm.half)
        )  # fmt: skip


def part_rows(parts: Mapping[str, Part]) -> list[tuple[str, ...]]:
    """Return a row of `PARTS` for each lane or lot; a bias beyond its limit has a star, a slope likewise."""
    return [(name or NOTHING, *_part(part.accuracy), f"{100 * part.coverage.share:.0f} %") for name, part in parts.items()]


def _part(one: Accuracy) -> tuple[str, ...]:
    bias = f"{number(one.bias, '+.3g')}{'*' * one.has_bias} ± {number(one.bias_limit, '.2g')}"
    slope = number(one.slope, ".2f") + "*" * one.has_slope
    return f"{one.n:,}", bias, number(one.sep), slope, number(one.rmsep), number(one.r2, ".2f"), number(one.rpd, ".2f")
