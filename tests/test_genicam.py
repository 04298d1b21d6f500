"""Cameras of the network: our own frames from an emulated camera, and two strangers' cameras, through the driver of real ones."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.cli.doctor_devices import devices
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers import genicam_options
from citrus_grade.drivers.emulate.camera import loopback, program, serve_camera
from citrus_grade.drivers.genicam_options import GigeOptions, options_of
from citrus_grade.drivers.genicam_watch import FrameNumber, Watch
from citrus_grade.ports import Camera, DeviceError, DeviceGone, Exposure

pytest.importorskip("viva_genicam", reason="viva-genicam of the extra 'gige' is not installed")

from viva_genicam import discover
from viva_genicam.testing import FakeGigeCamera

from citrus_grade.drivers.genicam import device_ns, open_camera, pauses_ns
from citrus_grade.drivers.genicam_find import Seen, pick

pytestmark = pytest.mark.usefixtures("gige_network")
EXAMPLE = Path(__file__).parents[1] / "examples" / "line.toml"
CUPS, HEIGHT, WIDTH = 7, 192, 256
"""Frames that a socket's buffer holds whole: none is lost, however busy the machine is."""
CUPS_PER_S = 12.0
GRAB_S = 0.1


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop of noise, no two parts of it alike. Camera 1 has three colours a pixel, camera 2 is large."""
    try:
        program()
    except DeviceError as error:
        pytest.skip(str(error))
    folder, rng = tmp_path_factory.mktemp("tape"), np.random.default_rng(5)
    np.save(folder / "frames0.npy", rng.integers(0, 256, (CUPS, HEIGHT, WIDTH), np.uint8))
    np.save(folder / "frames1.npy", rng.integers(0, 256, (CUPS, 120, 160, 3), np.uint8))
    np.save(folder / "frames2.npy", rng.integers(0, 256, (CUPS, 768, 1024), np.uint8))
    return folder


class Belt:
    """When the belt began to move, and what one of its cameras sees."""

    def __init__(self, tape: Path, cups_per_s: float = CUPS_PER_S, index: int = 0) -> None:
        self.options = {"t0_ns": time.monotonic_ns(), "cups_per_s": cups_per_s}
        self.tape, self.index, self.frames = tape, index, np.load(tape / f"frames{index}.npy")

    def serve(self, **more: Any) -> Any:
        return serve_camera(self.tape, self.index, **({"bayer": "RGGB"} | self.options | more))

    def pitch(self, exposure: Exposure) -> int:
        """Return the pitch a frame was taken at, by the camera's clock."""
        cups = (exposure.device_ns - self.options["t0_ns"]) * self.options["cups_per_s"] / 1e9
        assert abs(cups - round(cups)) < 1e-3
        return round(cups)

    def is_whole(self, exposure: Exposure) -> bool:
        return np.array_equal(exposure.mosaic, self.frames[self.pitch(exposure) % CUPS])


SMALL = {"width_px": WIDTH, "height_px": HEIGHT}


def line(*devices: dict[str, Any], **camera: Any) -> LineConfig:
    """The line of the example, its camera as often as there are devices."""
    config = load(EXAMPLE)
    cameras = tuple(
        config.camera[0].model_copy(update=SMALL | camera | {"device": {"driver": "genicam"} | device}) for device in devices
    )
    return config.model_copy(update={"camera": cameras})


def grab(camera: Camera, n: int, patience: int = 50) -> list[Exposure]:
    """Return the next ``n`` frames, waiting ``patience`` times in vain at most."""
    taken: list[Exposure] = []
    silent = 0
    while len(taken) < n:
        exposure = camera.grab(GRAB_S)
        silent = 0 if exposure else silent + 1
        assert silent < patience
        if exposure:
            taken.append(exposure)
    return taken


@pytest.mark.parametrize("bayer", ["RGGB", "mono"])
def test_every_pitch_arrives_once_in_order_and_to_the_byte(tape: Path, bayer: str) -> None:
    belt = Belt(tape)
    with belt.serve(bayer=bayer, serial="CG1"):
        camera = open_camera(line({"serial": "CG1"}, bayer=bayer), 0)
        taken = grab(camera, 24)
        camera.close()
    assert "CG1" in camera.identity
    first = belt.pitch(taken[0])
    assert [belt.pitch(exposure) for exposure in taken] == list(range(first, first + 24))
    assert [exposure.count - taken[0].count for exposure in taken] == list(range(24))
    assert all(belt.is_whole(exposure) for exposure in taken)
    assert all(exposure.t_ns >= exposure.device_ns for exposure in taken)


def test_three_colours_a_pixel_arrive_to_the_byte(tape: Path) -> None:
    belt = Belt(tape, index=1)
    with belt.serve(bayer="rgb"):
        camera = open_camera(line({"address": "127.0.0.1"}, bayer="rgb", width_px=160, height_px=120), 0)
        assert all(belt.is_whole(exposure) for exposure in grab(camera, 5))
        camera.close()


def test_large_frames_arrive_whole_or_are_a_gap(tape: Path) -> None:
    """A frame that is larger than a socket's buffer may be lost on a busy machine."""
    belt = Belt(tape, index=2)
    with belt.serve():
        camera = open_camera(line({"address": "127.0.0.1"}, width_px=1024, height_px=768), 0)
        taken = grab(camera, 24)
        camera.close()
    assert all(belt.is_whole(exposure) for exposure in taken)
    assert len({exposure.count - belt.pitch(exposure) for exposure in taken}) == 1


def test_a_frame_that_lost_a_packet_is_a_gap_and_never_a_frame(tape: Path) -> None:
    belt = Belt(tape, cups_per_s=30.0)
    with belt.serve(lost_per_thousand=10.0):
        camera = open_camera(line({"address": "127.0.0.1"}), 0)
        taken = grab(camera, 40)
        camera.close()
    assert all(belt.is_whole(exposure) for exposure in taken)
    missing = taken[-1].count - taken[0].count + 1 - len(taken)
    assert missing > 0
    assert missing == belt.pitch(taken[-1]) - belt.pitch(taken[0]) + 1 - len(taken)


def test_the_count_goes_on_past_the_last_16_bit_number(tape: Path) -> None:
    belt = Belt(tape, cups_per_s=40.0)
    with belt.serve():
        camera = open_camera(line({"address": "127.0.0.1", "packet_size": 4000}), 0)
        taken = grab(camera, 160)
        camera.close()
    assert taken[0].count < 65535 < taken[-1].count
    apart = {exposure.count - belt.pitch(exposure) for exposure in taken}
    assert len(apart) == 1


@pytest.mark.fault
def test_a_killed_camera_is_noticed_and_found_again(tape: Path) -> None:
    belt = Belt(tape)
    config = line({"serial": "CG0"})
    server = belt.serve()
    camera = open_camera(config, 0)
    grab(camera, 3)
    server.process.kill()
    server.close()
    with pytest.raises(DeviceGone, match=r"CG0.*does not answer"):
        grab(camera, 99, patience=10)
    camera.close()
    camera.close()
    with pytest.raises(DeviceGone, match="no answer from CG0"):
        open_camera(config, 0)
    with belt.serve():
        again = open_camera(config, 0)
        assert all(belt.is_whole(exposure) for exposure in grab(again, 5))
        again.close()


@pytest.mark.fault
def test_a_camera_whose_cable_is_pulled_is_noticed_and_not_waited_for(tape: Path) -> None:
    """A stopped process answers nothing, not even that nobody is there, as a cable in the air."""
    belt = Belt(tape)
    config = line({"serial": "CG0"})
    with belt.serve() as server:
        camera = open_camera(config, 0)
        grab(camera, 3)
        os.kill(server.process.pid, signal.SIGSTOP)
        with pytest.raises(DeviceGone, match="does not answer"):
            grab(camera, 99, patience=10)
        camera.close()
        os.kill(server.process.pid, signal.SIGCONT)
        again = _patiently(config)
        first = grab(again, 5)
        assert all(belt.is_whole(exposure) for exposure in first)
        again.close()


@pytest.mark.fault
def test_a_camera_that_was_started_again_between_two_frames_is_noticed(tape: Path) -> None:
    belt = Belt(tape)
    server = belt.serve()
    camera = open_camera(line({"serial": "CG0"}), 0)
    grab(camera, 3)
    server.process.kill()
    server.close()
    with belt.serve(), pytest.raises(DeviceGone, match=r"started again|does not answer"):
        grab(camera, 99, patience=20)
    camera.close()


def test_a_stopped_belt_is_no_fault(tape: Path) -> None:
    with Belt(tape).serve(t0_ns=time.monotonic_ns() + 10**15):
        camera = open_camera(line({"address": "127.0.0.1"}), 0)
        assert [camera.grab(GRAB_S) for _ in range(12)] == [None] * 12
        camera.close()


@pytest.mark.fault
def test_a_server_does_not_outlive_whoever_started_it(tape: Path) -> None:
    start = (
        "import sys, time; from pathlib import Path; from citrus_grade.drivers.emulate.camera import serve_camera\n"
        "serve_camera(Path(sys.argv[1]), 0, bayer='RGGB', t0_ns=0, cups_per_s=1.0); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", start, str(tape)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        assert "127.0.0.1" in [one.ip for one in discover(timeout_ms=300, all=True)]
        os.kill(parent.pid, signal.SIGKILL)
    assert any("127.0.0.1" not in [one.ip for one in discover(timeout_ms=100, all=True)] for _ in range(50))


def test_two_cameras_of_one_line_keep_apart(tape: Path) -> None:
    addresses = loopback(2)
    if len(addresses) < 2:
        pytest.skip("a second loopback address needs iproute2 and root")
    belt = Belt(tape)
    config = line({"serial": "CG-A"}, {"address": addresses[1], "serial": "CG-B"}, {"address": addresses[0], "serial": "CG-B"})
    with belt.serve(serial="CG-A"), belt.serve(serial="CG-B", address=addresses[1]):
        cameras = [open_camera(config, index) for index in (0, 1)]
        for camera, serial in zip(cameras, ("CG-A", "CG-B"), strict=True):
            assert f"serial {serial}" in camera.identity
            assert all(belt.is_whole(exposure) for exposure in grab(camera, 6))
        with pytest.raises(DeviceError, match=f"at {addresses[0]} is .*CG-A.*; CG-B is at {addresses[1]}"):
            open_camera(config, 2)
        for camera in cameras:
            camera.close()
    with belt.serve(), pytest.raises(DeviceError, match=r"UDP port 3956.*own address"):
        belt.serve()


@pytest.mark.parametrize(
    ("device", "camera", "said"),
    [
        ({"serial": "CG9"}, {}, r"no answer from CG9; there are: .*serial CG0, at 127.0.0.1"),
        ({"address": "127.0.0.77"}, {}, r"no answer from 127.0.0.77; there are: .*127.0.0.1"),
        ({"address": "127.0.0.1", "serial": "CG9"}, {}, r"at 127.0.0.1 is .*CG0.*, not CG9"),
        ({"address": "127.0.0.77", "serial": "CG0"}, {}, r"CG0 is at 127.0.0.1, and no camera at 127.0.0.77: write address"),
        ({}, {}, r"write serial = or address =; there are: .*CG0"),
        ({"serial": "CG0"}, {"width_px": 1280}, r"camera.0 \(top\): width_px = 1280, but the camera sends 256; .*Width = 1280"),
        ({"serial": "CG0"}, {"height_px": 512}, r"height_px = 512, but the camera sends 192"),
        ({"serial": "CG0"}, {"bayer": "BGGR"}, r"bayer = 'BGGR', but the camera sends 'RGGB'; .*PixelFormat = \"BayerBG8\""),
        ({"serial": "CG0", "trigger_source": "Line7"}, {}, r"trigger_source: the camera refuses .*'Line7'.*it offers Line1"),
        ({"serial": "CG0", "parameters": {"Gain": 3.0}}, {}, r"parameters: the camera has no Gain"),
        ({"serial": "CG0", "parameters": {"ExposureTime": 1.0}}, {}, r"refuses ExposureTime = 1.0"),
        ({"serial": "CG0", "trigger": "encoder"}, {}, r"camera.0 \(top\).device.trigger: 'encoder'"),
        ({"address": "127.0.0.256"}, {}, r"address: '127.0.0.256': must be an IPv4 address"),
        ({"serial": "CG0", "parameter_file": "camera.toml"}, {}, r"parameter_file: camera.toml must be an absolute path"),
        ({"serial": "CG0", "count_chunk": "FrameID"}, {}, r"count_chunk: the camera has no chunk FrameID"),
    ],
)
def test_what_cannot_work_says_what_to_do(tape: Path, device: dict[str, Any], camera: dict[str, Any], said: str) -> None:
    with Belt(tape).serve(), pytest.raises((DeviceError, DeviceGone), match=said):
        open_camera(line(device, **camera), 0)


def test_the_doctor_opens_each_camera_and_says_what_is_wrong(tape: Path) -> None:
    config = line({"serial": "CG0"}, {"serial": "CG9"}).model_copy(update={"plc": {"driver": "tape"}})
    with Belt(tape).serve():
        there, missing = (finding for finding in devices(config) if finding.what.startswith("camera"))
    assert (there.what, there.state) == ("camera 0 (top)", "ok")
    assert "serial CG0" in there.found
    assert missing.state == "fail"
    assert "no answer from CG9" in missing.found


def test_a_camera_that_another_program_holds_is_waited_for(tape: Path) -> None:
    belt = Belt(tape)
    config = line({"serial": "CG0"})
    with belt.serve():
        camera = open_camera(config, 0)
        with pytest.raises(DeviceGone, match="does another program hold the camera"):
            open_camera(config, 0)
        assert all(belt.is_whole(exposure) for exposure in grab(camera, 3))
        camera.close()
        again = open_camera(config, 0)
        grab(again, 1)
        again.close()


def test_a_strangers_camera_loses_packets_and_no_frame_is_torn(tmp_path: Path) -> None:
    """Aravis' own program: its picture is a ramp that moves on a step a frame."""
    settings = tmp_path / "camera.toml"
    settings.write_text("Width = 640\nHeight = 480\nAcquisitionFrameRate = 40.0\n", encoding="utf-8")
    device = {"address": "127.0.0.1", "trigger": "free", "parameter_file": str(settings)}
    try:
        fake = subprocess.Popen(
            ["arv-fake-gv-camera-0.8", "-i", "127.0.0.1", "-r", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        pytest.skip("arv-fake-gv-camera-0.8 of aravis-tools is not installed")
    with fake:
        camera = _patiently(line(device, bayer="mono", width_px=640, height_px=480))
        taken = grab(camera, 80)
        camera.close()
        fake.terminate()
    ramp = np.add.outer(np.arange(480), np.arange(640))
    for exposure in taken:
        np.testing.assert_array_equal((exposure.mosaic.astype(int) - exposure.mosaic[0, 0] - ramp) % 255, 0)
    assert taken[-1].count - taken[0].count + 1 > len(taken)


def _patiently(config: LineConfig) -> Camera:
    """Open a camera that has just been started."""
    for _ in range(10):
        try:
            return open_camera(config, 0)
        except DeviceGone:
            continue
    raise AssertionError


VIVA = {"address": "127.0.0.1", "serial": "VIVA-FAKE-001", "trigger": "free"}


def test_another_makers_camera_sends_lost_packets_again() -> None:
    lost = [(3, 2), (3, 3), (5, 1)]
    with FakeGigeCamera(width=640, height=480, fps=20, pixel_format="BayerRG8", drop_packets=lost) as fake:
        camera = open_camera(line(VIVA, width_px=640, height_px=480), 0)
        taken = grab(camera, 8)
        assert [exposure.count for exposure in taken] == list(range(1, 9))
        assert fake.controller() is not None
        camera.close()
        assert fake.controller() is None


def test_a_camera_that_cannot_send_again_leaves_a_gap() -> None:
    with FakeGigeCamera(width=640, height=480, fps=20, packet_resend=False, drop_packets=[(3, 2)]):
        camera = open_camera(line(VIVA, width_px=640, height_px=480, bayer="mono"), 0)
        counts = [exposure.count for exposure in grab(camera, 5)]
        camera.close()
    assert counts == [1, 2, 4, 5, 6]


def test_a_chunk_may_number_the_frames() -> None:
    with FakeGigeCamera(width=640, height=480, fps=20):
        camera = open_camera(line(VIVA | {"count_chunk": "FrameID"}, width_px=640, height_px=480, bayer="mono"), 0)
        counts = np.diff([exposure.count for exposure in grab(camera, 5)])
        camera.close()
    assert counts.tolist() == [1] * 4


def test_a_camera_that_is_taken_away_is_noticed() -> None:
    with FakeGigeCamera(width=640, height=480, fps=20) as fake:
        camera = open_camera(line(VIVA, width_px=640, height_px=480, bayer="mono"), 0)
        grab(camera, 1)
        fake.revoke_control()
        with pytest.raises(DeviceGone, match="another program controls it"):
            grab(camera, 200)
        camera.close()


def test_the_least_time_of_a_frame_is_its_exposure_and_the_pauses_between_its_packets() -> None:
    with FakeGigeCamera(width=640, height=480, fps=20):
        device = VIVA | {"parameters": {"ExposureTime": 7000.0}}
        camera = open_camera(line(device, width_px=640, height_px=480, bayer="mono"), 0)
        (exposure,) = grab(camera, 1)
        camera.close()
    assert exposure.transit_ns == 7_000_000
    section = load(EXAMPLE).camera[0]  # 1024 x 768 bytes
    assert pauses_ns(section, GigeOptions(packet_size=1500, packet_delay_us=50.0)) == 537 * 50_000
    assert pauses_ns(section, GigeOptions(packet_size=8976)) == 0


def test_the_newest_setting_counts_and_a_command_is_carried_out() -> None:
    parameters = {"ExposureTime": 7000.0, "UserSetSelector": "UserSet1", "UserSetSave": True, "GainAuto": "Off"}
    with FakeGigeCamera(width=640, height=480, fps=20) as fake:
        open_camera(line(VIVA | {"parameters": parameters}, width_px=640, height_px=480, bayer="mono"), 0).close()
        assert fake.saved_exposure(1) == 7000.0


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viva_genicam", None)
    with pytest.raises(DeviceError, match=r"viva_genicam.*pip install 'citrus-grade\[gige\]'"):
        open_camera(line({"serial": "CG0"}), 0)


SEEN = [Seen("10.0.0.1", "A", "Maker Model"), Seen("10.0.0.2", "B", "Maker Model"), Seen("10.0.0.3", "", "Maker Model")]


@pytest.mark.parametrize(
    ("device", "found"),
    [
        ({"serial": "B"}, 1),
        ({"address": "10.0.0.1"}, 0),
        ({"address": "10.0.0.2", "serial": "B"}, 1),
        ({"address": "10.0.0.3"}, 2),
    ],
)
def test_a_camera_is_known_by_number_or_address(device: dict[str, str], found: int) -> None:
    assert pick(SEEN, options_of(GigeOptions, device, "camera.0.device"), "camera.0.device") == SEEN[found]


def test_two_cameras_of_one_number_need_an_address() -> None:
    with pytest.raises(DeviceError, match="2 cameras say they are A"):
        pick([*SEEN, Seen("10.0.0.9", "A", "Copy")], GigeOptions(serial="A"), "camera.0.device")


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=30), st.integers(1, 65535))
def test_numbers_go_on_over_the_wrap(steps: list[int], start: int) -> None:
    """Ids 1 to 65535, then 1 again."""
    number = FrameNumber(wraps=True)
    true = np.cumsum([start, *steps])
    counts = [number(int((value - 1) % 65535 + 1)) for value in true]
    np.testing.assert_array_equal(counts, true)


def test_numbers_that_pass_zero_or_16_bit_go_on_too() -> None:
    through_zero, extended = FrameNumber(wraps=True), FrameNumber(wraps=True)
    assert [through_zero(value) for value in (65534, 65535, 0, 1, 2)] == [65534, 65535, 65536, 65537, 65538]
    assert [extended(value) for value in (65534, 65535, 65536, 65538)] == [65534, 65535, 65536, 65538]


@pytest.mark.parametrize(("wraps", "numbers"), [(True, (500, 1)), (True, (40, 1)), (False, (70_000, 3))])
def test_numbers_that_begin_anew_end_the_count(wraps: bool, numbers: tuple[int, int]) -> None:
    number = FrameNumber(wraps)
    number(numbers[0])
    with pytest.raises(DeviceGone, match=f"{numbers[0]}, then {numbers[1]}"):
        number(numbers[1])


@pytest.mark.parametrize("wraps", [True, False])
def test_numbers_that_begin_anew_after_a_few_frames_end_the_count_soon(wraps: bool) -> None:
    number = FrameNumber(wraps)
    assert number(9) == 9
    assert [number(1), number(2)] == [None, None]
    with pytest.raises(DeviceGone, match="9, then 3"):
        number(3)


@pytest.mark.parametrize("wraps", [True, False])
@pytest.mark.parametrize(
    ("numbers", "counts"),
    [
        ((7, 7, 8), (7, None, 8)),
        ((7, 9, 8, 10, 12, 10, 11, 13), (7, 9, None, 10, 12, None, None, 13)),
        ((65534, 65535, 65534, 65536), (65534, 65535, None, 65536)),
    ],
)
def test_a_frame_that_comes_twice_or_late_is_left_out(
    wraps: bool, numbers: tuple[int, ...], counts: tuple[int | None, ...]
) -> None:
    number = FrameNumber(wraps)
    assert tuple(number(value) for value in numbers) == counts
    assert number.late == counts.count(None)


def test_a_frame_that_was_overtaken_at_the_wrap_is_left_out() -> None:
    number = FrameNumber(wraps=True)
    assert [number(value) for value in (65534, 1, 65535, 2)] == [65534, 65536, None, 65537]


@pytest.mark.parametrize(("stamp", "ticks_per_s"), [(0, 10**6), (None, 10**6), (5_000_000, 0)])
def test_a_frame_without_a_stamp_is_dated_by_its_arrival(stamp: int | None, ticks_per_s: int) -> None:
    assert device_ns(stamp, ticks_per_s, 77) == 77
    assert device_ns(5_000_000, 10**6, 77) == 5 * 10**9


def test_a_question_without_an_answer_is_not_waited_for() -> None:
    watch = Watch(lambda: time.sleep(5) is None, 0.05)
    said = []
    for _ in range(20):
        said.append(watch.silent())
        time.sleep(0.01)
    assert said[0]
    assert not said[-1]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_parameter_file_or_an_error(data: bytes) -> None:
    genicam_options.fuzz(data)


@given(st.text("ab_=1.\"[]{}'\n# \tinfanue-+", max_size=60))
def test_anything_like_a_parameter_file_is_one_or_an_error(text: str) -> None:
    genicam_options.fuzz(text.encode())


def test_a_parameter_file_keeps_its_order_and_refuses_tables() -> None:
    parsed = genicam_options.parse_parameters(b'\xef\xbb\xbfB = 1\nA = 2.5\nC = "On"\nD = true\n')
    assert list(parsed.items()) == [("B", 1), ("A", 2.5), ("C", "On"), ("D", True)]
    for bad in (b"[A]\nB = 1", b"A = [1]", b"A = inf", b"A = 99999999999999999999", b'"A B" = 1', b"A = 1979-05-27", b"[" * 5000):
        with pytest.raises(ValueError, match=r".+"):
            genicam_options.parse_parameters(bad)
