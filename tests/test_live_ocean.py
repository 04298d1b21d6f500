"""A live line whose spectrometers speak the Ocean Binary Protocol: emulated, and triggered by the belt of a simulated loop."""

import json
import re
from pathlib import Path

import numpy as np

from citrus_grade.config import load
from citrus_grade.drivers.emulate.obp import ObpSpectrometer
from citrus_grade.drivers.emulate.spectrometer import serve_spectrometers
from citrus_grade.drivers.emulate.taped import of_tape
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.messages import Reason
from citrus_grade.replay import replay
from citrus_grade.runtime.live import store
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live

CUPS_PER_S = 5.0


def test_a_live_line_grades_by_spectra_that_came_over_the_protocol(line_toml: Path, tmp_path: Path) -> None:
    config = load(line_toml)
    spectrometer = config.spectrometer
    assert spectrometer is not None
    tape.record(config, tmp_path, SimOptions(seed=3, season=4), 24)
    text = played(line_toml, tmp_path, cups_per_s=CUPS_PER_S)
    [t0_ns] = {int(found) for found in re.findall(r"t0_ns = (\d+)", text)}
    first_nm, last_nm = spectrometer.wavelength_nm
    step_nm = (last_nm - first_nm) / (spectrometer.pixels - 1)
    lanes = range(config.line.lanes)
    pairs = [
        (ObpSpectrometer(f"EMU{lane}", wavelength=(first_nm, step_nm)), of_tape(tmp_path, config, lane, t0_ns, CUPS_PER_S))
        for lane in lanes
    ]
    with serve_spectrometers(pairs) as served:
        options = 'integration_us = 2000, spectrum = "buffered", timeout_ms = 2000'
        devices = ", ".join(
            f'{{ driver = "oceanbinary", url = {json.dumps(served.urls[lane])}, serial = "EMU{lane}", {options} }}'
            for lane in lanes
        )
        live = line_toml.with_name("live_ocean.toml")
        live.write_text(re.sub(r"(?m)(^\[spectrometer\]\ndevice = ).*$", rf"\1[{devices}]", text), encoding="utf-8")
        ended = run_live(live, tmp_path / "run", seconds=12.0)
    rows = np.concatenate(list(store.decisions(tmp_path / "run")))
    assert ended.live is not None
    assert ended.live["processes"]["spectra"]["counted"].get("reopened", 0) == 0
    settled = rows[rows["cup"] > rows["cup"].min() + 10]
    assert (settled["reason"] == Reason.GRADED).mean() > 0.5
    assert (settled["reason"] != Reason.MISSING_SPECTRUM).all()
    assert replay(tmp_path / "run").diff_fields == 0
