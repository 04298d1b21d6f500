"""Drivers against transcripts: what they send, to the byte; and against anything at all: what they never do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.drivers import ascii_spectrometer
from citrus_grade.drivers.emulate.fuzz import (
    ASCII,
    OCEAN,
    OCEAN_BUFFERED,
    TARGETS,
    fuzz_ascii,
    fuzz_line,
    fuzz_many,
    fuzz_ocean,
    fuzz_ocean_buffered,
)
from citrus_grade.drivers.emulate.transcript import ReplayPort, Said, answers, load
from citrus_grade.drivers.link import Link
from citrus_grade.drivers.ocean import spectrometer as ocean
from citrus_grade.ports import DeviceError, Spectrum

TRANSCRIPTS = Path(__file__).with_name("transcripts")


def _port(name: str) -> ReplayPort:
    return ReplayPort(load(TRANSCRIPTS / f"{name}.txt"))


def _sound(spectrum: Spectrum | None) -> Spectrum:
    assert spectrum is not None
    return spectrum


def test_a_spectrometer_is_opened_and_read_as_written() -> None:
    port = _port("ocean_corrected")
    device = ocean.connect(Link(port, "the probe"), OCEAN, fuzz_line(), 0)
    assert device.identity == "EMULATED EMU00001"
    np.testing.assert_allclose(device.wavelength_nm, np.linspace(650, 1010, 16))
    first, second = (_sound(device.grab(0.01)) for _ in range(2))
    assert (first.count, second.count) == (2, 3)  # the first of all was that of opening
    assert first.counts[:4].tolist() == [0x4BC5, 0x68FD, 0x200E, 0x6578]
    device.lamp(True)
    assert device.temperature_c() == 25.0
    assert device.grab(0.01) is None
    device.close()
    port.finish()


def test_a_spectrum_with_metadata_has_the_devices_number_and_clock() -> None:
    port = _port("ocean_buffered")
    device = ocean.connect(Link(port, "the probe"), OCEAN_BUFFERED, fuzz_line(), 0)
    first, second = (_sound(device.grab(0.01)) for _ in range(2))
    assert second.count - first.count == 1
    assert second.device_ns - first.device_ns == 20_000_000
    raw = np.array([47516, 6823, 11403])  # the pixels in the transcript; its nonlinearity is 1 + 1e-6 counts
    np.testing.assert_array_equal(first.counts[:3], np.rint(raw / (1 + 1e-6 * raw)))
    port.finish()


def test_what_is_refused_is_said() -> None:
    port = _port("ocean_refused")
    with pytest.raises(DeviceError, match="the probe refuses an integration time of 2000 us: the payload's value is invalid"):
        ocean.connect(Link(port, "the probe"), OCEAN, fuzz_line(), 0)
    port.finish()


def test_a_spectrometer_of_text_is_opened_and_read_as_written() -> None:
    port = _port("ascii")
    device = ascii_spectrometer.connect(Link(port, "the probe"), ASCII, fuzz_line())
    first, second = (_sound(device.grab(0.01)) for _ in range(2))
    assert (first.count, second.count) == (0, 1)
    assert second.device_ns - first.device_ns == 20_000_000
    assert first.counts[:3].tolist() == [19397, 26877, 8206]
    device.lamp(True)
    port.finish()


def test_a_transcript_fails_where_another_byte_is_sent_or_a_line_is_left() -> None:
    said = [Said(">", b"ab", 1), Said("<", b"c", 2), Said(">", b"d", 3)]
    with pytest.raises(AssertionError, match="line 1: sent 61 63, expected 61 62"):
        ReplayPort(said).write(b"ac")
    port = ReplayPort(said)
    port.write(b"a")
    assert port.read(1) == b""
    port.write(b"b")
    with pytest.raises(AssertionError, match="line 3 and what follows was not used"):
        port.finish()
    port.write(b"d")
    with pytest.raises(AssertionError, match="not read: 63"):
        port.finish()
    assert port.read(5) == b"c"
    port.finish()
    with pytest.raises(AssertionError, match="sent after the transcript's end: 65"):
        port.write(b"e")


@pytest.mark.parametrize(("text", "why"), [("> 0g", "line 1: non-hex"), ("\n? 00", "line 2: begins with '?'")])
def test_a_file_that_is_no_transcript_says_where(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"t\.txt, {why.split('(')[0]}".replace("?", r"\?")):
        load(tmp_path / "t.txt")


@pytest.mark.parametrize("fuzz", [fuzz_ocean, fuzz_ocean_buffered, fuzz_ascii])
@given(data=st.binary(max_size=400))
def test_no_bytes_do_more_than_end_its_use(fuzz: Callable[[bytes], int], data: bytes) -> None:
    assert fuzz(data) == 0  # nothing random opens


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_changed_transcript_does_more_than_end_its_use(name: str) -> None:
    said = answers(load(TRANSCRIPTS / f"{name}.txt"))
    assert TARGETS[name].fuzz(b"".join(said)) >= 3  # unchanged, it opens and two spectra come
    reached = fuzz_many(TARGETS[name], said, 2000, seed=11)
    assert reached[0] > 0
    assert reached[1] + reached[2] > 0
