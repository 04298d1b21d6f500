"""What the spectrometers of a line see of a `tape`."""

from pathlib import Path

import numpy as np

from citrus_grade.config import LineConfig
from citrus_grade.drivers.emulate.spectra import TapeSpectra
from citrus_grade.drivers.sim import tape


def of_tape(
    folder: Path, config: LineConfig, lane: int, t0_ns: int, cups_per_s: float, shutters: Path | None = None
) -> TapeSpectra:
    """Return what a lane's spectrometer sees; the belt began to move at ``t0_ns`` of `time.monotonic_ns`.

    ``shutters`` is the file of the line's shutters, where it has any.
    """
    spectrometer = config.spectrometer
    assert spectrometer is not None
    counts = tape.load(folder).counts[:, :, lane]
    scans, chord = spectrometer.scans, spectrometer.chord_cups
    middle = spectrometer.station + config.phases[lane]
    places = tuple(middle + chord * ((scan + 0.5) / scans - 0.5) for scan in range(scans))
    behind = tape.behind(folder, shutters, lane) if shutters else None
    return TapeSpectra(np.array(counts).reshape(-1, counts.shape[-1]), places, t0_ns, cups_per_s, behind)
