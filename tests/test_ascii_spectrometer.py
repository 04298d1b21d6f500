"""The driver of text against an emulated spectrometer on a serial line."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from citrus_grade import templates
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.ascii_spectrometer import AsciiSpectrometer, body_of, line_of, look, open_spectrometer
from citrus_grade.drivers.emulate import ascii as emulated
from citrus_grade.drivers.emulate.spectra import Rows
from citrus_grade.drivers.emulate.spectrometer import Served, serve_spectrometer
from citrus_grade.ports import DeviceError, DeviceGone, Spectrometer

PIXELS = 256
ROWS = np.random.default_rng(6).integers(0, 65535, (8, PIXELS), np.uint16)


class Darkening:
    """Spectra of ever smaller numbers, whose texts are ever shorter."""

    def __init__(self) -> None:
        self._rows = Rows(ROWS[:1])
        self._numbers: list[int] = []

    def next_trigger(self, t_ns: int) -> tuple[int, int]:
        return self._rows.next_trigger(t_ns)

    def counts(self, number: int) -> NDArray[np.uint16]:
        self._numbers.append(number)
        darker: NDArray[np.uint16] = self._rows.counts(number) >> min((number - self._numbers[0]) // 4, 15)
        return darker


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_spectrometer(emulated.AsciiSpectrometer("T-7", PIXELS), Rows(ROWS, 100.0)) as one:
        yield one


def _config(**section: Any) -> LineConfig:
    config = load(templates.LINE)
    assert config.spectrometer is not None
    device = {"driver": "ascii", "integration_us": 2000, "timeout_ms": 2000} | section
    return config.model_copy(update={"spectrometer": config.spectrometer.model_copy(update={"device": (device,)})})


def _open(**section: Any) -> AsciiSpectrometer:
    device = open_spectrometer(_config(**section), 0)
    assert isinstance(device, AsciiSpectrometer)
    return device


def _is_a_row(device: Spectrometer) -> None:
    spectrum = device.grab(5.0)
    assert spectrum is not None
    assert (spectrum.counts == ROWS).all(axis=1).sum() == 1


def _grab_on(device: Spectrometer, timeout_s: float) -> None:
    for _ in range(100):
        device.grab(timeout_s)


def test_a_line_carries_the_check_value_of_its_crc() -> None:
    assert line_of("123456789") == b"123456789*29B1\n"  # CRC-16/CCITT-FALSE, catalogue of parametrised CRC algorithms
    assert body_of(b"123456789*29B1") == "123456789"
    assert body_of(b"123456788*29B1") is None
    assert body_of(b"") is None


@pytest.mark.parametrize("trigger", ["hardware", "free"])
def test_counts_come_as_they_were_served(served: Served, trigger: str) -> None:
    device = _open(url=served.url, serial="T-7", trigger=trigger)
    assert device.identity == "EMULATED T-7"
    np.testing.assert_allclose(device.wavelength_nm, np.linspace(650, 1010, PIXELS))
    for _ in range(4):
        _is_a_row(device)
    device.lamp(True)
    _is_a_row(device)
    device.close()


def test_a_look_says_who_is_there(served: Served) -> None:
    found = look(_config(url=served.url), 0)
    assert found.identity == f"EMULATED T-7, {served.url}"
    assert 'write serial = "T-7"' in found.cautions[0]
    assert look(_config(url=served.url, serial="T-7"), 0).cautions == ()
    with pytest.raises(DeviceError, match=r"is T-7, line\.toml wants T-8; correct serial"):
        look(_config(url=served.url, serial="T-8"), 0)


def test_it_speaks_over_a_serial_line() -> None:
    with serve_spectrometer(emulated.AsciiSpectrometer("T-7", PIXELS), Rows(ROWS), over="pty") as line:
        device = _open(url=line.url)
        _is_a_row(device)
        device.close()


@pytest.mark.parametrize(("over", "ns_a_byte"), [("tcp", 0.0), ("pty", 10e9 / 9600)])
def test_the_least_time_of_a_scan_is_half_its_integration_and_its_shortest_text(over: Any, ns_a_byte: float) -> None:
    with serve_spectrometer(emulated.AsciiSpectrometer("T-7", PIXELS), Darkening(), over=over) as line:
        device = _open(url=line.url, baud=9600)
        taken = [device.grab(5.0) for _ in range(12)]
        device.close()
    n_bytes = [len(",".join(map(str, spectrum.counts.tolist()))) for spectrum in taken if spectrum]
    assert len(n_bytes) == 12
    shortest = np.minimum.accumulate(n_bytes)
    assert len(set(shortest)) > 1
    assert [spectrum.transit_ns for spectrum in taken if spectrum] == pytest.approx(1e6 + shortest * ns_a_byte)


@pytest.mark.parametrize("fault", ["bad_checksum", "garbage", "short", "slow"])
def test_a_fault_costs_its_own_scan_at_most(served: Served, fault: Any) -> None:
    device = _open(url=served.url)
    served.inject(fault, 3)
    for _ in range(6):
        _is_a_row(device)
    device.close()


@pytest.mark.parametrize(
    ("fault", "said"), [("closed", "does not answer"), ("refused", "refuses a scan: not ready"), ("silent", "no spectrum for")]
)
def test_what_cannot_go_on_is_a_device_gone(served: Served, fault: Any, said: str) -> None:
    device = _open(url=served.url, trigger="free", timeout_ms=500)
    served.inject(fault, 3)
    with pytest.raises(DeviceGone, match=said):
        _grab_on(device, 0.1)
    served.inject("slow", 0)
    device.close()


@pytest.mark.parametrize(
    ("made", "section", "said"),
    [
        (emulated.AsciiSpectrometer("T-7", PIXELS), {"serial": "T-8"}, "is T-7, line.toml wants T-8"),
        (emulated.AsciiSpectrometer("T-7", 128), {}, "has 128 pixels, 650 to 1010 nm, line.toml says 256 pixels"),
        (emulated.AsciiSpectrometer("T-7", PIXELS, last_nm=float("nan")), {}, "650 to nan nm"),
        (emulated.AsciiSpectrometer("T,7", PIXELS), {}, "ID,model,serial,pixels,first nm,last nm is due"),
        (emulated.AsciiSpectrometer("T-7", PIXELS), {"integration_us": 0}, "must be at least 1"),
    ],
)
def test_a_device_or_section_that_does_not_fit_is_told(
    made: emulated.AsciiSpectrometer, section: dict[str, Any], said: str
) -> None:
    with serve_spectrometer(made, Rows(ROWS)) as other, pytest.raises(DeviceError, match=said):
        _open(url=other.url, **section)
