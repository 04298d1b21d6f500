"""Cameras whose library hands the driver anything at all: values of features, and frames."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from citrus_grade import templates
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers import genicam, gentl
from citrus_grade.drivers.genicam_find import Seen
from citrus_grade.ports import Camera

WIDTH, HEIGHT = 8, 4
FRAMES: Final = 6
NAMES: Final = ("AcquisitionMode", "TriggerSelector", "TriggerMode", "TriggerSource", "TriggerActivation", "ChunkSelector")
CHUNK: Final = b"FrameID"
_FEATURES: Final = [b"Continuous", b"FrameStart", b"On", b"Line1", b"RisingEdge", b"BayerRG8", b"8", b"4"]
_NUMBERS: Final = ([1, 2, 3, 5, 6, 7], [65534, 65535, 1, 2, 0, 3])


def _frames(numbers: list[int], *after: bytes) -> list[bytes]:
    """Return of each frame its number, time, format, width, height and pixels, and what is asked ``after`` it."""
    pixels = bytes(WIDTH * HEIGHT)
    each = [[str(n).encode(), str(n * 1000).encode(), b"BayerRG8", b"8", b"4", pixels, *after] for n in numbers]
    return [piece for frame in each for piece in frame]


GIGE_ANSWERS: Final = [
    *([b"", *_FEATURES, (10**9).to_bytes(8, "big"), *_frames(numbers)] for numbers in _NUMBERS),
    [CHUNK, *_FEATURES, b"FrameID,CounterValue", bytes(8), *_frames(_NUMBERS[0], b"7")],
]
"""Which chunk numbers the frames; the camera's values in the order the driver asks for them; its clock's ticks; frames."""
GENTL_ANSWERS: Final = [
    *([b"", *_FEATURES, *_frames(numbers)] for numbers in _NUMBERS),
    [CHUNK, *_FEATURES, *_frames(_NUMBERS[0], b"7")],
]
"""The same of a camera behind its maker's driver."""


def _line(**device: Any) -> LineConfig:
    config = load(templates.LINE)
    small = {"width_px": WIDTH, "height_px": HEIGHT, "bayer": "RGGB", "device": device}
    return config.model_copy(update={"camera": (config.camera[0].model_copy(update=small),)})


def _use(camera: Camera) -> None:
    try:
        for _frame in range(FRAMES):
            camera.grab(0.0)
    finally:
        camera.close()


class Said:
    """What a camera says, one value after the other; then nothing."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)

    def raw(self) -> bytes:
        return next(self._pieces, b"")

    def text(self) -> str:
        return self.raw().decode("utf-8", "replace")

    def number(self) -> int | None:
        """Return a whole number, or None, as a library does that has none to give."""
        try:
            return int(self.text())
        except ValueError:
            return None

    def entries(self) -> list[str]:
        return self.text().split(",")


def gige_camera(pieces: list[bytes]) -> None:
    """Set a GigE Vision camera and take frames; what viva-genicam hands on is ``pieces``."""
    import viva_genicam as vg

    said = Said(pieces)
    chunk = said.raw() == CHUNK
    # Any: in place of the library's own classes.
    camera: Any = SimpleNamespace(
        nodes=lambda: list(NAMES),
        get=lambda _name: said.text(),
        node_info=lambda _name: None,
        set=lambda _name, _value: None,
        enum_entries=lambda _name: said.entries(),
        read_register=lambda _address, size: said.raw()[:size],
        configure_chunks=lambda _names: None,
        stream=lambda **_options: SimpleNamespace(next_frame=lambda _ms: _gige_frame(said), close=lambda: None),
        acquisition_start=lambda: None,
        acquisition_stop=lambda: None,
        close=lambda: None,
        get_integer=lambda _name: said.number() or 0,
        chunk_features=lambda _frame: {"ChunkFrameID": said.text()},
        control_state=vg.ControlState.HELD,
    )
    config = _line(driver="genicam", serial="A", **({"count_chunk": "FrameID"} if chunk else {}))
    seen = Seen("127.0.0.1", "A", "Maker Model", SimpleNamespace())  # type: ignore[arg-type]  # nobody looks into it
    with (
        patch("viva_genicam.connect_gige", lambda _info, **_options: camera),
        patch("citrus_grade.drivers.genicam_find.find", lambda *_asked: seen),
    ):
        _use(genicam.open_camera(config, 0))


def _gige_frame(said: Said) -> Any:
    number, time_ns = said.number() or 0, said.number()
    format_, width, height, pixels = said.text(), said.text(), said.text(), said.raw()
    return SimpleNamespace(
        to_numpy=lambda: _picture(pixels), pixel_format_code=0x01080009, pixel_format=format_, width=width, height=height,
        ts_dev=time_ns, block_id=number,
    )  # fmt: skip


def _picture(pixels: bytes) -> Any:
    import viva_genicam as vg

    if not pixels:
        raise vg.UnsupportedPixelFormatError("no pixels")
    data = np.frombuffer(pixels, np.uint8)
    return data.reshape(HEIGHT, WIDTH) if data.size == HEIGHT * WIDTH else data


def gentl_camera(pieces: list[bytes]) -> None:
    """Set a camera of a GenTL producer and take frames; what harvesters hands on is ``pieces``."""
    said = Said(pieces)
    chunk = said.raw() == CHUNK
    device = SimpleNamespace(serial_number="A", vendor="Maker", model="Model", id_="1")
    acquirer = SimpleNamespace(
        remote_device=SimpleNamespace(node_map=_Nodes(said)),
        start=lambda: None,
        stop=lambda: None,
        destroy=lambda: None,
        try_fetch=lambda timeout: _gentl_frame(said),
    )
    harvester = SimpleNamespace(
        add_file=lambda *_path, **_checks: None, update=lambda: None, device_info_list=[device], create=lambda _which: acquirer,
        reset=lambda: None,
    )  # fmt: skip
    config = _line(driver="gentl", cti="a.cti", serial="A", **({"count_chunk": "FrameID"} if chunk else {}))
    with patch("harvesters.core.Harvester", lambda: harvester):
        _use(gentl.open_camera(config, 0))


class _Nodes:
    """A node map in which every feature is there."""

    def __init__(self, said: Said) -> None:
        self._said = said

    def __dir__(self) -> list[str]:
        return list(NAMES)

    def get_node(self, _name: str) -> Any:
        return SimpleNamespace(
            to_string=self._said.text, from_string=lambda _value: None, symbolics=["FrameID"], value=0,
            node=SimpleNamespace(invalidate_node=lambda: None),
        )  # fmt: skip


def _gentl_frame(said: Said) -> Any:
    number, time_ns = said.number(), said.number()
    format_, width, height, pixels = said.text(), said.text(), said.text(), said.raw()
    picture = SimpleNamespace(data_format=format_, width=width, height=height, data=np.frombuffer(pixels, np.uint8))
    return SimpleNamespace(
        payload=SimpleNamespace(components=[picture] if pixels else []), queue=lambda: None, update_chunk_data=lambda: None,
        module=SimpleNamespace(frame_id=number, timestamp_ns=time_ns),
    )  # fmt: skip
