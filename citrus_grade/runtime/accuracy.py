"""What a line said against what its driver knows: all of it in a simulator, so those figures are SIMULATED."""

from typing import Any

import numpy as np

from citrus_grade.messages import Reason
from citrus_grade.tables import Table

SIZE_LIMITS_MM = (50.0, 55.0, 61.0, 67.0, 73.0, 80.0)
"""Satsuma sizes 3S, 2S, S, M, L, 2L, 3L as graded in Japan, half-open."""
_EMPTY, _SINGLE, _DOUBLE, _BRIDGING = range(4)


def against_truth(decisions: Table, truth: Table, targets: tuple[str, ...], kind: str = "simulated") -> dict[str, Any]:
    """Return errors of size, class, skin, delivery, empties and traits; of height and skin only where both sides know them.

    Parameters
    ----------
    decisions : `tables.DECISION` of a run.
    truth : one row a cup with ``lane``, ``cup``, ``load``, ``fell`` and ``fruit``, of which ``diameter_mm`` is always known.
        The simulator's has ``seen`` too: what the cameras could see of a fruit.
    kind : what the truth is: "simulated", or what a driver of real data says of it.
    """
    order = {key: at for at, key in enumerate(zip(truth["lane"].tolist(), truth["cup"].tolist(), strict=True))}
    pairs = [
        (i, order[key])
        for i, key in enumerate(zip(decisions["lane"].tolist(), decisions["cup"].tolist(), strict=True))
        if key in order
    ]
    at = np.array(pairs, np.int64).reshape(-1, 2)
    said, true = decisions[at[:, 0]], truth[at[:, 1]]
    one = (true["load"] == _SINGLE) & (said["fruit_views"] > 0)
    known, measured = true["fruit"]["diameter_mm"][one], said["diameter_mm"][one]
    default = int(said["outlet"].max(initial=0))
    ordered = np.where(said["fire_tick"] >= 0, said["outlet"], -1)
    full, shared = true["load"] != _EMPTY, _shared(truth)[at[:, 1]]
    return {
        "simulated": kind == "simulated",
        "truth": kind,
        "n": int(one.sum()),
        "default_outlet": default,
        "diameter_rmse_mm": _rms(measured - known),
        "diameter_bias_mm": float(np.mean(measured - known)),
        **_height(said[one], true[one]),
        "mass_rmse_g": _rms(said["mass_g"][one] - true["fruit"]["mass_g"][one]) if "mass_g" in _names(true) else None,
        "size_class_exact": float(np.mean(np.digitize(measured, SIZE_LIMITS_MM) == np.digitize(known, SIZE_LIMITS_MM))),
        **_skin(said[one], true[one]),
        "delivery": float(np.mean(ordered[full] == true["fell"][full])),
        "empties_exact": float(np.mean(((said["reason"] == Reason.EMPTY) == ~full)[~shared])),
        "doubles_caught": _share(said["reason"][true["load"] == _DOUBLE] == Reason.DOUBLE),
        "traits": {
            name: _trait(said["trait"][one, k], true["fruit"][name][one])
            for k, name in enumerate(targets)
            if name in _names(true)
        },
    }


def _height(said: Table, true: Table) -> dict[str, float]:
    if "height_mm" not in _names(true) or "height_mm" not in (said.dtype.names or ()):
        return {}
    error = said["height_mm"] - true["fruit"]["height_mm"]
    return {"height_rmse_mm": _rms(error), "height_bias_mm": _mean(error)}


def _skin(said: Table, true: Table) -> dict[str, float | None]:
    """Return mean absolute errors of green and blemished skin, both as parts of the seen surface, and how often the number of
    blemishes is right where there is one to count."""
    if "seen" not in (true.dtype.names or ()) or "blemish_count" not in (said.dtype.names or ()):
        return {}
    seen = true["seen"]
    hurt = seen["countable"] > 0
    return {
        "green_share_mae": _mean(np.abs(said["green_pct"] / 100 - seen["green_share"])),
        "blemish_area_mae": _mean(np.abs(said["blemish_pct"] / 100 - seen["blemish_share"])),
        "blemish_count_exact": _share((said["blemish_count"] == seen["countable"])[hurt]),
        "n_blemished": int(hurt.sum()),
    }


def _shared(truth: Table) -> Any:
    """Return which cups a fruit of the next cup reaches into: they are neither empty nor full."""
    if "x_mm" not in (truth.dtype.names or ()):
        return np.zeros(len(truth), np.bool_)
    bridging = truth[truth["load"] == _BRIDGING]
    neighbour = bridging["cup"] - np.sign(bridging["x_mm"][:, 0]).astype(np.int64)
    keys = set(zip(bridging["lane"].tolist(), neighbour.tolist(), strict=True))
    return np.array([key in keys for key in zip(truth["lane"].tolist(), truth["cup"].tolist(), strict=True)], np.bool_)


def _names(true: Table) -> tuple[str, ...]:
    return true["fruit"].dtype.names or ()


def _rms(error: Any) -> float:
    return float(np.sqrt(np.nanmean(np.square(error)))) if len(error) else float("nan")


def _mean(error: Any) -> float:
    known = error[np.isfinite(error)]
    return float(np.mean(known)) if len(known) else float("nan")


def _share(hit: Any) -> float | None:
    return float(np.mean(hit)) if len(hit) else None


def _trait(measured: Any, known: Any) -> dict[str, float]:
    good = np.isfinite(measured)
    error = measured[good] - known[good]
    return {"rmsep": _rms(error), "bias": _mean(error), "n": int(good.sum())}
