"""Which camera of those on the network is meant."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import viva_genicam as vg

from citrus_grade.drivers.genicam_options import GigeOptions
from citrus_grade.ports import DeviceError, DeviceGone
from citrus_grade.words import _

SERIAL_NUMBER, SERIAL_BYTES = 0x00D8, 16
"""Bootstrap register with the serial number, optional and padded with NUL (GigE Vision 2.0, table 28-1)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A camera that answered; ``serial`` is empty where it keeps it to itself, as it does while nobody can reach its address."""

    address: str
    serial: str
    name: str
    info: vg.GigeDeviceInfo | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return _("{name}, serial {serial}, at {address}").format(name=self.name, serial=self.serial or "?", address=self.address)


def find(options: GigeOptions, where: str) -> Seen:
    """Call for all cameras and return the one that is meant; see `pick`.

    Asking one for its number takes as long as reading its description, so a camera at a known address is asked alone.
    """
    found = vg.discover(timeout_ms=round(options.discover_s * 1000), all=True)
    near = [_seen(one) for one in found if one.ip == options.address]
    if near and options.serial in (None, near[0].serial):
        return near[0]
    return pick([_seen(one) for one in found], options, where)


def _seen(info: vg.GigeDeviceInfo) -> Seen:
    return Seen(info.ip, _serial(info), f"{info.manufacturer or '?'} {info.model or '?'}", info)


def _serial(info: vg.GigeDeviceInfo) -> str:
    with contextlib.suppress(vg.GenicamError), vg.connect_gige(info, monitor=True) as camera:
        if "DeviceSerialNumber" in camera.nodes():
            return camera.get_string("DeviceSerialNumber")
        return camera.read_register(SERIAL_NUMBER, SERIAL_BYTES).split(b"\0")[0].decode("ascii", "replace")
    return ""


def pick(seen: Sequence[Seen], options: GigeOptions, where: str) -> Seen:
    """Return the camera that is meant.

    Raises
    ------
    DeviceError : if the section names none, two that answer, or one at another camera's address.
    DeviceGone : if it does not answer, naming those that do.
    """
    there = "; ".join(map(str, seen)) or _("no camera answers")
    if options.serial is None and options.address is None:
        raise DeviceError(_("{where}: write serial = or address =; there are: {there}").format(where=where, there=there))
    at_address = [one for one in seen if options.address in (None, one.address)]
    meant = [one for one in at_address if options.serial in (None, one.serial)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise DeviceError(
            _("{where}.serial: {n} cameras say they are {serial}: write address = as well; there are: {there}").format(
                where=where, n=len(meant), serial=options.serial, there=there
            )
        )
    if options.address and at_address and at_address[0].serial:
        raise DeviceError(_another(at_address[0], seen, options, where))
    if elsewhere := [one for one in seen if one.serial and one.serial == options.serial]:
        raise DeviceError(
            _('{where}: {serial} is at {own}, and no camera at {address}: write address = "{own}", or take address out').format(
                where=where, serial=options.serial, own=elsewhere[0].address, address=options.address
            )
        )
    raise DeviceGone(
        _("{where}: no answer from {wanted}; there are: {there}; look at its cable, power and IP address").format(
            where=where, wanted=options.serial or options.address, there=there
        )
    )


def _another(other: Seen, seen: Sequence[Seen], options: GigeOptions, where: str) -> str:
    own = next((one.address for one in seen if one.serial == options.serial), None)
    if own is None:
        return _("{where}: at {address} is {other}, not {serial}; write its number, or look for the right camera").format(
            where=where, address=options.address, other=other, serial=options.serial
        )
    return _("{where}: at {address} is {other}; {serial} is at {own}: write that address, or swap the cameras").format(
        where=where, address=options.address, other=other, serial=options.serial, own=own
    )
