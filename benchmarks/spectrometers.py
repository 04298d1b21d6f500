"""What spectrometers cost: a line's worth of emulated ones and their drivers at line speed, and how fast bad bytes are refused.

``python -m benchmarks.spectrometers [--seconds 20] [--apart-cups 0.01] [--fuzz 100000]``. SIMULATED: the devices are emulated.
"""

import argparse
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from citrus_grade import templates
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.emulate.fuzz import TARGETS, fuzz_many
from citrus_grade.drivers.emulate.obp import ObpSpectrometer
from citrus_grade.drivers.emulate.spectra import TapeSpectra
from citrus_grade.drivers.emulate.spectrometer import Served, serve_spectrometers
from citrus_grade.drivers.emulate.transcript import answers
from citrus_grade.drivers.emulate.transcript import load as load_transcript
from citrus_grade.drivers.ocean.spectrometer import open_spectrometer

CUPS = 64
TRANSCRIPTS = Path(__file__).parents[1] / "tests" / "transcripts"
TICK_NS = 1_000_000_000


def spectrometers(config: LineConfig, served: Served, seconds: float) -> dict[str, Any]:
    """Drive every lane's spectrometer from a thread, as a line does; return what that took and what was missed."""
    assert config.spectrometer is not None
    devices = tuple(
        {"driver": "oceanbinary", "url": url, "integration_us": 2000, "spectrum": "buffered", "timeout_ms": 2000}
        for url in served.urls
    )
    config = config.model_copy(update={"spectrometer": config.spectrometer.model_copy(update={"device": devices})})
    opened = [open_spectrometer(config, lane) for lane in range(len(served.urls))]
    ours_0, theirs_0, start = time.process_time(), _cpu_s(served.pid), time.monotonic()
    got: list[list[int]] = [[] for _ in opened]

    def follow(lane: int) -> None:
        while time.monotonic() < start + seconds:
            spectrum = opened[lane].grab(0.1)
            if spectrum is not None:
                got[lane].append(spectrum.count)

    threads = [threading.Thread(target=follow, args=(lane,)) for lane in range(len(opened))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    span = time.monotonic() - start
    theirs = _cpu_s(served.pid) - theirs_0
    for one in opened:
        one.close()
    taken, due = sum(map(len, got)), sum(lane[-1] - lane[0] + 1 for lane in got)
    return {
        "spectra_per_s": taken / span,
        "missed_triggers": due - taken,
        "of_triggers": due,
        "emulators_core_pct": 100 * theirs / span,
        "drivers_core_pct": 100 * (time.process_time() - ours_0) / span,
    }


def fuzz(inputs: int) -> dict[str, Any]:
    """Feed each driver changed transcripts; return inputs a second and how many came how far."""
    found: dict[str, Any] = {}
    for name, target in TARGETS.items():
        said = answers(load_transcript(TRANSCRIPTS / f"{name}.txt"))
        begun = time.perf_counter()
        reached = fuzz_many(target, said, inputs, seed=1)
        found[name] = {
            "inputs": inputs,
            "per_s": round(inputs / (time.perf_counter() - begun)),
            "reached": dict(sorted(reached.items())),
        }
    return found


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process; of the scheduler's count, for what takes little of it."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / TICK_NS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--apart-cups", type=float, default=0.0, help="how far each lane's triggers lie behind the last lane's")
    parser.add_argument("--fuzz", type=int, default=20_000)
    args = parser.parse_args()
    config = load(templates.LINE)
    assert config.spectrometer is not None
    scans, pixels = config.spectrometer.scans, config.spectrometer.pixels
    rows = np.random.default_rng(1).integers(0, 65535, (CUPS * scans, pixels), np.uint16)
    places = [config.spectrometer.chord_cups * (scan + 0.5) / scans for scan in range(scans)]
    t0_ns, speed = time.monotonic_ns(), config.line.cups_per_s
    # Each lane a little further on, so that no two triggers coincide.
    spectra = [
        TapeSpectra(rows, tuple(place + lane / 100 for place in places), t0_ns, speed) for lane in range(config.line.lanes)
    ]
    step_nm = (config.spectrometer.wavelength_nm[1] - config.spectrometer.wavelength_nm[0]) / (pixels - 1)
    made = [ObpSpectrometer(f"EMU{lane}", wavelength=(650.0, step_nm)) for lane in range(config.line.lanes)]
    with serve_spectrometers(list(zip(made, spectra, strict=True))) as served:
        result: dict[str, Any] = {"simulated": True} | spectrometers(config, served, args.seconds)
    result |= {"fuzz": fuzz(args.fuzz), "machine": machine()}
    if args.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:20} {value}")


if __name__ == "__main__":
    main()
