"""Other people's clients of the Ocean Binary Protocol read our emulated spectrometer: python-seabreeze, both its backends.

Each runs in a process of its own: one of them is C that waits without letting go of the interpreter.
"""

import importlib.util
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from citrus_grade.drivers.emulate.obp import ObpSpectrometer
from citrus_grade.drivers.emulate.spectra import Rows
from citrus_grade.drivers.emulate.spectrometer import serve_spectrometer
from citrus_grade.drivers.link import dial
from citrus_grade.drivers.ocean import features
from citrus_grade.drivers.ocean.talk import Talk

needs_seabreeze = pytest.mark.skipif(
    importlib.util.find_spec("seabreeze") is None or importlib.util.find_spec("usb") is None,
    reason='python-seabreeze is not installed: pip install "seabreeze[pyseabreeze]"',
)
READ = """
import json
device.open()
spectrometer = device.f.spectrometer
said = {"model": device.model, "serial": device.serial_number, "wavelength_nm": list(spectrometer.get_wavelengths())}
spectrometer.set_integration_time_micros(7000)
said["free"] = [list(spectrometer.get_intensities()) for _ in range(3)]
spectrometer.set_trigger_mode(1)
said["hardware"] = [list(spectrometer.get_intensities()) for _ in range(3)]
nonlinearity = getattr(device.f, "nonlinearity_coefficients", None)
said["nonlinearity"] = list(nonlinearity.get_nonlinearity_coefficients()) if nonlinearity else None
device.close()
print(json.dumps(said))
"""
OVER_TCP = """
from seabreeze.pyseabreeze.devices import SeaBreezeDevice
from seabreeze.pyseabreeze.transport import IPv4Transport, IPv4TransportHandle
IPv4Transport.register_model("HDX", ipv4_address="127.0.0.1", ipv4_port={port})
device = SeaBreezeDevice(IPv4TransportHandle("127.0.0.1", {port}))
"""
OVER_PTY = """
from seabreeze.cseabreeze import SeaBreezeAPI
api = SeaBreezeAPI()
api.add_rs232_device_location(b"STS", {url!r}.encode(), 115200)
[device] = [one for one in api.list_devices() if one.model == "STS"]
"""


def _read(code: str) -> dict[str, Any]:
    told = subprocess.run([sys.executable, "-c", code + READ], capture_output=True, check=False, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    said: dict[str, Any] = json.loads(told.stdout)
    return said


def _rows(pixels: int) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 16383, (8, pixels), np.uint16)


def _each_is_one_of(spectra: list[list[float]], rows: np.ndarray) -> None:
    for spectrum in spectra:
        assert (np.array(spectrum) == rows).all(axis=1).sum() == 1


@needs_seabreeze
def test_pyseabreeze_reads_it_over_tcp() -> None:
    rows = _rows(2068)
    made = ObpSpectrometer("HDX00042", wavelength=(650.0, 0.25, -1e-5, 1e-9), nonlinearity=(0.9, 1e-6))
    with serve_spectrometer(made, Rows(rows)) as served:
        said = _read(OVER_TCP.format(port=int(served.url.rsplit(":", 1)[1])))
        talk = Talk(dial(served.url, 115200, "ours"), 5.0, checksum=True)
        assert features.integration_us(talk) == 7000
        talk.close()
    assert (said["model"], said["serial"]) == ("HDX", "HDX00042")
    pixel = np.arange(2068.0)
    np.testing.assert_allclose(said["wavelength_nm"], 650 + 0.25 * pixel - 1e-5 * pixel**2 + 1e-9 * pixel**3, atol=1e-3)
    np.testing.assert_allclose(said["nonlinearity"], [0.9, 1e-6], rtol=1e-6)
    _each_is_one_of(said["free"] + said["hardware"], rows)


@needs_seabreeze
def test_the_makers_own_c_library_reads_it_over_a_serial_line() -> None:
    rows = _rows(1024)
    made = ObpSpectrometer("STS00042", wavelength=(640.0, 0.45, -2e-5, 1e-9))
    with serve_spectrometer(made, Rows(rows), over="pty") as served:
        said = _read(OVER_PTY.format(url=served.url))
    assert (said["model"], said["serial"]) == ("STS", "STS00042")
    pixel = np.arange(1024.0)
    np.testing.assert_allclose(said["wavelength_nm"], 640 + 0.45 * pixel - 2e-5 * pixel**2 + 1e-9 * pixel**3, atol=1e-3)
    _each_is_one_of(said["free"] + said["hardware"], rows)
