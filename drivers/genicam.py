"""A GigE Vision camera, by GenICam's names, through viva-genicam."""

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.drivers.genicam_options import GigeOptions, options_of
from citrus_grade.drivers.genicam_settings import Features, check_chunk, check_picture, exposure_ns, rehearse, settle
from citrus_grade.drivers.genicam_watch import FrameNumber, Watch
from citrus_grade.drivers.pfnc import CODE, PIXEL_FORMAT
from citrus_grade.ports import Camera, DeviceBusy, DeviceError, DeviceGone, Exposure, Found
from citrus_grade.words import _

if TYPE_CHECKING:
    import viva_genicam as vg

    from citrus_grade.drivers.genicam_find import Seen

SECOND_NS = 1_000_000_000
CONTROL, TICKS_PER_S = 0x0A00, 0x093C
"""Bootstrap registers: who controls the camera, and its clock's frequency, 64 bit (GigE Vision 2.0, table 28-1)."""
PACKET_HEADERS = 36
"""Bytes of IP, UDP and GVSP headers in a packet."""
EARLY = 0.5
"""A wait that ends before this share of its time did not time out: the stream has failed."""


class GigeCamera:
    """Frames of one camera, complete ones only; see `ports.Camera`. One that lost packets for good is a gap in ``count``."""

    def __init__(
        self,
        camera: "vg.Camera",
        stream: "vg.FrameStream",
        section: CameraSection,
        options: GigeOptions,
        name: str,
        transit_ns: int,
    ) -> None:
        self._camera, self._stream, self._chunk, self._transit_ns = camera, stream, options.count_chunk, transit_ns
        self._shape = (section.height_px, section.width_px, *((3,) if section.bayer == "rgb" else ()))
        self._format = CODE[PIXEL_FORMAT[section.bayer]]
        self._ticks_per_s = int.from_bytes(camera.read_register(TICKS_PER_S, 8), "big") or _ticks_per_s(camera)
        self._number = FrameNumber(wraps=options.count_chunk is None)
        self._watch = Watch(self._answers, options.answer_s)
        self._gone, self._closed = False, False
        self.identity = name

    @property
    def dropped(self) -> int:
        """How many frames came twice or overtaken."""
        return self._number.late

    def grab(self, timeout_s: float) -> Exposure | None:
        import viva_genicam as vg

        began_s = time.monotonic()
        try:
            frame = self._stream.next_frame(max(1, round(timeout_s * 1000)))
        except vg.GenicamError as error:
            if not isinstance(error, vg.TransportError) or time.monotonic() - began_s < EARLY * timeout_s:
                raise self._lost(str(error)) from None
            frame = None
        t_ns = time.monotonic_ns()
        if self._camera.control_state == vg.ControlState.LOST:
            raise self._lost(_("it was started again, or another program controls it"))
        if frame is not None:
            try:
                return self._exposure(frame, t_ns)
            except (DeviceGone, vg.GenicamError) as error:
                raise self._lost(str(error)) from None
        if not self._watch.silent():
            raise self._lost(_("it does not answer"))
        return None

    def _exposure(self, frame: "vg.Frame", t_ns: int) -> Exposure | None:
        mosaic = frame.to_numpy().view(np.uint8)
        if mosaic.shape != self._shape or frame.pixel_format_code != self._format:
            found = f"{frame.width} x {frame.height} {frame.pixel_format}"
            raise DeviceGone(_("it has begun to send {found}").format(found=found))
        count = self._number(self._number_of(frame))
        return (
            None
            if count is None
            else Exposure(count, device_ns(frame.ts_dev, self._ticks_per_s, t_ns), t_ns, mosaic, self._transit_ns)
        )

    def _number_of(self, frame: "vg.Frame") -> int:
        if self._chunk is None:
            return frame.block_id
        value = self._camera.chunk_features(frame).get(f"Chunk{self._chunk}")
        try:
            return int(str(value))
        except ValueError:
            raise DeviceGone(_("a frame came without its chunk {chunk}").format(chunk=self._chunk)) from None

    def _answers(self) -> bool:
        """Say whether the camera is there, and knows that this program controls it."""
        import viva_genicam as vg

        try:
            return self._camera.read_register(CONTROL, 4) != bytes(4)
        except vg.GenicamError:
            return False

    def _lost(self, why: str) -> DeviceGone:
        self._gone = True
        return DeviceGone(f"{self.identity}: {why}")

    def close(self) -> None:
        """Stop the camera and give it free. One that is gone is not waited for."""
        if self._closed:
            return
        self._closed = True
        if self._gone:
            threading.Thread(target=self._let_go, daemon=True, name="camera let go").start()
        else:
            self._let_go()

    def _let_go(self) -> None:
        import viva_genicam as vg

        stop = () if self._gone else (self._camera.acquisition_stop,)
        for step in (*stop, self._stream.close, self._camera.close):
            with contextlib.suppress(vg.GenicamError):
                step()


def device_ns(stamp: int | None, ticks_per_s: int, t_ns: int) -> int:
    """Return the camera's own time of a frame, or when it came, ``t_ns``, where the camera does not say."""
    return stamp * SECOND_NS // ticks_per_s if stamp and ticks_per_s else t_ns


def _ticks_per_s(camera: "vg.Camera") -> int:
    name = "GevTimestampTickFrequency"
    return camera.get_integer(name) if name in camera.nodes() else 0


def open_camera(config: LineConfig, index: int) -> Camera:
    """Open a camera of the network, set it as line.toml says, and start it.

    Raises
    ------
    DeviceError : if the section, or the camera's settings, cannot be what line.toml says.
    DeviceGone : if it does not answer, or another program holds it.
    """
    where = _where(config, index)
    options = options_of(GigeOptions, config.camera[index].device, where)
    seen, camera = _connected(options, where)
    import viva_genicam as vg

    try:
        return _started(camera, config.camera[index], options, f"{seen}", where)
    except vg.GenicamError as error:
        camera.close()
        raise DeviceGone(f"{where}: {error}") from None
    except DeviceError:
        camera.close()
        raise


def look(config: LineConfig, index: int) -> Found:
    """Ask a camera of the network who it is, and whether it can be set as line.toml says; see `ports.Found`."""
    where = _where(config, index)
    options = options_of(GigeOptions, config.camera[index].device, where)
    seen, camera = _connected(options, where, monitor=True)
    import viva_genicam as vg

    try:
        if camera.read_register(CONTROL, 4) != bytes(4):
            raise DeviceBusy(_("{where}: {name}: another program controls it now; end that first").format(where=where, name=seen))
        rehearse(_features(camera), config.camera[index], options, where)
        return Found(f"{seen}", _unnamed(options, seen.serial, where))
    except vg.GenicamError as error:
        raise DeviceGone(f"{where}: {error}") from None
    finally:
        camera.close()


def _where(config: LineConfig, index: int) -> str:
    return f"camera.{index} ({config.camera[index].name}).device"


def _unnamed(options: GigeOptions, serial: str, where: str) -> tuple[str, ...]:
    """Warn where ``line.toml`` names no serial number, so that swapped cameras would not be noticed."""
    if options.serial is not None or not serial:
        return ()
    said = _('{where} names no serial number, so swapped cameras are not noticed; write serial = "{serial}"')
    return (said.format(where=where, serial=serial),)


def _connected(options: GigeOptions, where: str, *, monitor: bool = False) -> "tuple[Seen, vg.Camera]":
    """Find the camera that is meant and connect to it, with ``monitor`` only to read it. Raises as `open_camera`."""
    try:
        import viva_genicam as vg

        from citrus_grade.drivers.genicam_find import find
    except ImportError as error:
        raise DeviceError(
            _("{where}: {error}; install the camera's library: pip install 'citrus-grade[{extra}]'").format(
                where=where, error=error, extra="gige"
            )
        ) from None
    try:
        seen = find(options, where)
        assert seen.info is not None
        return seen, vg.connect_gige(seen.info, monitor=monitor)
    except vg.GenicamError as error:
        raise DeviceGone(
            _("{where}: {error}; does another program hold the camera, is its address in this machine's network?").format(
                where=where, error=error
            )
        ) from None


def _started(camera: "vg.Camera", section: CameraSection, options: GigeOptions, name: str, where: str) -> Camera:
    features = _features(camera)
    settle(features, options, where)
    check_picture(features, section, where)
    if options.count_chunk:
        check_chunk(features, options.count_chunk, where)
        camera.configure_chunks([options.count_chunk])
    delay_ns = None if options.packet_delay_us is None else round(options.packet_delay_us * 1000)
    stream = camera.stream(packet_size=options.packet_size, packet_delay_ns=delay_ns)
    transit_ns = exposure_ns(features) + pauses_ns(section, options)
    opened = GigeCamera(camera, stream, section, options, name, transit_ns)
    camera.acquisition_start()
    return opened


def pauses_ns(section: CameraSection, options: GigeOptions) -> int:
    """Return how long the pauses between the packets of a frame take together, as far as line.toml says."""
    if options.packet_delay_us is None or options.packet_size is None:
        return 0
    channels = 3 if section.bayer == "rgb" else 1
    packets = math.ceil(section.width_px * section.height_px * channels / (options.packet_size - PACKET_HEADERS))
    return round((packets - 1) * options.packet_delay_us * 1000)


def _features(camera: "vg.Camera") -> Features:
    import viva_genicam as vg

    def write(name: str, value: str) -> None:
        info = camera.node_info(name)
        if info is not None and info.kind == vg.NodeKind.COMMAND:
            camera.execute(name)
        else:
            camera.set(name, value)

    def ping() -> None:
        camera.read_register(CONTROL, 4)

    return Features(camera.nodes(), camera.get, write, camera.enum_entries, ping, vg.GenicamError)
