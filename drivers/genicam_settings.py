"""A camera's features by their standard names (GenICam SFNC 2.7), whichever library reaches them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from citrus_grade.config import CameraSection
from citrus_grade.drivers.genicam_options import CameraOptions, Value
from citrus_grade.drivers.pfnc import PIXEL_FORMAT
from citrus_grade.ports import DeviceError
from citrus_grade.words import _


@dataclass(frozen=True, slots=True)
class Features:
    """What a camera has: ``names``, how one is read, set (a command: carried out) and asked for its entries, and how to see that
    the camera is still there; each raises ``refused`` where the camera, or its library, will not."""

    names: Collection[str]
    read: Callable[[str], str]
    write: Callable[[str, str], None]
    entries: Callable[[str], Sequence[str]]
    ping: Callable[[], object]
    refused: type[Exception] | tuple[type[Exception], ...]


def settle(features: Features, options: CameraOptions, where: str) -> None:
    """Set what line.toml asks for, then the trigger, so that no parameter undoes it.

    Raises
    ------
    DeviceError : naming the feature, and what the camera offers in its place.
    """
    for name, value in options.all_parameters(where).items():
        put(features, name, value, f"{where}.parameters")
    put_if_there(features, "AcquisitionMode", "Continuous", where)
    put_if_there(features, "TriggerSelector", "FrameStart", where)
    if options.trigger == "free":
        put_if_there(features, "TriggerMode", "Off", where)
        return
    put(features, "TriggerMode", "On", f"{where}.trigger")
    put(features, "TriggerSource", options.trigger_source, f"{where}.trigger_source")
    put_if_there(features, "TriggerActivation", options.trigger_activation, f"{where}.trigger_activation")


def put_if_there(features: Features, name: str, value: Value, where: str) -> None:
    """Set a feature that not every camera has."""
    if name in features.names:
        put(features, name, value, where)


def put(features: Features, name: str, value: Value, where: str) -> None:
    """Set one feature, unless it has that value already: some can only be read.

    Raises
    ------
    DeviceError : if the camera has no such feature or refuses the value.
    """
    if name not in features.names:
        raise DeviceError(_("{where}: the camera has no {name}").format(where=where, name=name))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        if _now(features, name) != text:
            features.write(name, text)
    except features.refused as error:
        features.ping()  # raises where it is not the value, but the camera that is gone
        raise DeviceError(
            _("{where}: the camera refuses {name} = {value!r}: {error}{offers}").format(
                where=where, name=name, value=value, error=error, offers=_offers(features, name)
            )
        ) from None


def _now(features: Features, name: str) -> str | None:
    """Return a feature's value, if it has one: a command has none, a setting that was never made may have none."""
    try:
        return features.read(name)
    except features.refused:
        return None


def _offers(features: Features, name: str) -> str:
    try:
        return _("; it offers {entries}").format(entries=", ".join(features.entries(name)))
    except features.refused:
        return ""


def check_picture(features: Features, section: CameraSection, where: str) -> None:
    """Compare what the camera will send with what line.toml says.

    Raises
    ------
    DeviceError : naming every difference and both remedies.
    """
    bayer_of = {format_: bayer for bayer, format_ in PIXEL_FORMAT.items()}
    pixels = features.read("PixelFormat").removesuffix("Packed")  # RGB8Packed: the same under its older name
    checks = (
        ("width_px", section.width_px, _whole(features.read("Width")), f"Width = {section.width_px}"),
        ("height_px", section.height_px, _whole(features.read("Height")), f"Height = {section.height_px}"),
        (
            "bayer",
            section.bayer,
            bayer_of.get(pixels, pixels),
            f'PixelFormat = "{PIXEL_FORMAT[section.bayer]}"',
        ),
    )
    problems = [
        _("{where}: {key} = {wanted!r}, but the camera sends {found!r}; correct {key}, or set parameters = {{{feature}}}").format(
            where=where.removesuffix(".device"), key=key, wanted=wanted, found=found, feature=feature
        )
        for key, wanted, found, feature in checks
        if wanted != found
    ]
    if problems:
        raise DeviceError("\n".join(problems))


def exposure_ns(features: Features) -> int:
    """Return how long the camera exposes, 0 of one that does not tell: no frame comes sooner after its trigger."""
    found = _now(features, "ExposureTime") if "ExposureTime" in features.names else None
    try:
        return round(float(found or 0) * 1000)
    except (ValueError, OverflowError):
        return 0


def _whole(text: str) -> int | str:
    """Return a whole number, or what stands in its place."""
    try:
        return int(text)
    except ValueError:
        return text


def check_chunk(features: Features, chunk: str, where: str) -> None:
    """See that the camera can send a chunk.

    Raises
    ------
    DeviceError : if not, naming those that it can.
    """
    there = features.entries("ChunkSelector") if "ChunkSelector" in features.names else ()
    if chunk not in there:
        raise DeviceError(
            _("{where}.count_chunk: the camera has no chunk {chunk}; it has: {there}").format(
                where=where, chunk=chunk, there=", ".join(there) or "-"
            )
        )


def rehearse(features: Features, section: CameraSection, options: CameraOptions, where: str) -> None:
    """Check all that a run sets and compares, and change nothing in the camera. Raises as `settle` and `check_picture`.

    An entry that the camera does not offer is refused; whether a number lies within its limits only the camera knows, and so what
    a user set of its holds.
    """
    tried = _remembering(features)
    settle(tried, options, where)
    if "UserSetLoad" not in options.all_parameters(where):
        check_picture(tried, section, where)
    if options.count_chunk:
        check_chunk(features, options.count_chunk, where)


def _remembering(features: Features) -> Features:
    """Return features that keep to themselves what is set."""
    remembered: dict[str, str] = {}

    def write(name: str, value: str) -> None:
        try:
            entries = features.entries(name)
        except features.refused:
            entries = ()
        if entries and value not in entries:
            refused = features.refused if isinstance(features.refused, type) else features.refused[0]
            raise refused(value)
        remembered[name] = value

    return replace(features, read=lambda name: remembered[name] if name in remembered else features.read(name), write=write)
