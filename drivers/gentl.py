"""A camera behind its maker's own driver, a GenTL producer (``.cti``), through harvesters."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.drivers.genicam_options import CameraOptions, options_of
from citrus_grade.drivers.genicam_settings import Features, check_chunk, check_picture, exposure_ns, rehearse, settle
from citrus_grade.drivers.genicam_watch import FrameNumber, Watch
from citrus_grade.drivers.pfnc import PIXEL_FORMAT
from citrus_grade.ports import Camera, DeviceError, DeviceGone, Exposure, Found
from citrus_grade.words import _


class GentlOptions(CameraOptions):
    """A camera of the producer ``cti``, by its ``serial`` number."""

    driver: Literal["gentl"] = "gentl"
    cti: str
    serial: str


class GentlCamera:
    """Frames of one camera, complete ones only; see `ports.Camera`."""

    def __init__(
        self, harvester: Any, acquirer: Any, section: CameraSection, options: GentlOptions, name: str, transit_ns: int
    ) -> None:
        # Any: harvesters and genicam carry no types.
        self._transit_ns = transit_ns
        self._harvester, self._acquirer, self._chunk = harvester, acquirer, options.count_chunk
        self._shape = (section.height_px, section.width_px, *((3,) if section.bayer == "rgb" else ()))
        self._format = PIXEL_FORMAT[section.bayer]
        self._number = FrameNumber(wraps=options.count_chunk is None)
        self._watch = Watch(self._answers, options.answer_s)
        self._lent: Any = None
        self._closed = False
        self.identity = name

    @property
    def dropped(self) -> int:
        """How many frames came twice or overtaken."""
        return self._number.late

    def grab(self, timeout_s: float) -> Exposure | None:
        try:
            self._take_back()
            self._lent = self._acquirer.try_fetch(timeout=max(timeout_s, 0.001))
            t_ns = time.monotonic_ns()
            if self._lent is not None:
                return self._exposure(t_ns)
        except _refusals() as error:
            raise self._lost(str(error)) from None
        if not self._watch.silent():
            raise self._lost(_("it does not answer"))
        return None

    def _exposure(self, t_ns: int) -> Exposure | None:
        picture = self._lent.payload.components[0]
        if picture.data_format.removesuffix("Packed") != self._format or picture.data.size != np.prod(self._shape):
            found = f"{picture.width} x {picture.height} {picture.data_format}"
            raise self._lost(_("it has begun to send {found}").format(found=found))
        mosaic: NDArray[np.uint8] = picture.data.reshape(self._shape)
        if self._chunk:
            self._lent.update_chunk_data()
            number = int(self._acquirer.remote_device.node_map.get_node(f"Chunk{self._chunk}").to_string())
        else:
            number = int(self._lent.module.frame_id)
        count = self._number(number)
        return None if count is None else Exposure(count, self._device_ns(t_ns), t_ns, mosaic, self._transit_ns)

    def _device_ns(self, otherwise_ns: int) -> int:
        """Return the camera's own time of a frame, or when it came, where the producer does not pass it on."""
        try:
            return int(self._lent.module.timestamp_ns)
        except _refusals():
            return otherwise_ns

    def _lost(self, why: str) -> DeviceGone:
        return DeviceGone(f"{self.identity}: {why}")

    def _take_back(self) -> None:
        lent, self._lent = self._lent, None
        if lent is not None:
            lent.queue()

    def _answers(self) -> bool:
        try:
            width = self._acquirer.remote_device.node_map.get_node("Width")
            width.node.invalidate_node()
            return int(width.value) > 0
        except _refusals():
            return False

    def close(self) -> None:
        """Stop the camera and give it free."""
        if self._closed:
            return
        self._closed = True
        for step in (self._take_back, self._acquirer.stop, self._acquirer.destroy, self._harvester.reset):
            with contextlib.suppress(*_refusals()):
                step()


def _refusals() -> tuple[type[Exception], ...]:
    """Return what the libraries raise where a camera, or its producer, will not."""
    from genicam import genapi, gentl

    return (genapi.GenericException, gentl.GenericException, AttributeError, TypeError, LookupError, ValueError, OSError)


def open_camera(config: LineConfig, index: int) -> Camera:
    """Open a camera of a producer, set it as line.toml says, and start it.

    Raises
    ------
    DeviceError : if the section, the producer, or the camera's settings, cannot be what line.toml says.
    DeviceGone : if the camera does not answer, or another program holds it.
    """
    with _reached(config, index) as at:
        _start(at)
        return GentlCamera(at.harvester, at.acquirer, at.section, at.options, at.name, exposure_ns(at.features))


def look(config: LineConfig, index: int) -> Found:
    """Ask a camera of a producer who it is, and whether it can be set as line.toml says; see `ports.Found`."""
    with _reached(config, index) as at:
        rehearse(at.features, at.section, at.options, at.where)
        at.acquirer.destroy()
        at.harvester.reset()
        return Found(at.name)


class Reached(NamedTuple):
    """A camera that has been opened: what holds it, its features, what line.toml says of it, and who it says it is."""

    harvester: Any
    acquirer: Any
    features: Features
    section: CameraSection
    options: GentlOptions
    where: str
    name: str


@contextlib.contextmanager
def _reached(config: LineConfig, index: int) -> Iterator[Reached]:
    """Open a camera, and let go of it where what is done with it fails. Raises as `open_camera`."""
    section = config.camera[index]
    where = f"camera.{index} ({section.name}).device"
    options = options_of(GentlOptions, section.device, where)
    try:
        import genicam  # noqa: F401
        from harvesters.core import Harvester
    except ImportError as error:
        raise DeviceError(
            _("{where}: {error}; install the camera's library: pip install 'citrus-grade[{extra}]'").format(
                where=where, error=error, extra="gentl"
            )
        ) from None
    harvester = Harvester()
    try:
        name = _named(_there(harvester, options, where))
        acquirer = harvester.create({"serial_number": options.serial})
        yield Reached(harvester, acquirer, _features(acquirer.remote_device.node_map), section, options, where, name)
    except _refusals() as error:
        harvester.reset()
        raise DeviceGone(f"{where}: {error}") from None
    except (DeviceError, DeviceGone):
        harvester.reset()
        raise


def _there(harvester: Any, options: GentlOptions, where: str) -> Any:
    """Return what the producer says of the camera that is meant."""
    _load(harvester, Path(options.cti), where)
    there = {str(one.serial_number): one for one in harvester.device_info_list}
    if options.serial not in there:
        raise DeviceGone(
            _("{where}: no answer from {wanted}; there are: {there}; look at its cable, power and IP address").format(
                where=where,
                wanted=options.serial,
                there="; ".join(map(_named, there.values())) or _("no camera answers"),
            )
        )
    return there[options.serial]


def _start(at: Reached) -> None:
    """Set a camera as line.toml says, and start it."""
    settle(at.features, at.options, at.where)
    check_picture(at.features, at.section, at.where)
    if at.options.count_chunk:
        check_chunk(at.features, at.options.count_chunk, at.where)
        for name, value in (("ChunkModeActive", "true"), ("ChunkSelector", at.options.count_chunk), ("ChunkEnable", "true")):
            at.features.write(name, value)
    at.acquirer.start()


def _load(harvester: Any, path: Path, where: str) -> None:
    try:
        harvester.add_file(str(path), check_existence=True, check_validity=True)
    except OSError as error:
        raise DeviceError(
            _("{where}.cti: {path} is no GenTL producer: {error}; write the path of the maker's .cti file").format(
                where=where, path=path, error=error.strerror or error
            )
        ) from None
    harvester.update()


def _named(device: Any) -> str:
    return _("{name}, serial {serial}, at {address}").format(
        name=f"{device.vendor} {device.model}", serial=device.serial_number, address=device.id_
    )


def _features(nodes: Any) -> Features:
    from genicam.genapi import ICommand

    def write(name: str, value: str) -> None:
        node = nodes.get_node(name)
        if isinstance(node, ICommand):
            node.execute()
        else:
            node.from_string(value)

    return Features(
        names=frozenset(dir(nodes)),
        read=lambda name: str(nodes.get_node(name).to_string()),
        write=write,
        entries=lambda name: nodes.get_node(name).symbolics,
        ping=lambda: nodes.get_node("Width").value,
        refused=_refusals(),
    )
