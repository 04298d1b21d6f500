"""A simulated line as a live one: its ``line.toml`` with devices that play a tape in place of ``[source]``."""

import json
import re
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.sim.belt import CUP_EMPTY
from citrus_grade.drivers.sim.devices import FELL, READOUT_S
from citrus_grade.drivers.sim.shutters import Shutters
from citrus_grade.drivers.sim.tape import Tape
from citrus_grade.tables import Table

OWN_SECTIONS = ("source", "plc", "camera.device", "spectrometer.device")
OWN_VALUES = {"": ("emulation",), "camera": ("device", "transit_ms"), "spectrometer": ("device", "transit_ms")}
"""What of a ``line.toml`` belongs to the devices that drive it: whole sections, and values of others."""


def played(
    line_toml: Path,
    tape: Path,
    *,
    fell: Path | None = None,
    cups_per_s: float | None = None,
    faults: Path | None = None,
    shutters: Path | None = None,
) -> str:
    """Return the text of a live ``line.toml``: the line of ``line_toml``, driven by a tape that begins to move now.

    ``fell`` is the file into which the simulated PLC writes what dropped where; ``cups_per_s`` the belt's speed, if not the
    line's; ``faults`` the file of a `fault_plan.FaultPlan` that the devices obey; ``shutters`` the file by which the devices
    share where the spectrometers' shutters stand, all open at first; without one the PLC has none.
    """
    config = load(line_toml)
    options: dict[str, Any] = {
        "driver": "tape",
        "tape": str(tape.resolve()),
        "t0_ns": time.monotonic_ns(),
        "cups_per_s": float(cups_per_s or config.line.cups_per_s),
    }
    if faults:
        options["faults"] = str(faults)
    if shutters:
        Shutters.make(shutters, config.line.lanes)
        options["shutters"] = str(shutters)
    plc = options | ({"fell": str(fell)} if fell else {})
    devices = Devices([options] * len(config.camera), [options] * config.line.lanes, plc)
    return with_devices(line_toml, devices, cups_per_s=cups_per_s)


@dataclass(slots=True)
class Devices:
    """The options of each device of a line: cameras in order, spectrometers by lane, and the PLC."""

    cameras: list[dict[str, Any]]
    spectrometers: list[dict[str, Any]]
    plc: dict[str, Any]


def with_devices(line_toml: Path, devices: Devices, *, cups_per_s: float | None = None, emulation: Path | None = None) -> str:
    """Return the text of ``line_toml`` with these devices in place of ``[source]`` or of its own, all else and its comments kept.

    ``emulation`` is the folder with what really lay on the belt, where it is an emulated one.
    """
    cameras = iter(devices.cameras)
    spectrometers = ", ".join(map(_inline, devices.spectrometers))
    text = _without_devices(line_toml.read_text(encoding="utf-8"))
    transit = f"transit_ms = {1000 * READOUT_S}"
    text = re.sub(r"(?m)^\[\[camera\]\].*$", lambda found: f"{found[0]}\ndevice = {_inline(next(cameras))}\n{transit}", text)
    text = re.sub(r"(?m)^\[spectrometer\].*$", lambda found: f"{found[0]}\ndevice = [{spectrometers}]", text)
    if cups_per_s:
        text = re.sub(r"(?m)^cups_per_s = .*$", f"cups_per_s = {float(cups_per_s)}", text)
    plc = [f"{key} = {json.dumps(value)}" for key, value in devices.plc.items()]
    known = [f"emulation = {json.dumps(str(emulation.resolve()))}"] if emulation else []
    return "\n".join([*known, text.rstrip(), "", "[plc]", *plc, ""])


def _without_devices(text: str) -> str:
    """Return a ``line.toml`` without what drives it, and without what is true of its own devices only."""
    kept, section, begun = [], "", ""
    for line in text.splitlines():
        begun += f"{line}\n"
        if title := re.match(r"\s*\[+\s*([\w.-]+)\s*\]+\s*(#.*)?$", line):
            section = title[1]
        name = re.match(r"\s*([\w-]+)\s*=", begun)
        its_own = name is not None and name[1] in OWN_VALUES.get(section, ())
        if its_own and not _is_whole(begun):
            continue  # a list over several lines
        begun = ""
        if not its_own and not section.startswith(OWN_SECTIONS):
            kept.append(line)
    return "\n".join(kept)


def _is_whole(value: str) -> bool:
    try:
        tomllib.loads(value)
    except tomllib.TOMLDecodeError:
        return False
    return True


def truth(tape: Tape, fell: Path, config: LineConfig, origin: int, cups: int) -> Table:
    """Return what lay in each of the first ``cups`` cups of a run and where it dropped, (lanes * cups,) of `belt.LOAD`.

    ``origin`` is where the encoder stood at the line's count 0; ``fell`` the file that the simulated PLC wrote.
    """
    shift = round(origin / config.encoder.ratio)
    number = np.arange(cups)
    table = tape.table[:, (number + shift) % tape.cups]
    table["cup"], table["fell"] = number, -1
    dropped = np.fromfile(fell, FELL) if fell.exists() else np.zeros(0, FELL)
    cup = dropped["cup"] - shift
    seen = (cup >= 0) & (cup < cups)
    lane, cup, outlet = dropped["lane"][seen], cup[seen], dropped["outlet"][seen]
    full = table["load"][lane, cup] != CUP_EMPTY
    table["fell"][lane[full], cup[full]] = outlet[full]
    return table.reshape(-1)


def _inline(options: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items()) + " }"
