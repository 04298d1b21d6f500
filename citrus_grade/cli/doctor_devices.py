"""The doctor's look at the devices of a live line: the drivers they need, and who answers."""

from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from citrus_grade.cli.doctor_machine import unmet
from citrus_grade.cli.findings import Finding
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from citrus_grade.config import LineConfig
    from citrus_grade.runtime.live.looks import Looked

EXTRAS = {"genicam": "gige", "gentl": "gentl", "s7": "s7"}
"""Drivers of ours that need packages of an extra."""
SAID = {"missing": N_("not found: {said}"), "another": N_("not as configured: {said}"), "busy": N_("in use: {said}")}
MEND = N_("change line.toml or the wiring as said, then ask the doctor again")
END = N_("one program at a time drives a line: end the other, then ask the doctor again")


def drivers(line: "LineConfig") -> Iterator[Finding]:
    """Is every driver that the devices name installed, with what it needs?"""
    from citrus_grade.runtime.live.looks import devices

    plc, cameras, others = devices(line)
    for group, name in sorted({(device.group, str(device.options.get("driver"))) for device in (plc, *cameras, *others)}):
        yield _driver(group, name)


def _driver(group: str, name: str) -> Finding:
    what, known = _("driver"), metadata.entry_points(group=group)
    if name not in known.names:
        fix = _("write one of {names}, or install the package that brings it").format(names=", ".join(sorted(known.names)) or "-")
        return Finding(what, "fail", _("there is no driver {name!r}").format(name=name), fix)
    if bad := unmet(_requirements(EXTRAS.get(name, ""))):
        return Finding(what, "fail", f"{name}: {', '.join(bad)}", f"pip install 'citrus-grade[{EXTRAS[name]}]'")
    try:
        known[name].load()
    except (ImportError, AttributeError) as error:
        return Finding(what, "fail", f"{name}: {error}", _("install what it needs"))
    return Finding(what, "ok", f"{name} ({group.removeprefix('citrus_grade.')})")


def _requirements(extra: str) -> "list[Requirement]":
    """Return what an extra of this program needs on top; nothing for none."""
    if not extra:
        return []
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in metadata.requires("citrus-grade") or ()]
    return [r for r in needed if r.marker and r.marker.evaluate({"extra": extra}) and not r.marker.evaluate({"extra": ""})]


def devices(line: "LineConfig") -> Iterator[Finding]:
    """Does every camera, spectrometer and the PLC answer, and is it the one that line.toml means? Nothing is set or started."""
    from citrus_grade.runtime.live.looks import looks

    for looked in looks(line, opening=True):
        yield from _findings(looked)


def _findings(looked: "Looked") -> Iterator[Finding]:
    what = looked.device.what
    if looked.kind != "found":
        fix = END if looked.kind == "busy" else MEND
        for said in looked.said.splitlines():
            yield Finding(what, "fail", _(SAID[looked.kind]).format(said=said), _(fix), looked.kind)
        return
    yield Finding(what, "ok", looked.said, kind=looked.kind)
    for caution in looked.cautions:
        yield Finding(what, "warn", caution, _("mend it before the first fruit"), looked.kind)
