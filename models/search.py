"""Which recipe, which family, how many components: grouped cross-validation, and the simpler model within 3 %."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold

from citrus_grade.calibration import pls
from citrus_grade.calibration.pls import Fold, Pls
from citrus_grade.models import recipes
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.score_models import (
    Kernel,
    ScoreModel,
    gaussian_process,
    mean_of,
    representative,
    straight,
    support_vectors,
    tune,
)

Floats = NDArray[np.float64]
Step = Callable[[str], None]

FAMILIES: Final = ("pls", "gpr", "svr", "mean")
"""Simple ones first."""
MARGIN: Final = 1.03
"""A simpler model wins while its RMSECV is within 3 % of the best."""
MAX_COMPONENTS: Final = 30
MAX_FOLDS: Final = 12
RANDOM_FOLDS: Final = 10
DRAWINGS: Final = 3
MANY: Final = 1000
"""Rows from which on one drawing of folds is enough."""
ALIKE: Final = 1.25
"""Recipes within so much of the best one are averaged with it."""
SHORTLIST: Final = 3
"""Recipes that the nonlinear families are tried on."""
SEARCHED_ON: Final = {"pls": 1000, "gpr": 1000, "svr": 400}
"""Representative fruit a family is judged with; it is made from more in the end, so it is judged a little too hard."""
COSTS: Final = (1.0, 10.0, 100.0)
WIDER: Final = (1.0, 3.0)
"""What the lengths of a Gaussian process are multiplied by for support vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """``absorbance`` (n, p) at ``wavelength_nm`` (p,); ``reference`` (n, n_targets); ``groups`` (n,), None if nobody knows."""

    wavelength_nm: Floats
    absorbance: Floats
    reference: Floats
    groups: NDArray[Any] | None

    def folds(self) -> list[Fold]:
        """Return the rows to leave out in turn: whole groups, or a tenth drawn at random where there are none."""
        return self.rounds()[0]

    def rounds(self) -> list[list[Fold]]:
        """Return `folds`, and where they are drawn at random some more drawings: what is chosen should not hang on one."""
        n = len(self.reference)
        if self.groups is not None:
            splits = GroupKFold(min(len(np.unique(self.groups)), MAX_FOLDS)).split(np.empty(n), groups=self.groups)
            return [[np.asarray(test, np.int64) for _, test in splits]]
        drawn = [KFold(min(RANDOM_FOLDS, n), shuffle=True, random_state=seed) for seed in range(DRAWINGS if n < MANY else 1)]
        return [[np.asarray(test, np.int64) for _, test in one.split(np.empty(n))] for one in drawn]


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A recipe with a family and its number of components; ``said`` (n,) predictions of every row by fits without its fold.

    ``beside``: further recipes with their numbers of components, averaged with it; they differ in the derivative only.
    """

    recipe: Recipe
    family: str
    components: int
    said: Floats
    rmse: float
    dials: "Dials | None" = None
    beside: tuple[tuple[Recipe, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Dials:
    """What the nonlinear families were tuned to."""

    kernel: Kernel
    cost: float
    wider: float

    def to_dict(self) -> dict[str, Any]:
        """Return them as a card keeps them."""
        kernel = self.kernel
        variances = {"line": kernel.line, "gauss": kernel.gauss, "noise": kernel.noise}
        return {**variances, "stretch": kernel.stretch.tolist(), "cost": self.cost, "wider": self.wider}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Dials":
        """Return what `to_dict` told."""
        kernel = Kernel(told["line"], told["gauss"], told["noise"], np.array(told["stretch"]))
        return cls(kernel, told["cost"], told["wider"])


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The features of a batch under a recipe, as they are and turned narrow; ``turn`` leads from one to the other."""

    recipe: Recipe
    features: Floats
    narrow: Floats
    components: int
    turn: Floats = field(repr=False)


def prepare(batch: Samples, recipe: Recipe, folds: Sequence[Fold]) -> Prepared:
    """Return the features of a batch under a recipe."""
    chosen = batch.absorbance[:, recipes.window(batch.wavelength_nm, recipe)]
    made = recipes.preprocessing(recipe, batch.wavelength_nm, batch.absorbance)
    full = recipes.features(made, chosen)
    narrow, turn = pls.compress(full)
    least = min(len(batch.reference) - len(rows) for rows in folds)
    return Prepared(recipe, full, narrow, max(1, min(MAX_COMPONENTS, least // 3, full.shape[1] // 2)), turn)


def search_pls(batch: Samples, tried: Sequence[Recipe], step: Step) -> list[list[Tried]]:
    """Try every recipe with PLS; return per target the recipes with their number of components, then averages of recipes."""
    found: list[list[Tried]] = [[] for _ in batch.reference.T]
    rounds = batch.rounds()
    for recipe in tried:
        ready = prepare(batch, recipe, rounds[0])
        for target, y in enumerate(batch.reference.T):
            found[target].append(_try_pls(ready, y, rounds))
        step(str(recipe))
    return [own + averages(own, y) for own, y in zip(found, batch.reference.T, strict=True)]


def _try_pls(ready: Prepared, y: Floats, rounds: Sequence[Sequence[Fold]]) -> Tried:
    said = np.stack([pls.validate(ready.narrow, y, folds, ready.components) for folds in rounds])
    k = fewest(((said - y) ** 2).mean(0))
    return Tried(ready.recipe, "pls", k + 1, said[0, k], _rmse(said[0, k], y))


def fewest(squares: Floats) -> int:
    """Return the first row of squared errors (k, n) that the best row beats by no more than one standard error of the difference.

    The errors are of the same fruit, so their difference is sure where their size is not. Hastie, Tibshirani and Friedman, The
    Elements of Statistical Learning, 2009, 7.10, but paired.
    """
    best = int(squares.mean(1).argmin())
    for k in range(best):
        worse = squares[k] - squares[best]
        if worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)):
            return k
    return best


def averages(found: Sequence[Tried], y: Floats) -> list[Tried]:
    """Return averages of recipes that differ in the derivative only: all of them fold into one line on the same spectrum."""
    limit = ALIKE * min(one.rmse for one in found)
    alike: dict[Any, list[Tried]] = {}
    for one in sorted(found, key=lambda one: one.rmse):
        if one.rmse <= limit:
            alike.setdefault(basis_of(one.recipe), []).append(one)
    made = []
    for first, *rest in alike.values():
        if rest:
            said = np.mean([first.said, *(one.said for one in rest)], axis=0)
            beside = tuple((one.recipe, one.components) for one in rest)
            made.append(replace(first, said=said, rmse=_rmse(said, y), beside=beside))
    return made


def basis_of(recipe: Recipe) -> tuple[float, float, str]:
    """Return what recipes must share to be folded into one model."""
    return recipe.low_nm, recipe.high_nm, recipe.scatter


def search_scores(ready: Prepared, y: Floats, folds: Sequence[Fold], components: int) -> list[Tried]:
    """Try the nonlinear families on one recipe's scores; each fold tunes its own Gaussian process."""
    k = min(components, ready.components)
    whole = pls.fit(ready.narrow, y, k)
    kernel = tune(whole.scores(ready.narrow, k), y)
    fits = pls.fit_folds(ready.narrow, y, folds, k)
    said = {("gpr", 0.0, 0.0): np.empty(len(y)), ("pls", 0.0, 0.0): np.empty(len(y))}
    said |= {("svr", cost, wider): np.empty(len(y)) for cost in COSTS for wider in WIDER}
    for fit, rows in zip(fits, folds, strict=True):
        rest = np.setdiff1d(np.arange(len(y)), rows)
        inside, outside = fit.scores(ready.narrow[rest], k), fit.scores(ready.narrow[rows], k)
        own = tune(inside, y[rest], kernel, steps=6)
        for (family, cost, wider), told in said.items():
            some = representative(inside[:, 0], SEARCHED_ON[family])
            told[rows] = _one(family, fit, inside[some], y[rest][some], own, cost, wider).predict(outside)
    best = min((key for key in said if key[0] == "svr"), key=lambda key: _rmse(said[key], y))
    dials = Dials(kernel, best[1], best[2])
    mean = (said["pls", 0.0, 0.0] + said["gpr", 0.0, 0.0] + said[best]) / 3.0
    by_family = {"gpr": said["gpr", 0.0, 0.0], "svr": said[best], "mean": mean}
    return [Tried(ready.recipe, family, k, v, _rmse(v, y), dials) for family, v in by_family.items()]


def _one(
    family: str, fit: Pls, scores: Floats, y: Floats, kernel: Kernel, cost: float, wider: float, weight: Floats | None = None
) -> ScoreModel:
    if family == "gpr":
        return gaussian_process(scores, y, kernel, weight)
    if family == "svr":
        return support_vectors(scores, y, cost, kernel.stretch, wider, weight)
    return straight(fit.answers * fit.sd, fit.mean, kernel.stretch)


def score_model(family: str, fit: Pls, scores: Floats, y: Floats, dials: Dials, weight: Floats | None = None) -> ScoreModel:
    """Fit a nonlinear family on the scores (n, k) of ``fit``; a mean is of all three."""
    families = ("pls", "gpr", "svr") if family == "mean" else (family,)
    return mean_of([_one(each, fit, scores, y, dials.kernel, dials.cost, dials.wider, weight) for each in families])


def choose(tried: Sequence[Tried], reference: Floats) -> Tried:
    """Return the simplest family's best, unless another is better by `MARGIN` and by more than chance.

    Families with more dials are tried in more ways, and the best of many looks better than it is: beside the margin, its squared
    errors must be lower by more than one standard error of the difference, over the same fruit.

    Parameters
    ----------
    reference : (n,) of the rows that ``said`` is about.
    """
    best = {
        name: min(own, key=lambda one: one.rmse) for name in FAMILIES if (own := [one for one in tried if one.family == name])
    }
    kept, *richer = best.values()
    for one in richer:
        gain = (kept.said - reference) ** 2 - (one.said - reference) ** 2
        if one.rmse * MARGIN < kept.rmse and gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
            kept = one
    return kept


def _rmse(said: Floats, y: Floats) -> float:
    return float(np.sqrt(((said - y) ** 2).mean()))
