"""Labelled fruit to a grade classifier: families judged on lots they have not seen, the simpler of equals, calibrated."""

import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from citrus_grade.grading.classifier import KINDS, GradeModel, predict_proba
from citrus_grade.models import belief
from citrus_grade.models.agreement import (
    Reliability,
    brier,
    confusion_of,
    log_loss,
    reliability,
    steps_off,
    weighted_kappa,
)
from citrus_grade.models.flatten import flatten
from citrus_grade.models.labels import LabelError, Labelled
from citrus_grade.words import _

Floats = NDArray[np.float64]
Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]

FAMILIES = KINDS
"""The simplest first."""
MARGIN = 1.03
"""A simpler family or calibration wins while its log-loss is within 3 % of the best."""
MAX_FOLDS = 5
TREES, ROUNDS = 100, 100


@dataclass(frozen=True, slots=True)
class Judged:
    """A family on lots it has not seen: its ``own_p`` (n, k), the kind of ``calibration`` that suits it, ``p`` as calibrated by
    the other lots, and the log-loss of that."""

    p: Floats
    own_p: Floats
    calibration: str
    log_loss: float


@dataclass(frozen=True, slots=True)
class GradeReport:
    """How well a classifier grades lots it has not seen.

    ``confusion`` (k, k): rows what the grader said, columns the classifier. ``same``, ``adjacent`` and ``skip``: shares of fruit
    by how many grades off. ``recall``, ``precision`` a class. ``kappa``: quadratic weights, of the classifier with the grader;
    where ``both`` fruit were graded by two people, with each of them and, the ceiling, of the two with one another, on those.
    """

    family: str
    calibration: str
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    same: float
    adjacent: float
    skip: float
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    reliability: tuple[Reliability, ...]
    brier: float
    log_loss: float
    log_loss_by_family: Mapping[str, float]
    kappa: Mapping[str, float]
    fruit: int
    both: int
    groups: int
    features: tuple[str, ...]
    ignored: tuple[str, ...]
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what cannot be told is None."""
        per_class = zip(self.classes, self.recall, self.precision, self.reliability, strict=True)
        return {
            "simulated": self.simulated,
            "family": self.family,
            "calibration": self.calibration,
            "fruit": self.fruit,
            "groups": self.groups,
            "log_loss": self.log_loss,
            "log_loss_by_family": dict(self.log_loss_by_family),
            "brier": self.brier,
            "same": self.same,
            "adjacent": self.adjacent,
            "skip": self.skip,
            "kappa": {name: value if value == value else None for name, value in self.kappa.items()},
            "graded_twice": self.both,
            "confusion": self.confusion.tolist(),
            "classes": [
                {
                    "class": name,
                    "recall": recall,
                    "precision": precision if precision == precision else None,
                    "reliability": [
                        {"said": said, "seen": seen, "n": n} for said, seen, n in zip(bins.said, bins.seen, bins.n, strict=True)
                    ],
                }
                for name, recall, precision, bins in per_class
            ],
            "features": list(self.features),
            "ignored": list(self.ignored),
        }


def estimator(family: str) -> Any:
    """Return one of `FAMILIES`, unfitted; each can be taken apart by `flatten`."""
    if family == "logistic":
        return _filled(LogisticRegression(max_iter=2000))
    if family == "mlp":
        return _filled(MLPClassifier((16,), solver="lbfgs", alpha=1.0, max_iter=200, random_state=0))
    if family == "forest":
        return RandomForestClassifier(TREES, min_samples_leaf=3, random_state=0)
    return HistGradientBoostingClassifier(
        max_iter=ROUNDS, max_leaf_nodes=15, max_depth=6, min_samples_leaf=10, l2_regularization=1.0, learning_rate=0.08,
        early_stopping=False, random_state=0,
    )  # fmt: skip


def _filled(last: Any) -> Any:
    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), last)


def fit_grades(
    labelled: Labelled, family: str = "auto", progress: Callable[[float, float], None] | None = None
) -> tuple[GradeModel, GradeReport]:
    """Fit the family named, or of all the one that does best on lots it has not seen.

    ``progress`` is called with families done and families in all.

    Raises
    ------
    LabelError : each lot holds one class alone.
    """
    folds = _folds(labelled)
    judged: dict[str, Judged] = {}
    families = FAMILIES if family == "auto" else (family,)
    for done, name in enumerate(families, 1):
        judged[name] = _judge(name, labelled, folds)
        if progress:
            progress(done, len(families))
    chosen = _simplest({name: one.log_loss for name, one in judged.items()})
    report = _report(labelled, chosen, judged)
    calibration = belief.fit(judged[chosen].calibration, judged[chosen].own_p, labelled.grade)
    model = flatten(fitted(chosen, labelled.x, labelled.grade), labelled.features, labelled.classes)
    told = _training(labelled, report)
    return replace(model, calibration=calibration.kind, arrays=dict(model.arrays) | calibration.knots, training=told), report


def _folds(labelled: Labelled) -> Folds:
    split = StratifiedGroupKFold(min(MAX_FOLDS, len(labelled.groups)), shuffle=True, random_state=0)
    folds = list(split.split(labelled.x, labelled.grade, labelled.group))
    if any(len(np.unique(labelled.grade[learn])) < 2 for learn, _test in folds):
        raise LabelError(
            _("the lots differ in nothing but the class: each holds one class alone; label lots in which several classes occur")
        )
    return folds


def fitted(family: str, x: Floats, grade: NDArray[np.int64]) -> Any:
    """Return the `estimator` of a family, fitted to features (n, n_features) and classes (n,)."""
    # One thread: as many as there are cores get in one another's way on tables of this size.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # cross-validation judges what came of it
        return estimator(family).fit(x, grade)


def _judge(family: str, labelled: Labelled, folds: Folds) -> Judged:
    k = len(labelled.classes)
    own = np.zeros((len(labelled.x), k))
    for learn, test in folds:
        learnt = fitted(family, labelled.x[learn], labelled.grade[learn])
        known = tuple(labelled.classes[c] for c in learnt.classes_)
        own[np.ix_(test, learnt.classes_)] = predict_proba(flatten(learnt, labelled.features, known), labelled.x[test])
    tried = {kind: _held_out(kind, own, labelled.grade, folds) for kind in belief.kinds_for(labelled.grade, k)}
    losses = {kind: log_loss(p, labelled.grade) for kind, p in tried.items()}
    chosen = _simplest(losses)
    return Judged(tried[chosen], own, chosen, losses[chosen])


def _held_out(kind: str, own: Floats, grade: NDArray[np.int64], folds: Folds) -> Floats:
    """Calibrate each fold by what the others taught."""
    p = np.empty_like(own)
    for learn, test in folds:
        p[test] = belief.fit(kind, own[learn], grade[learn])(own[test])
    return p


def _simplest(losses: Mapping[str, float]) -> str:
    """Return the first whose loss is within `MARGIN` of the least."""
    best = min(losses.values())
    return next(name for name, loss in losses.items() if loss <= MARGIN * best)


def _report(labelled: Labelled, chosen: str, judged: Mapping[str, Judged]) -> GradeReport:
    p, grade, k = judged[chosen].p, labelled.grade, len(labelled.classes)
    said = p.argmax(axis=1)
    confusion = confusion_of(grade, said, k)
    same, adjacent, skip = steps_off(confusion)
    own, given, called = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision = np.where(called > 0, own / np.maximum(called, 1), np.nan)
    kappa, both = _kappas(labelled, said)
    return GradeReport(
        family=chosen,
        calibration=judged[chosen].calibration,
        classes=labelled.classes,
        confusion=confusion,
        same=same,
        adjacent=adjacent,
        skip=skip,
        recall=tuple((own / given).tolist()),
        precision=tuple(precision.tolist()),
        reliability=tuple(reliability(p[:, c], grade == c) for c in range(k)),
        brier=brier(p, grade),
        log_loss=judged[chosen].log_loss,
        log_loss_by_family={name: one.log_loss for name, one in judged.items()},
        kappa=kappa,
        fruit=len(grade),
        both=both,
        groups=len(labelled.groups),
        features=labelled.features,
        ignored=labelled.ignored,
        simulated=labelled.simulated,
    )


def _kappas(labelled: Labelled, said: NDArray[np.int64]) -> tuple[dict[str, float], int]:
    def kappa(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
        return weighted_kappa(confusion_of(one, other, len(labelled.classes)))

    if labelled.second is None:
        return {"classifier": kappa(labelled.grade, said)}, 0
    twice = labelled.second >= 0
    first, second, said = labelled.grade[twice], labelled.second[twice], said[twice]
    agreed = {"graders": kappa(first, second), "classifier_first": kappa(first, said), "classifier_second": kappa(second, said)}
    return agreed, len(said)


def _training(labelled: Labelled, report: GradeReport) -> dict[str, Any]:
    """Return what the card says of where the model comes from."""
    told = report.to_dict()
    kept = ("simulated", "family", "fruit", "log_loss", "brier", "same", "adjacent", "skip", "kappa", "graded_twice", "confusion")
    missing = {name: int(np.isnan(column).sum()) for name, column in zip(labelled.features, labelled.x.T, strict=True)}
    return {name: told[name] for name in kept} | {
        "groups": list(labelled.groups),
        "fruit_a_class": dict(zip(labelled.classes, np.bincount(labelled.grade).tolist(), strict=True)),
        "not_measured": {name: n for name, n in missing.items() if n},
        "software": {"python": platform.python_version(), "numpy": np.__version__, "scikit-learn": sklearn.__version__},
    }
