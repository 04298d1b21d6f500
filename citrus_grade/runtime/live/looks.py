"""A look at every device of a live line before it starts: who is there, missing, or another. None is set or started."""

import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from citrus_grade.config import ConfigError, LineConfig
from citrus_grade.ports import DeviceBusy, DeviceError, DeviceGone, Found
from citrus_grade.runtime.live.devices import CAMERAS, PLCS, PRINTERS, SCALES, SPECTROMETERS, opener
from citrus_grade.runtime.live.shutters import positions, refused
from citrus_grade.runtime.live.work import PLC, SCALE, SPECTRA, camera_role
from citrus_grade.words import _

PATIENCE_S = 4.0
"""A device that has not answered by then is missing."""
PRINTER = "printer"
"""No process of the line drives it, so no line waits for it."""
Kind = Literal["found", "missing", "another", "busy", "left alone"]


class Device(NamedTuple):
    """A device that line.toml names: which process drives it, how people call it, and what its driver is called with."""

    role: str
    what: str
    group: str
    options: dict[str, Any]
    where: str
    given: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a device came to: ``said`` is who it is, or what is wrong and what to change."""

    device: Device
    kind: Kind
    said: str
    cautions: tuple[str, ...] = ()


Answers = queue.SimpleQueue[Looked | Exception]


def devices(config: LineConfig) -> tuple[Device, list[Device], list[Device]]:
    """Return the PLC of a live line, its cameras, and what needs no turn: its spectrometers by lane, its scale and
    its printer."""
    cameras = [
        Device(
            camera_role(index),
            _("camera {index} ({name})").format(index=index, name=camera.name),
            CAMERAS,
            camera.device,
            f"camera.{index} ({camera.name}).device",
            (config, index),
        )
        for index, camera in enumerate(config.camera)
    ]
    spectrometers = [
        Device(
            SPECTRA,
            _("spectrometer of lane {lane}").format(lane=lane),
            SPECTROMETERS,
            options,
            f"spectrometer.device.{lane}",
            (config, lane),
        )
        for lane, options in enumerate(config.spectrometer.device if config.spectrometer else ())
    ]
    scale = [Device(SCALE, _("scale"), SCALES, config.scale, "scale", (config.scale,))] if config.scale else []
    printer = (
        [Device(PRINTER, _("label printer"), PRINTERS, config.printer, "printer", (config.printer,))] if config.printer else []
    )
    return Device(PLC, _("PLC"), PLCS, config.plc, "plc", (config,)), cameras, [*spectrometers, *scale, *printer]


def looks(config: LineConfig, *, opening: bool, patience_s: float = PATIENCE_S) -> Iterator[Looked]:
    """Look at every device of a live line, the PLC first: where another program drives it no other device is touched.

    Cameras are asked one after another, for each answers calls for all; the others at the same time. ``opening``: a device
    whose driver cannot look at it is opened and closed, otherwise it is left alone.
    """
    plc, cameras, others = devices(config)
    first = list(_answered([[plc]], opening, patience_s))
    yield from first
    if not any(looked.kind == "busy" for looked in first):
        yield from _answered([cameras, *([one] for one in others)], opening, patience_s)


def noted(config: LineConfig) -> list[Looked]:
    """Return the devices that a line which starts has to wait for, and those that there is a caution about.

    Raises
    ------
    DeviceError : if a device is not the one of line.toml, or another program drives it; naming all of them.
    """
    seen = [looked for looked in looks(config, opening=False) if looked.device.role != PRINTER]
    if wrong := [looked.said for looked in seen if looked.kind not in ("found", "missing")]:
        raise DeviceError("\n".join(wrong))
    return [looked for looked in seen if looked.kind == "missing" or looked.cautions]


def _answered(groups: Sequence[Sequence[Device]], opening: bool, patience_s: float) -> Iterator[Looked]:
    """Look at all groups at once, in each at one device after another; say of each what came, or that nothing did in time."""
    began_s = time.monotonic()
    asked = [(group, _ask(group, opening)) for group in groups if group]
    for group, answers in asked:
        for turn, device in enumerate(group, 1):
            came = _answer_of(device, answers, began_s + turn * patience_s)
            if came is None:
                yield Looked(device, "missing", _silent(device, patience_s))
            elif came.kind != "left alone":
                yield came


def _answer_of(device: Device, answers: Answers, until_s: float) -> Looked | None:
    """Return what came of a device in time; what comes late of those before it is passed over."""
    while True:
        try:
            answer = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            return None
        if isinstance(answer, Exception):
            raise answer
        if answer.device == device:
            return answer


def _silent(device: Device, patience_s: float) -> str:
    said = _("{where}: no answer for {seconds:g} s; see to its power and cable, and that its address in line.toml is right")
    return said.format(where=device.where, seconds=patience_s)


def _ask(group: Sequence[Device], opening: bool) -> Answers:
    """Have a thread look at a group; one that hangs is left behind."""
    answers: Answers = queue.SimpleQueue()

    def look() -> None:
        try:
            for device in group:
                answers.put(_look(device, opening))
        except Exception as error:  # for whoever waits
            answers.put(error)

    threading.Thread(target=look, daemon=True, name=f"look at {group[0].where}").start()
    return answers


def _look(device: Device, opening: bool) -> Looked:
    try:
        open_ = opener(device.group, device.options, device.where)
        look = getattr(sys.modules[open_.__module__], "look", None)
        if look is None and not opening:
            return Looked(device, "left alone", "")
        found = look(*device.given) if look else _opened(open_(*device.given))
        if device.role == PLC and (lacking := list(refused(device.given[0], found.positions))):
            return Looked(device, "another", "\n".join(lacking))
        return Looked(device, "found", found.identity, found.cautions)
    except DeviceBusy as error:
        return Looked(device, "busy", str(error))
    except (DeviceError, ConfigError) as error:
        return Looked(device, "another", str(error))
    except DeviceGone as error:
        return Looked(device, "missing", str(error))


def _opened(opened: Any) -> Found:
    opened.close()
    return Found(opened.identity, positions=positions(opened))
