"""A belt without an end: a loop of simulated cups, rendered beforehand, that devices play at the belt's own speed.

Rendering takes most of a core; playing takes a few percent of one. So what a live line costs can be measured beside it, and an
emulated line can run on the machine of the line itself.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.drivers.sim.shutters import Behind
from citrus_grade.messages import Frame, Position, Scans

Progress = Callable[[float, float], None]
BEHIND_SCANS = 64


@dataclass(frozen=True, slots=True)
class Tape:
    """A loop of ``cups`` cups a lane.

    ``frames`` one array (cups, height, width[, 3]) uint8 a camera: what it sees when the belt has moved a whole number of
    pitches, modulo ``cups``; ``counts`` (cups, scans, lanes, pixels) uint16: the scans of each cup; ``table`` (lanes, cups) of
    `belt.LOAD`.
    """

    cups: int
    frames: tuple[NDArray[np.uint8], ...]
    counts: NDArray[np.uint16]
    table: NDArray[Any]


def record(config: LineConfig, folder: Path, options: SimOptions, cups: int, progress: Progress | None = None) -> None:
    """Render a loop of ``cups`` cups into ``folder``.

    Raises
    ------
    ValueError : if the loop is shorter than the way past the sensors.
    """
    reach = config.line.decision_station + 2
    if cups < reach:
        raise ValueError(f"a loop of {cups} cups is shorter than the way past the sensors; at least {reach}")
    plant = SimPlant(config, options.model_copy(update={"seconds": 3 * cups / config.line.cups_per_s, "lots": 1}))
    first = plant.table[:, :cups]
    for turn in (1, 2):
        again = plant.table[:, turn * cups : (turn + 1) * cups]
        numbers = again["cup"].copy()
        again[...] = first
        again["cup"] = numbers
    sizes = [(cups, camera.height_px, camera.width_px, *_channels(camera.bayer)) for camera in config.camera]
    frames = [open_memmap(folder / f"frames{index}.npy", "w+", np.uint8, size) for index, size in enumerate(sizes)]
    spectrometer = config.spectrometer
    scans, pixels = (spectrometer.scans, spectrometer.pixels) if spectrometer else (0, 0)
    counts = np.zeros((cups, scans, config.line.lanes, pixels), np.uint16)
    for message in plant.messages(range(cups, 2 * cups + reach)):
        if isinstance(message, Frame) and cups + reach <= message.seq:
            frames[message.camera][message.seq % cups] = message.mosaic
            if progress:
                progress(message.seq - cups - reach, cups)
        elif isinstance(message, Scans):
            cup, scan = divmod(int(message.seq[0]), scans)
            counts[cup % cups, scan, message.lane] = message.counts
    np.save(folder / "counts.npy", counts)
    if spectrometer:
        np.save(folder / "behind.npy", _behind(plant))
    np.save(folder / "table.npy", first)
    for one in frames:
        one.flush()
    (folder / "tape.json").write_text(json.dumps({"cups": cups, "seed": options.seed, "simulated": True}), encoding="utf-8")


def _behind(plant: SimPlant) -> NDArray[np.uint16]:
    """Return scans behind closed shutter and attenuator, (2, `BEHIND_SCANS`, lanes, pixels)."""
    lanes, age = np.arange(plant.config.line.lanes), plant.options.age(0.0)
    places = (Position.CLOSED, Position.ATTENUATOR)
    return np.stack([[plant.spectrometer.look(seq, lanes, at, age) for seq in range(BEHIND_SCANS)] for at in places])


def behind(folder: Path, shutters: Path, lane: int) -> Behind:
    """Return what a lane's shutter in the file ``shutters`` lets its spectrometer see."""
    scans = np.load(folder / "behind.npy")
    return Behind(shutters, scans.shape[2], lane, np.ascontiguousarray(scans[:, :, lane]))


def _channels(bayer: str) -> tuple[int, ...]:
    return (3,) if bayer == "rgb" else ()


def load(folder: Path) -> Tape:
    """Open a loop that `record` rendered; the frames stay on disk until they are looked at."""
    cups = int(json.loads((folder / "tape.json").read_text(encoding="utf-8"))["cups"])
    frames = tuple(np.load(path, mmap_mode="r") for path in sorted(folder.glob("frames*.npy")))
    return Tape(cups, frames, np.load(folder / "counts.npy", mmap_mode="r"), np.load(folder / "table.npy"))
