"""Models for a new spectrometer, chosen on samples left out."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import savgol_filter

from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.transfer import METHODS, Spectra, Values, transfer

DATA = Path(os.environ.get("CITRUS_GRADE_DATA") or Path(__file__).parents[2] / "shared" / "data")
N, M, CHANNELS = 60, 20, 50
BANDS = np.exp(-0.5 * ((np.arange(CHANNELS)[None, :] - np.linspace(0, 50, 7)[:, None]) / 4) ** 2)
ARTEFACT = BANDS[1] + 0.7 * BANDS[5] + np.linspace(0, 1, CHANNELS)

AT = np.arange(CHANNELS)


def made_up(seed, change, noise=0.002):
    """Training table, samples and fresh fruit of a slave that does ``change`` to the master's spectra."""
    rng = np.random.default_rng(seed)
    amounts = rng.normal(0, 1, (N + 300, 7))
    x = amounts @ BANDS
    y = 10 + amounts[:, 1] + rng.normal(0, 0.05, len(x))
    master = x + noise * rng.standard_normal(x.shape)
    slave = change(x, rng) + noise * rng.standard_normal(x.shape)
    spectra = Spectra(master[:N], master[:M], slave[:M])
    return spectra, Values(y[:N], y[:M], np.arange(M)), slave[N:], y[N:]


def error(found, slave, y):
    return float(np.sqrt(np.mean((slave @ found.coefs + found.intercept - y) ** 2)))


CHANGES = {
    "nothing": (lambda x, rng: x, "none", 0.07),
    "offset": (lambda x, rng: x + BANDS[1] - 0.5 * BANDS[4], "bias", 0.08),
    "gain": (lambda x, rng: 0.8 * x, "slope", 0.09),
    "artefact": (lambda x, rng: x + rng.normal(0, 1, (len(x), 1)) * ARTEFACT, "joint", 0.12),
    "wavelengths": (lambda x, rng: np.array([np.interp(AT + 1.0, AT, row) for row in x]), "joint", 0.08),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_the_simplest_way_that_does_is_taken(kind):
    change, expected, within = CHANGES[kind]
    spectra, values, slave, y = made_up(1, change)
    found = transfer({"plain": spectra}, values)
    assert found.method == expected
    assert error(found, slave, y) < within
    assert found.rmse[found.method] <= 1.04 * min(found.rmse.values())


def test_left_out_errors_are_those_of_fresh_fruit():
    spectra, values, slave, y = made_up(2, CHANGES["artefact"][0])
    found = transfer({"plain": spectra}, values)
    assert found.rmse[found.method] == pytest.approx(error(found, slave, y), rel=0.5)
    assert found.predicted[found.method].shape == (M,)


def test_the_better_preprocessing_is_found():
    spectra, values, _slave, _y = made_up(3, CHANGES["offset"][0])
    rng = np.random.default_rng(0)
    noisy = Spectra(*(part + rng.normal(0, 1, part.shape) for part in (spectra.train, spectra.master, spectra.slave)))
    assert transfer({"noisy": noisy, "clean": spectra}, values).option == "clean"


def test_order_of_the_training_table_makes_no_difference():
    spectra, values, _slave, _y = made_up(4, CHANGES["artefact"][0])
    order = np.random.default_rng(1).permutation(N)
    turned = Spectra(spectra.train[order], spectra.master, spectra.slave)
    row = np.argsort(order)[:M]
    found, other = transfer({"a": spectra}, values), transfer({"a": turned}, Values(values.train[order], values.samples, row))
    assert (other.method, other.n_components) == (found.method, found.n_components)
    assert other.coefs == pytest.approx(found.coefs, abs=1e-7)


def test_a_sample_left_out_is_not_seen_in_the_training_table_either():
    spectra, values, _slave, _y = made_up(5, CHANGES["nothing"][0])
    wrong = values.samples.copy()
    wrong[3] += 50
    train = np.concatenate([wrong, values.train[M:]])
    found = transfer({"a": spectra}, Values(train, wrong, values.row), ("none",))
    assert found.predicted["none"][3] == pytest.approx(values.samples[3], abs=0.5)


def test_every_method_can_be_had_alone():
    spectra, values, slave, y = made_up(6, lambda x, rng: 0.9 * x + 0.1)
    for method in METHODS:
        found = transfer({"a": spectra}, values, (method,))
        assert found.method == method
        assert method == "none" or error(found, slave, y) < 0.4


def test_bad_samples_are_told():
    spectra, values, _slave, _y = made_up(7, CHANGES["nothing"][0])
    few = Spectra(spectra.train, spectra.master[:7], spectra.slave[:7])
    with pytest.raises(CalibrationError, match="7 samples were measured on both"):
        transfer({"a": few}, Values(values.train, values.samples[:7], values.row[:7]))
    with pytest.raises(CalibrationError, match="all references are 10;"):
        transfer({"a": spectra}, Values(values.train, np.full(M, 10.0), values.row))
    broken = spectra.slave.copy()
    broken[4, 2] = np.nan
    with pytest.raises(CalibrationError, match="samples row 4"):
        transfer({"a": Spectra(spectra.train, spectra.master, broken)}, values)
    with pytest.raises(CalibrationError, match=r"a: .* training"):
        transfer({"a": Spectra(spectra.train[:-1], spectra.master, spectra.slave)}, values)


def corn(slave_name, seed):
    """One split of the corn set: 55 training spectra of m5, 25 of them on the slave too, 25 tests."""
    path = DATA / "nir" / "corn_transfer" / "corn.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here; name the data's folder by CITRUS_GRADE_DATA")
    with np.load(path) as file:
        master, slave = (savgol_filter(file[name].astype(float), 13, 2, deriv=1) for name in ("m5", slave_name))
        moisture = file["y"][:, 0].astype(float)
    order = np.random.default_rng(seed).permutation(80)
    train, test = order[:55], order[55:]
    pairs = train[:25]
    spectra = Spectra(master[train], master[pairs], slave[pairs])
    return spectra, Values(moisture[train], moisture[pairs], np.arange(25)), slave[test], moisture[test]


@pytest.mark.parametrize("slave_name", ["mp5", "mp6"])
def test_corn_moves_to_another_instrument(slave_name):
    errors = []
    for seed in range(6):
        spectra, values, slave, y = corn(slave_name, seed)
        errors.append(error(transfer({"derivative": spectra}, values), slave, y))
    assert np.mean(errors) < 0.2


def test_errors_by_choices_made_without_the_sample_are_nearer_those_of_fresh_fruit():
    """Ten preprocessings that differ by their noise only: the lowest error is luck."""
    looks, honest, fresh = [], [], []
    for seed in range(15):
        spectra, values, slave, y = made_up(200 + seed, CHANGES["offset"][0])
        rng = np.random.default_rng(seed)
        noisy = {
            str(k): [x + 0.2 * rng.standard_normal(x.shape) for x in (spectra.train, spectra.master, spectra.slave, slave)]
            for k in range(10)
        }
        found = transfer({name: Spectra(*own[:3]) for name, own in noisy.items()}, values, ("bias",))
        looks.append(found.rmse[found.method] ** 2)
        honest.append(np.mean((found.honest - values.samples) ** 2))
        fresh.append(error(found, noisy[found.option][3], y) ** 2)
    looks, honest, fresh = (np.sqrt(np.mean(squares)) for squares in (looks, honest, fresh))
    assert looks < 0.9 * fresh
    assert honest == pytest.approx(fresh, rel=0.06)
