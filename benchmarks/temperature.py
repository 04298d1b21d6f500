"""What `train spectra --temperature` does about fruit that are colder or warmer than those a model was made from. SIMULATED.

``python -m benchmarks.temperature [--seeds N] [--json]``. Three seasons of simulated fruit at about 18 degrees, or each season
at its own temperature, and 15 fruit measured at 5, 12, 20 and 28 degrees, without a reference; then a fourth season at 5 and at
28, predicted without their temperature, as a line does.
"""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine, one_core
from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer
from citrus_grade.models.demo import pass_fruit
from citrus_grade.models.passages import Passages, absorbance
from citrus_grade.models.search import Samples
from citrus_grade.models.temperature import Warmth
from citrus_grade.models.train import train
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra.traits import OK

Floats = NDArray[np.float64]

NM = np.linspace(700.0, 960.0, 132)
SEASONS, A_SEASON, REPEATED, TESTED = 3, 150, 15, 200
REPEATED_C = (5.0, 12.0, 20.0, 28.0)
TEST_C = (5.0, 28.0)
CASES = {"all at 18 degrees": (18.0, 18.0, 18.0), "seasons at 11, 18 and 25": (11.0, 18.0, 25.0)}
LABORATORY_BRIX = 0.15


def _seen(device: SimSpectrometer, fruit: NDArray[Any], first_seq: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return absorbance (n, p) and which scans were good."""
    counts, dark, white = pass_fruit(device, fruit, first_seq)
    spectra, traits = absorbance(Passages(counts, dark, white, device.wavelength_nm, full_scale=device.full_scale), NM)
    return spectra, np.asarray(traits["status"] == OK)


def _at(fruit: NDArray[Any], celsius: Floats | float) -> NDArray[Any]:
    warm = fruit.copy()
    warm["pulp_temperature_c"] = celsius
    return warm


def case(seed: int, seasons_c: tuple[float, ...]) -> dict[str, Any]:
    """Return the bias at each test temperature without and with the temperatures, and what was chosen."""
    rng = np.random.default_rng(seed)
    device = SimSpectrometer(seed, 1, np.linspace(650.0, 1010.0, 256))
    grown = [_at(orchard.grow(seed + k, A_SEASON, season=k + 1), t + rng.normal(0, 1, A_SEASON)) for k, t in enumerate(seasons_c)]
    fruit = np.concatenate(grown)
    spectra, good = _seen(device, fruit, 0)
    brix = fruit["ssc_brix"] + LABORATORY_BRIX * rng.standard_normal(len(fruit))
    again = orchard.grow(seed + 50, REPEATED, season=1)
    names, warm = np.repeat([f"r{k}" for k in range(REPEATED)], 4), np.tile(REPEATED_C, REPEATED)
    repeats, fine = _seen(device, _at(np.repeat(again, 4), warm), 1_000_000)
    batch = Samples(NM, spectra[good], brix[good, None], np.repeat(np.arange(SEASONS), A_SEASON)[good])
    warmth = Warmth("pulp_c", fruit["pulp_temperature_c"][good], repeats[fine], warm[fine], names[fine])
    plain = train(batch, ("ssc_brix",), families=("pls",)).model
    steady = train(batch, ("ssc_brix",), families=("pls",), warmth=warmth).model
    told: dict[str, Any] = {"chosen": steady.training["temperature"]["chosen"]}
    for k, celsius in enumerate(TEST_C):
        new = _at(orchard.grow(seed + 90, TESTED, season=4), celsius)
        x, whole = _seen(device, new, 2_000_000 + 100_000 * k)
        for name, model in (("without", plain), ("with", steady)):
            inside = x[whole][:, (model.wavelength_nm[0] <= NM) & (model.wavelength_nm[-1] >= NM)]
            error = predict_absorbance(model, inside)["value"][:, 0] - new["ssc_brix"][whole]
            told[f"{name} {celsius:g}"] = {"bias": float(error.mean()), "rmsep": float(np.sqrt(np.mean(error**2)))}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    one_core()
    found = {name: [case(1000 * seed, seasons_c) for seed in range(1, asked.seeds + 1)] for name, seasons_c in CASES.items()}
    if asked.json:
        print(json.dumps({"SIMULATED": True, "machine": machine(), "cases": found}))
        return
    print("SIMULATED;", machine())
    for name, cases in found.items():
        print(f"{name}: chosen {', '.join(one['chosen'] for one in cases)}")
        for way in ("without", "with"):
            for celsius in TEST_C:
                own = [one[f"{way} {celsius:g}"] for one in cases]
                bias, rmsep = (np.array([one[kind] for one in own]) for kind in ("bias", "rmsep"))
                print(f"  {way:8} at {celsius:4g} degrees: bias {bias.mean():+.2f} (RMS {np.sqrt((bias**2).mean()):.2f}),"
                      f" RMSEP {rmsep.mean():.2f} Brix")  # fmt: skip


if __name__ == "__main__":
    main()
