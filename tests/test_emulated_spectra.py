"""What emulated spectrometers see, and when."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from citrus_grade import templates
from citrus_grade.config import load
from citrus_grade.drivers.emulate.acquisition import Acquisition
from citrus_grade.drivers.emulate.spectra import Rows, TapeSpectra
from citrus_grade.drivers.emulate.taped import of_tape
from citrus_grade.drivers.sim.devices import TapeOptions, TapeSpectrometer

ROWS = np.random.default_rng(5).integers(0, 65535, (16, 4), np.uint16)


def test_triggers_of_a_tape_come_where_the_belt_has_brought_the_cup() -> None:
    places = (14.1, 14.3)
    spectra = TapeSpectra(ROWS, places, 1000, 10.0)
    now = 1000
    for _ in range(50):
        number, at_ns = spectra.next_trigger(now)
        cup, scan = divmod(number, 2)
        assert at_ns >= now
        assert (at_ns - 1000) / 1e8 == pytest.approx(cup + places[scan])
        np.testing.assert_array_equal(spectra.counts(number), ROWS[number % 16])
        assert spectra.next_trigger(at_ns + 1)[0] == number + 1
        now = at_ns + 1


@pytest.mark.parametrize("lane", [0, 5])
def test_a_served_tape_shows_what_the_simulated_spectrometer_shows(tmp_path: Path, lane: int) -> None:
    config = load(templates.LINE)
    assert config.spectrometer is not None
    shape = (24, config.spectrometer.scans, config.line.lanes, 8)
    np.save(tmp_path / "counts.npy", np.random.default_rng(2).integers(0, 65535, shape, np.uint16))
    np.save(tmp_path / "table.npy", np.zeros(1))
    (tmp_path / "tape.json").write_text(json.dumps({"cups": 24}))
    t0_ns = time.monotonic_ns()
    device = TapeSpectrometer(TapeOptions(tape=str(tmp_path), t0_ns=t0_ns, cups_per_s=60.0), config, lane)
    spectra = of_tape(tmp_path, config, lane, t0_ns, 60.0)
    for _ in range(20):
        spectrum = device.grab(0.1)
        assert spectrum is not None  # a belt that moves brings a cup each pitch, whenever the device is opened
        number, at_ns = spectra.next_trigger(t0_ns + spectrum.device_ns - 10)
        assert number == spectrum.count - shape[0] * shape[1]
        assert at_ns == pytest.approx(t0_ns + spectrum.device_ns, abs=1)
        np.testing.assert_array_equal(spectra.counts(number), spectrum.counts)


def test_a_triggered_device_takes_every_trigger_that_it_can() -> None:
    acquisition = Acquisition(Rows(ROWS, 100.0), integration_us=4000)
    acquisition.hardware = True
    first = acquisition.take(1)
    assert (first.began_ns, first.due_ns) == (10_000_000, 14_000_000)
    late = acquisition.take(35_000_000)  # asked for late: triggers at 20 and 30 ms are gone
    assert (late.began_ns, late.number - first.number) == (40_000_000, 3)
    kept = acquisition.take(95_000_000, buffered=True)  # its buffer has what came at 50 ms
    assert (kept.began_ns, kept.number - late.number) == (50_000_000, 1)


def test_a_free_device_takes_one_after_the_other() -> None:
    acquisition = Acquisition(Rows(ROWS, 100.0), integration_us=4000)
    taken = [acquisition.take(1) for _ in range(3)]
    assert [one.began_ns for one in taken] == [1, 4_000_001, 8_000_001]
    assert [one.number for one in taken] == [1, 2, 3]
