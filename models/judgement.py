"""What an accuracy card comes to, in sentences: what is wrong, and what to do."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from citrus_grade.models.evaluate import Evaluation, Part
from citrus_grade.models.verdict import LEAST_GAIN
from citrus_grade.words import _

LEAST_FRUIT: Final = 20
"""ISO 12099 asks for so many samples to judge a bias or a slope."""
PROMISED: Final = 0.9
STRANGE: Final = 0.05
"""A larger share of fruit beyond the domain is told."""
WARMTH_C: Final = 15.0
"""What a day or a cold store changes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` for programs, ``text`` for people; ``grave`` where the figures themselves must not be believed."""

    code: str
    text: str
    grave: bool = False


def findings(card: Evaluation, unit: str = "") -> list[Finding]:
    """Return what is to be said of an accuracy card; an empty list is good news."""
    return [*_belief(card), *_errors(card, unit), *_lanes(card, unit), *_honesty(card), *_warmth(card, unit)]


def _belief(card: Evaluation) -> Iterator[Finding]:
    n = card.overall.accuracy.n
    if card.lots_trained_on:
        text = _("the model was made from fruit of {lots}: errors there are too good; judge it on lots it has not seen")
        yield Finding("training_lots", text.format(lots=", ".join(card.lots_trained_on)), grave=True)
    if card.fruit_trained_on:
        text = _("the model was made from the very spectra of {k} of {n} fruit: the error is too good; leave them out")
        yield Finding("training_fruit", text.format(k=card.fruit_trained_on, n=n), grave=True)
    if not card.lots and card.fruit_trained_on is None:
        yield Finding("lots_unnamed", _("no lots are named (--group), so nobody can tell whether the model has seen these fruit"))
    if n < LEAST_FRUIT:
        text = _("only {n} fruit: limits are wide, so little can be found; bring {least} or more")
        yield Finding("few_fruit", text.format(n=n, least=LEAST_FRUIT))


def _errors(card: Evaluation, unit: str) -> Iterator[Finding]:
    one = card.overall.accuracy
    own = {"unit": f" {unit}" if unit else ""}
    if one.has_bias:
        text = _(
            "bias {bias:+.3g}{unit} is beyond its limit of {limit:.3g}: the model tells too {way}; correct it from these fruit"
        )
        way = _("little") if one.bias > 0 else _("much")
        yield Finding("bias", text.format(bias=one.bias, limit=one.bias_limit, way=way, **own))
    if one.has_slope:
        text = _(
            "slope {slope:.3f} differs from 1 by more than {limit:.3f}: check the range of the references before correcting it"
        )
        yield Finding("slope", text.format(slope=one.slope, limit=one.slope_limit))
    if one.sep > card.sep_limit:
        text = _(
            "SEP {sep:.3g}{unit} is beyond its limit of {limit:.3g}: these fruit are told worse than those of training; refit"
        )
        yield Finding("sep", text.format(sep=one.sep, limit=card.sep_limit, **own))
    gain = 1.0 - one.rmsep / card.sd_within_lots
    if not math.isnan(gain) and gain < LEAST_GAIN:
        text = _(
            "not fit for grading single fruit here: error {rmsep:.3g}{unit} is {gain:.0%} below the spread {sd:.3g} inside lots"
        )
        yield Finding("unfit_for_single_fruit", text.format(rmsep=one.rmsep, gain=gain, sd=card.sd_within_lots, **own))


def _lanes(card: Evaluation, unit: str) -> Iterator[Finding]:
    """Lanes that are off by something else than all fruit are."""
    off = {
        lane: part.accuracy.bias - card.overall.accuracy.bias
        for lane, part in card.lanes.items()
        if abs(part.accuracy.bias - card.overall.accuracy.bias) > part.accuracy.bias_limit
    }
    if off and len(card.lanes) > 1:
        text = _("lanes that differ from all fruit by more than chance: {lanes}; correct each lane by its own fruit")
        told = ", ".join(f"{lane} ({f'{by:+.3g} {unit}'.rstrip()})" for lane, by in off.items())
        yield Finding("lanes", text.format(lanes=told))


def _honesty(card: Evaluation) -> Iterator[Finding]:
    named = {_("all fruit"): card.overall, **{_("lane {lane}").format(lane=lane): part for lane, part in card.lanes.items()}}
    missed = [f"{name} {part.coverage.share:.0%} ({way})" for name, part in named.items() if (way := _miss(part)) is not None]
    if missed:
        text = _("90 of 100 intervals should hold the reference, and do not: {parts}")
        yield Finding("coverage", text.format(parts=", ".join(missed)))
    if card.beyond.low > STRANGE:
        text = _("{share:.0%} of the fruit are unlike those the model was made from: add such fruit to it, or grade them apart")
        yield Finding("out_of_domain", text.format(share=card.beyond.share))


def _miss(part: Part) -> str | None:
    if part.coverage.high < PROMISED:
        return _("too few")
    return _("too many") if part.coverage.low > PROMISED else None


def _warmth(card: Evaluation, unit: str) -> Iterator[Finding]:
    found = card.temperature
    if found is not None and found.is_there:
        text = _("the residual follows the fruit's temperature: {shift:+.3g}{unit} in {step:g} °C; train at mixed temperatures")
        own = {"shift": found.slope * WARMTH_C, "step": WARMTH_C, "unit": f" {unit}" if unit else ""}
        yield Finding("temperature", text.format(**own))
