"""What a model is fit for, said plainly: for single fruit, for lot means, or not judged at all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from citrus_grade.words import _

LEAST_GAIN: Final = 0.15
"""A value for single fruit must be so much better than saying the lot's mean."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``code`` for programs: ``unfit_for_single_fruit``, ``no_groups`` or ``few_groups``; ``numbers`` that its text tells."""

    code: str
    numbers: Mapping[str, Any]

    def text(self) -> str:
        """Return it in words."""
        return _TEXTS[self.code]().format(**self.numbers)


_TEXTS: Final = {
    "unfit_for_single_fruit": lambda: _(
        "{name}: not fit for grading single fruit: its error {rmse:.3g} is {gain:.0%} below the spread {sd:.3g} inside lots, less"
        " than the {least:.0%} it takes; use the mean of a lot, or two classes with a wide guard band"
    ),
    "no_groups": lambda: _(
        "no lots were named (--group): a tenth was left out at random, and errors of a new lot or season will be larger{there}"
    ),
    "few_groups": lambda: _("only {n} lots: the error of a new lot is told from so few; add lots of other days and growers"),
}


def verdicts(training: Mapping[str, Any]) -> Iterator[Verdict]:
    """Yield what a model's story says it should not be used for."""
    for name, one in training["targets"].items():
        if one["sd_within"] <= 0:
            continue  # every group is one fruit: there is no spread inside to compare with
        gain = 1.0 - one["rmsecv"] / one["sd_within"]
        if gain < LEAST_GAIN:
            numbers = {"name": name, "rmse": one["rmsecv"], "gain": gain, "sd": one["sd_within"], "least": LEAST_GAIN}
            yield Verdict("unfit_for_single_fruit", numbers)
    groups = training["groups"]
    if not groups:
        may = training.get("columns_that_may_name_lots") or []
        there = _("; these columns may name them: {names}").format(names=", ".join(may)) if may else ""
        yield Verdict("no_groups", {"there": there})
    elif len(groups) < 4:
        yield Verdict("few_groups", {"n": len(groups)})
