"""Sugar and acid: speed, exactness, and what the chain gains on simulated fruit.

``python -m benchmarks.spectra [--seed N] [--seeds N] [--lots N] [--only PARTS] [--json]``, parts of `PARTS`;
the last line is one JSON object. Speeds: six rows a call, one thread, medians, by turns with the peer. Errors are SIMULATED and
count as ratios to plain practice on the same seed (`benchmarks.plain_spectra`); they are against what a laboratory would
measure, ``_true`` beside each.
"""

import argparse
import json
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import classifier, spectra_season, spectra_speed
from benchmarks.machine import machine, one_core
from benchmarks.plain_spectra import WAVELENGTH_NM, past_seasons, season_lot
from citrus_grade.models.passages import absorbance

PARTS = ("speed", "train", "season", "domain", "warmth", "lanes", "classifier")


def speed(seed: int) -> dict[str, Any]:
    """Raw counts to traits."""
    return spectra_speed.measure(*spectra_season.calibration(seed))


def train(seed: int) -> dict[str, Any]:
    """Seconds to make models."""
    lot, seasons = spectra_season.calibration(seed)
    nm = WAVELENGTH_NM[(WAVELENGTH_NM >= 700) & (WAVELENGTH_NM <= 960)]
    lots = [season_lot(seed, season, 2000, lot=40 + k) for season in past_seasons(seed) for k in range(4)][:10]
    spectra = [absorbance(spectra_speed.passages_of(own), nm) for own in lots]
    good = [scans["status"] == 0 for _, scans in spectra]
    parts = [(own[ok], one.reference[ok, 0]) for (own, _), ok, one in zip(spectra, good, lots, strict=True)]
    groups = np.repeat(np.arange(len(parts)), [len(y) for _, y in parts])
    many = (nm, np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]), groups)
    return spectra_speed.train_times(lot, seasons, many) | {"train_20000_n": len(groups)}


def season(seed: int, seeds: int) -> dict[str, Any]:
    """Errors over several seeds, and domain, of the models that upkeep made."""
    reports, flagged = [], []
    for own in range(seed, seed + seeds):
        report, kept = spectra_season.season(own, spectra_season.model_of(own))
        reports.append(report)
        flagged.append(spectra_season.domain(own, kept))
        print(f"SIMULATED seed {own}: {reports[-1]} {flagged[-1]}", flush=True)
    mean = {key: float(np.mean([one[key] for one in reports])) for key in reports[0] if isinstance(reports[0][key], float)}
    cover = {name: np.mean([one[f"{name}_cover90"] for one in reports], axis=0) for name in ("brix", "ta")}
    by_kind = {kind: float(np.mean([one[kind] for one in flagged])) for kind in flagged[0]}
    return mean | {
        "brix_gain": mean["brix_rmsep"] / mean["plain_brix_rmsep"],
        "ta_gain": mean["ta_rmsep"] / mean["plain_ta_rmsep"],
        "cover90_worst_lane": float(min(cover["brix"].min(), cover["ta"].min())),
        "cover90_brix_worst_lane": float(cover["brix"].min()),
        "out_of_domain_flagged": float(np.mean(list(by_kind.values()))),
        "out_of_domain_by_kind": by_kind,
        "seeds": seeds,
    }


def warmth(seed: int) -> dict[str, Any]:
    """Bias over temperature."""
    found = spectra_season.warmth(seed)
    return {"temperature_brix_per_15c": max(abs(bias) for bias in found.values()), "temperature_bias_brix": found}


def lanes(seed: int, lots: int) -> dict[str, Any]:
    """Lane offsets without a reference."""
    errors, holds = spectra_season.lanes(seed, spectra_season.model_of(seed), lots)
    return {"lane_offset_error_brix": spectra_season.rms(errors), "lane_offset_cover90": float(holds.mean()), "lots": lots}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the season figures, from --seed on")
    parser.add_argument("--lots", type=int, default=100, help="lots of the lane figures")
    parser.add_argument("--only", default="", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    one_core()
    threadpool_limits(1)
    wanted = options.only.split(",") if options.only else PARTS
    parts: dict[str, Any] = {
        "speed": lambda: speed(options.seed),
        "train": lambda: train(options.seed),
        "season": lambda: season(options.seed, options.seeds),
        "warmth": lambda: warmth(options.seed),
        "lanes": lambda: lanes(options.seed, options.lots),
        "classifier": lambda: classifier.measure(options.seed),
    }
    figures: dict[str, Any] = {}
    for name, part in parts.items():
        if name in wanted or (name == "season" and "domain" in wanted):
            own = part()
            figures |= own
            print(f"{name}: {own}", flush=True)
    if options.json:
        print(json.dumps(figures | {"SIMULATED": True, "seed": options.seed, "ran_on": machine()}))


if __name__ == "__main__":
    main()
