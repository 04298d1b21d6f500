"""Is the spectrometer that answers the one of this lane?"""

from citrus_grade.config import LineConfig
from citrus_grade.ports import DeviceError
from citrus_grade.words import _


def check_serial(name: str, found: str, wanted: str | None, config: LineConfig) -> None:
    """Compare a spectrometer's serial number with that of ``line.toml``; ``name`` is how messages call it.

    Raises
    ------
    DeviceError : if it is another, naming the lane to which that one belongs.
    """
    if wanted is None or found == wanted:
        return
    assert config.spectrometer is not None
    lanes = [lane for lane, other in enumerate(config.spectrometer.device) if other.get("serial") == found]
    if lanes:
        said = _(
            "{name} is {found}, which belongs to lane {other}; {wanted} belongs here: the lanes are crossed, swap cables or url"
        )
    else:
        said = _("{name} is {found}, line.toml wants {wanted}; correct serial, or put the right spectrometer there")
    raise DeviceError(said.format(name=name, found=found, wanted=wanted, other=lanes[0] if lanes else ""))


def unnamed(found: str, wanted: str | None, lane: int) -> tuple[str, ...]:
    """Warn where ``line.toml`` names no serial number, so that crossed lanes would not be noticed."""
    if wanted is not None:
        return ()
    said = _('spectrometer.device.{lane} names no serial number, so crossed lanes are not noticed; write serial = "{found}"')
    return (said.format(lane=lane, found=found),)
