"""Checks of a live line's devices: one for everything that senses."""

from citrus_grade.config.references import SHUTTER_OF
from citrus_grade.config.sections import LineConfig
from citrus_grade.words import _


def check_devices(config: LineConfig) -> list[str]:
    """A line with a PLC has a device for every camera and every lane's spectrometer, and no ``[source]``."""
    if not config.is_live:
        return []
    problems = [
        _("camera.{index} ({name}).device: is missing; a line with [plc] needs the driver of each camera").format(
            index=index, name=camera.name
        )
        for index, camera in enumerate(config.camera)
        if not camera.device
    ]
    if config.spectrometer and len(config.spectrometer.device) != config.line.lanes:
        problems.append(
            _("spectrometer.device: {n} devices for {lanes} lanes; give one a lane, in the order of the lanes").format(
                n=len(config.spectrometer.device), lanes=config.line.lanes
            )
        )
    problems += _one_camera_twice(config) + _one_spectrometer_twice(config)
    problems += _untriggered(config)
    problems += _too_late_to_tell(config)
    if config.source:
        problems.append(_("source: a line with [plc] is driven by its devices; take [source] out, or [plc]"))
    problems += [
        _("command.{index}: {kind!r} needs spectrometers, and the line has none; take it out").format(
            index=index, kind=command.kind
        )
        for index, command in enumerate(config.command)
        if command.kind in SHUTTER_OF and not config.spectrometer
    ]
    return problems


def _untriggered(config: LineConfig) -> list[str]:
    """Frames are placed at whole pitches: one taken anywhere else would be measured up to half a pitch beside its cups."""
    return [
        _(
            '{where}.device.trigger: "free" is for trying a camera out by itself; on a line each pitch triggers it:'
            ' write trigger = "hardware"'
        ).format(where=f"camera.{index} ({camera.name})")
        for index, camera in enumerate(config.camera)
        if camera.device.get("trigger") == "free"
    ]


def _too_late_to_tell(config: LineConfig) -> list[str]:
    """What may come half a pitch later than the line takes it to is given to the next cup, and no clock shows it."""
    half_ms = 500 / config.line.cups_per_s
    sections = [
        (f"camera.{index} ({camera.name})", camera.latency_ms, camera.transit_ms) for index, camera in enumerate(config.camera)
    ]
    if config.spectrometer:
        sections.append(("spectrometer", config.spectrometer.latency_ms, config.spectrometer.transit_ms))
    return [
        _(
            "{where}.transit_ms: what comes between {least:g} and {most:g} ms (latency_ms) after its trigger can't be told from"
            " the next cup's, half a pitch is {half:.1f} ms; write the least time it takes into transit_ms, the most into"
            " latency_ms"
        ).format(where=where, least=least_ms or 0.0, most=most_ms, half=half_ms)
        for where, most_ms, least_ms in sections
        if not 0 <= most_ms - (least_ms or 0.0) < half_ms
    ]


def _one_camera_twice(config: LineConfig) -> list[str]:
    problems, first = [], dict[tuple[str, str], str]()
    for index, camera in enumerate(config.camera):
        where = f"camera.{index} ({camera.name})"
        for key in ("serial", "address"):
            value = camera.device.get(key)
            if isinstance(value, str) and (other := first.setdefault((key, value), where)) != where:
                problems.append(
                    _("{where}.device.{key}: {value!r} is that of {other}, too; give each camera its own").format(
                        where=where, key=key, value=value, other=other
                    )
                )
    return problems


def _one_spectrometer_twice(config: LineConfig) -> list[str]:
    problems, first = [], dict[tuple[str, str], int]()
    for lane, device in enumerate(config.spectrometer.device if config.spectrometer else ()):
        for key in ("serial", "url"):
            value = device.get(key)
            if isinstance(value, str) and (other := first.setdefault((key, value), lane)) != lane:
                problems.append(
                    _(
                        "spectrometer.device.{lane}.{key}: {value!r} is that of lane {other}, too, so both would see the fruit of"
                        " one; give lane {lane} its own"
                    ).format(lane=lane, key=key, value=value, other=other)
                )
    return problems
