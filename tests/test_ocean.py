"""The driver of the Ocean Binary Protocol against an emulated spectrometer, over TCP and a serial line."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from citrus_grade import templates
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.emulate.obp import ObpDevice, ObpSpectrometer
from citrus_grade.drivers.emulate.spectra import Rows
from citrus_grade.drivers.emulate.spectrometer import Served, serve_spectrometer, serve_spectrometers
from citrus_grade.drivers.link import Link, transfer_ns
from citrus_grade.drivers.ocean.options import OceanOptions
from citrus_grade.drivers.ocean.spectrometer import OceanSpectrometer, connect, open_spectrometer
from citrus_grade.ports import DeviceError, DeviceGone, Spectrometer, Spectrum
from citrus_grade.runtime.live.devices import opener

PIXELS = 256
WAVELENGTH = (650.0, 360 / 255)
ROWS = np.random.default_rng(5).integers(0, 65535, (16, PIXELS), np.uint16)
MADE = ObpSpectrometer("EMU00001", wavelength=WAVELENGTH, nonlinearity=(0.5,))
Opened = Callable[..., OceanSpectrometer]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_spectrometer(MADE, Rows(ROWS, 200.0)) as one:
        yield one


def _config(*sections: dict[str, Any]) -> LineConfig:
    config = load(templates.LINE)
    assert config.spectrometer is not None
    usual = {"driver": "oceanbinary", "integration_us": 2000, "timeout_ms": 2000}
    devices = tuple(usual | section for section in sections)
    return config.model_copy(update={"spectrometer": config.spectrometer.model_copy(update={"device": devices})})


@pytest.fixture
def opened(served: Served) -> Iterator[Opened]:
    """Open the spectrometer with the options given; close it at the end."""
    ours: list[OceanSpectrometer] = []

    def open_one(**section: Any) -> OceanSpectrometer:
        device = open_spectrometer(_config({"url": served.url} | section), 0)
        assert isinstance(device, OceanSpectrometer)
        ours.append(device)
        return device

    yield open_one
    served.inject("slow", 0)
    for device in ours:
        device.close()


def _next(device: OceanSpectrometer, timeout_s: float = 5.0) -> Spectrum:
    spectrum = device.grab(timeout_s)
    assert spectrum is not None
    return spectrum


def _grab_on(device: Spectrometer, timeout_s: float) -> None:
    for _ in range(100):
        device.grab(timeout_s)


def _row_of(spectrum: Spectrum) -> int:
    found = np.flatnonzero((spectrum.counts == ROWS).all(axis=1))
    assert len(found) == 1
    return int(found[0])


@pytest.mark.parametrize("kind", ["corrected", "raw", "buffered"])
@pytest.mark.parametrize("trigger", ["hardware", "free"])
def test_counts_come_as_they_were_served(opened: Opened, kind: str, trigger: str) -> None:
    device = opened(spectrum=kind, trigger=trigger)
    assert device.identity == "EMULATED EMU00001"
    np.testing.assert_allclose(device.wavelength_nm, np.linspace(650, 1010, PIXELS), atol=1e-3)
    spectra = [_next(device) for _ in range(5)]
    numbers = [spectrum.count for spectrum in spectra]
    assert numbers == sorted(set(numbers))
    for spectrum in spectra:
        _row_of(spectrum)


def test_a_device_that_counts_says_how_many_triggers_were_missed(opened: Opened) -> None:
    spectra = [_next(opened(spectrum="buffered"))]
    device = opened(spectrum="buffered")
    spectra = [_next(device) for _ in range(8)]
    shift = _row_of(spectra[0]) - spectra[0].count
    for spectrum in spectra:
        assert (spectrum.count + shift - _row_of(spectrum)) % len(ROWS) == 0
    apart_ns = (spectra[-1].device_ns - spectra[0].device_ns) / (spectra[-1].count - spectra[0].count)
    assert apart_ns == pytest.approx(5e6, abs=1e3)


def test_the_entry_point_opens_it(served: Served) -> None:
    config = _config({"url": served.url})
    assert config.spectrometer is not None
    device = opener("citrus_grade.spectrometers", config.spectrometer.device[0], "spectrometer.device.0")(config, 0)
    assert device.grab(5.0).counts.dtype == np.uint16
    device.close()
    device.close()


def test_a_grab_waits_no_longer_than_it_may_and_misses_nothing(served: Served) -> None:
    with serve_spectrometer(MADE, Rows(ROWS, 2.0)) as slow:
        device = open_spectrometer(_config({"url": slow.url}), 0)
        got = [device.grab(0.02)]
        while sum(spectrum is not None for spectrum in got) < 3:
            got.append(device.grab(0.02))
            assert len(got) < 2000
        assert None in got
        device.close()


def test_counts_are_straightened_on_request(opened: Opened) -> None:
    straight = _next(opened(nonlinearity=True)).counts
    doubled = np.where(ROWS == 65535, 65535, np.minimum(2 * ROWS.astype(np.int64), 65535))
    assert (doubled == straight).all(axis=1).sum() == 1


@pytest.mark.parametrize("fault", ["bad_checksum", "garbage", "slow", "short"])
def test_a_fault_costs_its_own_spectrum_at_most(served: Served, opened: Opened, fault: Any) -> None:
    device = opened(timeout_ms=300, spectrum="buffered")
    _next(device)
    served.inject(fault, 3)
    for _ in range(8):
        _row_of(_next(device))
    assert device.dropped > 0 or fault == "slow"


def test_a_closed_connection_is_a_device_gone_and_can_be_opened_again(served: Served, opened: Opened) -> None:
    device = opened()
    served.inject("closed")
    with pytest.raises(DeviceGone, match="lane 0: the spectrometer at socket://"):
        _grab_on(device, 5.0)
    _row_of(_next(opened()))


def test_a_refused_spectrum_is_a_device_gone_that_says_so(served: Served, opened: Opened) -> None:
    device = opened()
    served.inject("refused")
    with pytest.raises(DeviceGone, match="refuses a spectrum: it is not ready"):
        _grab_on(device, 5.0)


@pytest.mark.parametrize("section", [{"trigger": "free"}, {"silent_s": 0.4}])
def test_a_silent_device_is_a_device_gone(served: Served, opened: Opened, section: dict[str, Any]) -> None:
    device = opened(timeout_ms=300, **section)
    served.inject("silent", 3)
    with pytest.raises(DeviceGone, match="no spectrum for"):
        _grab_on(device, 0.1)


def test_a_frozen_device_is_handed_on_as_it_is(served: Served, opened: Opened) -> None:
    device = opened()
    served.inject("frozen", 5)
    rows = [_row_of(_next(device)) for _ in range(8)]
    assert max(rows.count(row) for row in rows) >= 5


def test_lamp_and_temperature_while_spectra_come(opened: Opened) -> None:
    device = opened()
    for on in (True, False):
        device.lamp(on)
        assert device.temperature_c() == 25.0
        _row_of(_next(device))


class _InProcess:
    """A `link.Port` to a device in this process."""

    timeout: float | None = None

    def __init__(self, device: ObpDevice) -> None:
        self._device, self._out = device, b""

    def write(self, data: bytes) -> int:
        self._out += self._device.due(time.monotonic_ns())
        self._device.take(data, time.monotonic_ns())
        return len(data)

    def read(self, size: int) -> bytes:
        until = time.monotonic() + (self.timeout or 0.0)
        while len(self._out) < size and time.monotonic() < until:
            self._out += self._device.due(time.monotonic_ns())
        data, self._out = self._out[:size], self._out[size:]
        return data

    def close(self) -> None:
        pass


def test_a_spectrum_lost_while_the_lamp_is_switched_is_asked_for_again() -> None:
    emulated = MADE.device(Rows(ROWS, 200.0), time.monotonic_ns())
    options = OceanOptions(url="here", integration_us=2000, timeout_ms=2000)
    device = connect(Link(_InProcess(emulated), "the probe"), options, _config({"url": "here"}), 0)
    emulated.acquisition.faults = deque(["bad_checksum"])
    _next(device)
    time.sleep(0.02)  # until the next has come, and is broken
    device.lamp(True)
    assert emulated.lamp
    assert device.dropped >= 1  # where this test is not run for a while, scans find no room, too
    _row_of(_next(device))


def test_a_device_that_is_another_is_told_with_what_to_do(served: Served) -> None:
    wanted = {"url": served.url, "serial": "EMU00002"}
    with pytest.raises(DeviceError, match=r"is EMU00001, line\.toml wants EMU00002; correct serial"):
        open_spectrometer(_config(wanted), 0)
    with pytest.raises(DeviceError, match=r"lane 1: .* is EMU00001, which belongs to lane 0; EMU00002 belongs here: the lanes"):
        open_spectrometer(_config({"url": served.url, "serial": "EMU00001"}, wanted), 1)


def test_an_integration_time_it_does_not_have_is_told(served: Served) -> None:
    with pytest.raises(DeviceError, match="refuses an integration time of 5 us: the payload's value is invalid"):
        open_spectrometer(_config({"url": served.url, "integration_us": 5}), 0)
    with pytest.raises(DeviceError, match="refuses a binning factor of 3"):
        open_spectrometer(_config({"url": served.url, "binning": 3}), 0)


@pytest.mark.parametrize(
    ("made", "pixels", "said"),
    [
        (ObpSpectrometer("A", wavelength=WAVELENGTH), 128, "has 128 pixels, line.toml says 256; correct spectrometer.pixels"),
        (ObpSpectrometer("A", wavelength=(900.0, 3.0)), 256, r"sees 900.0 to 1665.0 nm, line.toml says 650.0 to 1010.0"),
        (ObpSpectrometer("A", wavelength=()), 256, "says that it has 0 coefficients"),
        (ObpSpectrometer("A", wavelength=(float("nan"),)), 256, "a number that is none"),
    ],
)
def test_a_device_that_does_not_fit_the_line_is_told(made: ObpSpectrometer, pixels: int, said: str) -> None:
    with serve_spectrometer(made, Rows(ROWS[:, :pixels])) as other, pytest.raises(DeviceError, match=said):
        open_spectrometer(_config({"url": other.url}), 0)


def test_a_device_without_checksums_is_taken_where_that_is_said() -> None:
    with serve_spectrometer(ObpSpectrometer("A", wavelength=WAVELENGTH, checksum=False), Rows(ROWS)) as bare:
        with pytest.raises(DeviceGone):
            open_spectrometer(_config({"url": bare.url, "timeout_ms": 300}), 0)
        device = open_spectrometer(_config({"url": bare.url, "checksum": False}), 0)
        assert device.grab(5.0) is not None
        device.close()


def test_it_speaks_over_a_serial_line_too() -> None:
    with serve_spectrometer(MADE, Rows(ROWS), over="pty") as line:
        for _ in range(2):
            device = open_spectrometer(_config({"url": line.url}), 0)
            assert device.grab(5.0) is not None
            device.close()


def test_the_least_time_of_a_spectrum_is_half_its_integration_and_its_bytes(opened: Opened) -> None:
    """64 bytes and 2 a pixel, 10 bits each; 183 ms of 1024 pixels."""
    assert _next(opened(integration_us=4000)).transit_ns == 2_000_000
    with serve_spectrometer(MADE, Rows(ROWS), over="pty") as line:
        device = open_spectrometer(_config({"url": line.url, "baud": 9600}), 0)
        spectrum = device.grab(5.0)
        device.close()
    assert spectrum is not None
    assert spectrum.transit_ns == pytest.approx(1e6 + (64 + 2 * PIXELS) * 10 / 9600 * 1e9)
    assert transfer_ns("/dev/ttyS0", 115200, 64 + 2 * 1024) == pytest.approx(183e6, rel=0.002)


def test_a_pty_whose_emulator_is_killed_is_a_device_gone() -> None:
    line = serve_spectrometer(MADE, Rows(ROWS), over="pty")
    device = open_spectrometer(_config({"url": line.url}), 0)
    os.kill(line.pid, signal.SIGKILL)
    with pytest.raises(DeviceGone):
        _grab_on(device, 0.1)
    device.close()
    line.close()


def test_an_emulated_spectrometer_ends_with_its_parent() -> None:
    code = (
        "import os, sys\nimport numpy as np\nfrom citrus_grade.drivers.emulate.obp import ObpSpectrometer\n"
        "from citrus_grade.drivers.emulate.spectra import Rows\n"
        "from citrus_grade.drivers.emulate.spectrometer import serve_spectrometer\n"
        "if __name__ == '__main__':\n"
        "    served = serve_spectrometer(ObpSpectrometer('A'), Rows(np.zeros((1, 8), np.uint16)))\n"
        "    print(served.pid, flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    pid = int(told.stdout)
    for _ in range(200):
        if not _runs(pid):
            return
        time.sleep(0.05)
    pytest.fail(f"{pid} still runs")


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123  # not a file of ours
            return file.read().rsplit(") ", 1)[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_process_serves_a_spectrometer_for_every_lane() -> None:
    pairs = [(ObpSpectrometer(f"EMU{lane}", wavelength=WAVELENGTH), Rows(ROWS[lane : lane + 1])) for lane in range(3)]
    with serve_spectrometers(pairs) as three:
        config = _config(*({"url": url, "serial": f"EMU{lane}", "timeout_ms": 300} for lane, url in enumerate(three.urls)))
        devices = [open_spectrometer(config, lane) for lane in range(3)]
        three.inject("closed", which=1)
        with pytest.raises(DeviceGone):
            _grab_on(devices[1], 1.0)
        for lane in (0, 2):
            spectrum = devices[lane].grab(5.0)
            assert spectrum is not None
            np.testing.assert_array_equal(spectrum.counts, ROWS[lane])
        for device in devices:
            device.close()


def test_a_port_that_is_taken_is_an_error(served: Served) -> None:
    with pytest.raises(OSError, match="in use"):
        serve_spectrometer(MADE, Rows(ROWS), port=int(served.url.rsplit(":", 1)[1]))
