"""Cameras behind a maker's own driver: the GenICam committee's demonstration producer, through the driver of real ones."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citrus_grade.config import LineConfig, load
from citrus_grade.ports import DeviceError, DeviceGone

pytest.importorskip("genicam", reason="genicam of the extra 'gentl' is not installed")
pytest.importorskip("harvesters", reason="harvesters of the extra 'gentl' is not installed")

import genicam

from citrus_grade.drivers.gentl import look, open_camera

EXAMPLE = Path(__file__).parents[1] / "examples" / "line.toml"
CTI = Path(genicam.__file__).with_name("viky.cti")
MONO = {"PixelFormat": "Mono8", "Width": 320, "Height": 240}
if not CTI.exists():
    pytest.skip("this build of genicam brings no viky.cti", allow_module_level=True)


def line(**device: Any) -> LineConfig:
    config = load(EXAMPLE)
    section = {"driver": "gentl", "cti": str(CTI), "serial": "1", "trigger": "free", "parameters": MONO} | device
    camera = config.camera[0].model_copy(update={"device": section, "bayer": "mono", "width_px": 320, "height_px": 240})
    return config.model_copy(update={"camera": (camera,)})


def test_frames_arrive_in_order_and_differ() -> None:
    camera = open_camera(line(), 0)
    counts, pictures = [], []
    while len(counts) < 8:
        exposure = camera.grab(0.2)
        assert exposure is not None
        assert exposure.mosaic.shape == (240, 320)
        assert exposure.t_ns <= time.monotonic_ns()
        counts.append(exposure.count)
        pictures.append(exposure.mosaic.copy())
    camera.close()
    camera.close()
    assert counts == list(range(1, 9))
    assert all(picture.any() for picture in pictures)
    assert any(not np.array_equal(*pair) for pair in pairwise(pictures))


def test_a_camera_is_found_again_after_it_was_closed() -> None:
    for _ in range(2):
        camera = open_camera(line(serial="2"), 0)
        assert "serial 2" in camera.identity
        assert camera.grab(1.0) is not None
        camera.close()


def test_a_look_checks_all_that_a_run_sets_and_sets_nothing() -> None:
    assert "serial 2" in look(line(serial="2"), 0).identity
    with pytest.raises(DeviceError, match=r"refuses PixelFormat = 'Mono99'.*offers RGBa8, Mono8"):
        look(line(parameters={"PixelFormat": "Mono99"}), 0)
    with pytest.raises(DeviceError, match="width_px = 320, but the camera sends 400"):
        look(line(parameters={}), 0)
    with pytest.raises(DeviceGone, match="no answer from 9"):
        look(line(serial="9"), 0)
    camera = open_camera(line(serial="2"), 0)
    assert camera.grab(1.0) is not None
    camera.close()


def test_a_slow_camera_is_asked_and_stays() -> None:
    camera = open_camera(line(parameters=MONO | {"AcquisitionFrameRate": 1.0}), 0)
    assert any(camera.grab(0.1) is None for _ in range(12))
    camera.close()


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ({"serial": "9"}, r"no answer from 9; there are: .*serial 0.*serial 1.*serial 2"),
        ({"cti": "/nowhere.cti"}, r"cti: /nowhere.cti is no GenTL producer"),
        ({"cti": __file__}, r"cti: .* is no GenTL producer"),
        ({"parameters": {}}, r"width_px = 320, but the camera sends 400"),
        ({"parameters": {"PixelFormat": "Mono99"}}, r"refuses PixelFormat = 'Mono99'.*offers RGBa8, Mono8"),
        ({"parameters": {"Gain": 1.0}}, r"the camera has no Gain"),
        ({"trigger": "hardware"}, r"trigger: the camera has no TriggerMode"),
        ({"count_chunk": "FrameID"}, r"count_chunk: the camera has no chunk FrameID"),
        ({"packet_size": 9000}, r"packet_size: unknown key"),
    ],
)
def test_what_cannot_work_says_what_to_do(device: dict[str, Any], said: str) -> None:
    with pytest.raises((DeviceError, DeviceGone), match=said):
        open_camera(line(**device), 0)
