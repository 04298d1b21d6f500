"""Devices of a live line by the name of their driver, opened however long it takes."""

import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

from citrus_grade.ports import Camera, DeviceError, DeviceGone, Plc, Scale, Spectrometer
from citrus_grade.runtime.live.work import Work
from citrus_grade.words import _

CAMERAS, SPECTROMETERS = "citrus_grade.cameras", "citrus_grade.spectrometers"
PLCS, SCALES, PRINTERS = "citrus_grade.plcs", "citrus_grade.scales", "citrus_grade.printers"
PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Before a device is opened again, longer each time it fails."""
Device = TypeVar("Device", Camera, Spectrometer, Plc, Scale)


def opener(group: str, options: dict[str, Any], where: str) -> Any:
    """Return what opens the device that ``options`` name by ``driver``.

    Raises
    ------
    DeviceError : if no such driver is installed.
    """
    found = {entry.name: entry for entry in entry_points(group=group)}
    name = options.get("driver")
    if name not in found:
        raise DeviceError(
            _("{where}.driver: {name!r} is not installed; there are {names}").format(
                where=where, name=name, names=", ".join(sorted(found)) or "-"
            )
        )
    return found[name].load()


def opened(work: Work, open_: Callable[[], Device], going: Callable[[], bool], number: int = 0) -> Device | None:
    """Open a device, however long it takes; None if the line stops before. `DeviceError` goes to the caller.

    ``number`` : which of the process's devices it is.
    """
    failed = 0
    while going():
        try:
            device = open_()
            if failed:
                work.gone(number, False)
            work.event("device_opened", device=number, identity=device.identity)
            return device
        except DeviceGone as error:
            if failed == 0:
                work.gone(number, True)
                work.tell(str(error))
            pause(PAUSES_S[min(failed, len(PAUSES_S) - 1)], going)
            failed += 1
    return None


def pause(seconds: float, going: Callable[[], bool]) -> None:
    """Wait, unless the line stops."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and going():
        time.sleep(min(0.05, seconds))
