"""Fitted scikit-learn classifiers taken apart into the arrays of a grade classifier."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from citrus_grade.grading.classifier import GradeModel, arrays

Floats = NDArray[np.float64]
Tree = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], Floats]
"""Of each node: feature, threshold, left and right child (-1: a leaf), whether an unmeasured value goes left, value."""


def flatten(estimator: Any, features: tuple[str, ...], classes: tuple[str, ...]) -> GradeModel:
    """Return a fitted classifier as plain arrays that give the probabilities of its ``predict_proba``.

    Parameters
    ----------
    estimator : a logistic regression, a multi-layer perceptron, random forest, extra trees or histogram gradient boosting, the
        first two at the end of a `Pipeline` of `SimpleImputer` and `StandardScaler` if wanted.
    features : names of its columns. classes : names of its ``classes_``, in their order.

    Raises
    ------
    TypeError : another kind of estimator, or one of these with what cannot be taken apart.
    """
    steps = [step for _name, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    last = steps[-1]
    if isinstance(last, LogisticRegression):
        return _network("logistic", [last.coef_.T], [last.intercept_], "identity", steps[:-1], features, classes)
    if isinstance(last, MLPClassifier):
        return _network("mlp", last.coefs_, last.intercepts_, last.activation, steps[:-1], features, classes)
    if len(steps) > 1:
        raise TypeError(f"{type(last).__name__} in a pipeline cannot be taken apart; give it alone")
    if isinstance(last, RandomForestClassifier | ExtraTreesClassifier):
        return _forest(last, features, classes)
    if isinstance(last, HistGradientBoostingClassifier):
        return _boosting(last, features, classes)
    raise TypeError(f"{type(last).__name__} cannot be taken apart; use logistic, mlp, forest or boosting")


def _network(
    kind: str,
    weights: list[Floats],
    biases: list[Floats],
    activation: str,
    before: list[Any],
    features: tuple[str, ...],
    classes: tuple[str, ...],
) -> GradeModel:
    fill, centre, scale = np.zeros(len(features)), np.zeros(len(features)), np.ones(len(features))
    for step in before:
        if isinstance(step, SimpleImputer):
            fill = np.asarray(step.statistics_, np.float64)
        elif isinstance(step, StandardScaler):
            centre = step.mean_ if step.with_mean else centre
            scale = step.scale_ if step.with_std else scale
        else:
            raise TypeError(f"{type(step).__name__} before a classifier cannot be taken apart")
    first = weights[0] / scale[:, None]
    biases = [biases[0] - centre @ first, *biases[1:]]
    weights = [first, *weights[1:]]
    n_raw = weights[-1].shape[1]
    held = arrays(
        fill=fill,
        size=[len(features), *(w.shape[1] for w in weights)],
        weight=np.concatenate([w.ravel() for w in weights]),
        bias=np.concatenate(biases),
        base=np.zeros(n_raw),
    )
    return GradeModel(kind, classes, features, held, "sigmoid" if n_raw == 1 else "softmax", activation)


def _forest(
    forest: RandomForestClassifier | ExtraTreesClassifier, features: tuple[str, ...], classes: tuple[str, ...]
) -> GradeModel:
    trees: list[Tree] = []
    for estimator in forest.estimators_:
        tree = estimator.tree_
        share = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True) / len(forest.estimators_)
        left = np.asarray(tree.missing_go_to_left, np.bool_)
        trees.append((tree.feature, tree.threshold, tree.children_left, tree.children_right, left, share))
    base, output = np.zeros(len(classes)), np.zeros(len(trees), np.int64)
    held = _tree_arrays(trees, output, base, len(features))
    return GradeModel("forest", classes, features, held, "shares", single=True)


def _boosting(boosting: HistGradientBoostingClassifier, features: tuple[str, ...], classes: tuple[str, ...]) -> GradeModel:
    if boosting.is_categorical_ is not None:
        raise TypeError("boosting over categories cannot be taken apart; give it numbers")
    trees: list[Tree] = []
    output: list[int] = []
    # Private, and the only place where scikit-learn keeps them.
    for stage in boosting._predictors:
        for score, predictor in enumerate(stage):
            node = predictor.nodes
            left, right = (np.where(node["is_leaf"], -1, node[side].astype(np.int64)) for side in ("left", "right"))
            missing = node["missing_go_to_left"].astype(np.bool_)
            trees.append((node["feature_idx"], node["num_threshold"], left, right, missing, node["value"][:, None]))
            output.append(score)
    base = np.ravel(boosting._baseline_prediction)
    held = _tree_arrays(trees, np.array(output), base, len(features))
    return GradeModel("boosting", classes, features, held, "sigmoid" if len(base) == 1 else "softmax")


def _tree_arrays(trees: list[Tree], output: NDArray[np.int64], base: Floats, n_features: int) -> dict[str, NDArray[Any]]:
    parts, root, begin = [], [], 0
    for tree in trees:
        parts.append(_side_by_side(tree, n_features, begin))
        root.append(begin)
        begin += len(tree[0])
    threshold, child, feature, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    return arrays(
        fill=np.full(n_features, np.nan),
        threshold=threshold,
        child=child,
        feature=feature,
        value=value,
        root=root,
        output=output,
        base=base,
    )


def _side_by_side(tree: Tree, n_features: int, begin: int) -> tuple[Floats, NDArray[Any], NDArray[Any], Floats]:
    """Lay a tree out level by level, a right child behind its left one."""
    feature, threshold, left, right, missing_left, value = tree
    order, at = np.zeros(len(left), np.int64), 1
    for k in range(len(left)):
        if left[order[k]] >= 0:
            order[at], order[at + 1] = left[order[k]], right[order[k]]
            at += 2
    leaf = left[order] < 0
    child = np.where(leaf, np.arange(len(order)), 1 + 2 * (np.cumsum(~leaf) - 1))
    # The second half of the features takes unmeasured values right.
    looked_at = np.where(leaf, 0, feature[order] + np.where(missing_left[order], 0, n_features))
    return np.where(leaf, np.inf, threshold[order]), child + begin, looked_at, value[order]
