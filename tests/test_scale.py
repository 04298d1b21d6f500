"""Box scales: transcripts of what indicators send, over a real connection, cut anywhere."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.config import ConfigError
from citrus_grade.drivers.scale import SerialScale, open_scale
from citrus_grade.drivers.scale_formats import FORMATS
from citrus_grade.ports import DeviceError, DeviceGone


@contextmanager
def scale(**section: object) -> Iterator[tuple[SerialScale, socket.socket]]:
    """An open scale, and the indicator's end of its line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = open_scale({"url": f"socket://127.0.0.1:{listener.getsockname()[1]}"} | section)
        indicator, _address = listener.accept()
        with indicator:
            try:
                yield ours, indicator
            finally:
                ours.close()


def with_sum(frame: bytes) -> bytes:
    """Return a frame with the checksum that makes all its bytes sum to 0 in seven bits."""
    return frame + bytes([-sum(frame) & 0x7F])


TRANSCRIPTS = [
    ("st,gs", b"ST,GS,+  12.345kg\r\n", 12345.0, "stable"),
    ("st,gs", b"US,NT,-    0.20kg\r\n", -200.0, "moving"),
    ("st,gs", b"OL,GS,+ 99999.9 g\r\n", 99999.9, "overload"),
    ("st,gs", b"ST,NT,+00012.5\n", 12500.0, "stable"),
    ("xor", b"\x02+012345218\x03", 123450.0, "stable"),
    ("xor", b"\x02-000005119\x03", -500.0, "stable"),
    ("status", b"\x0240 001234000000\r", 12340.0, "stable"),
    ("status", b"\x0252 012345000000\r", -12345.0, "stable"),
    ("status", b"\x0228   1234000000\r", 1234000.0, "moving"),
    ("status", b"\x0234 099999000000\r", 9999900.0, "overload"),
    ("status", b"\x023  000010000000\r", 453.59237, "stable"),
    ("status,sum", with_sum(b"\x0240 001234000000\r"), 12340.0, "stable"),
]


@pytest.mark.parametrize(("name", "sent", "mass_g", "state"), TRANSCRIPTS)
def test_an_indicator_is_read(name: str, sent: bytes, mass_g: float, state: str) -> None:
    with scale(format=name) as (ours, indicator):
        indicator.sendall(b"noise" + sent)
        found = ours.read(10.0)
    assert found is not None
    assert (found.mass_g, found.state) == (pytest.approx(mass_g), state)


def test_a_reading_cut_in_two_is_read_when_it_is_whole() -> None:
    sent = b"ST,GS,+  12.345kg\r\n"
    with scale() as (ours, indicator):
        indicator.sendall(sent[:9])
        assert ours.read(0.05) is None
        indicator.sendall(sent[9:])
        found = ours.read(10.0)
    assert found is not None
    assert found.mass_g == 12345.0


def test_of_several_readings_the_newest_counts() -> None:
    with scale() as (ours, indicator):
        indicator.sendall(b"".join(b"ST,GS,+  %d.000kg\r\n" % kg for kg in range(5)))
        found = ours.read(10.0)
    assert found is not None
    assert found.mass_g == 4000.0


@pytest.mark.parametrize(
    ("name", "sent"), [("xor", b"\x02+012345219\x03"), ("status,sum", b"\x0240 001234000000\r\x00")], ids=["xor", "sum"]
)
def test_a_wrong_checksum_is_counted_and_not_believed(name: str, sent: bytes) -> None:
    with scale(format=name) as (ours, indicator):
        indicator.sendall(sent)
        assert ours.read(0.05) is None
    assert ours.garbled == 1


def test_another_format_is_told() -> None:
    with scale(format="xor") as (ours, indicator):
        indicator.sendall(b"ST,GS,+  12.345kg\r\n" * 40)
        with pytest.raises(DeviceError, match="no reading in format 'xor'"):
            ours.read(10.0)


def test_a_dead_line_is_gone() -> None:
    with scale() as (ours, indicator):
        indicator.close()
        with pytest.raises(DeviceGone):
            ours.read(10.0)
        ours.close()
        ours.close()
        with pytest.raises(DeviceGone):
            ours.read(0.0)


def test_a_scale_that_falls_silent_is_gone_and_closes_without_a_word() -> None:
    with scale(silent_s=0.1) as (ours, indicator):
        indicator.sendall(b"ST,GS,+  12.345kg\r\n")
        assert ours.read(10.0) is not None
        with pytest.raises(DeviceGone, match=r"the scale at socket://.* sends nothing for 0.1 s"):
            ours.read(10.0)


def test_a_scale_that_sends_when_its_key_is_pressed_may_be_silent() -> None:
    with scale(silent_s=0.0) as (ours, _indicator):
        ours._heard_s -= 1e6
        assert ours.read(0.05) is None


def test_a_network_that_vanishes_without_a_word_is_asked_after() -> None:
    with scale() as (ours, _indicator):
        own = ours._link._port._socket  # type: ignore[attr-defined]
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_a_scale_that_is_not_there_is_gone() -> None:
    with pytest.raises(DeviceGone):
        open_scale({"url": "socket://127.0.0.1:1"})
    with pytest.raises(DeviceGone):
        open_scale({"url": "/dev/no_such_device"})


def test_a_bad_section_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"format.*must be one of"):
        open_scale({"url": "loop://", "format": "roman"})


@given(st.data())
@pytest.mark.parametrize("name", FORMATS)
def test_any_change_of_a_reading_is_a_reading_or_none(name: str, data: st.DataObject) -> None:
    sent = data.draw(st.sampled_from([row[1] for row in TRANSCRIPTS if row[0] == name]))
    at = data.draw(st.integers(0, len(sent)))
    changed = sent[:at] + data.draw(st.binary(max_size=4)) + sent[at + data.draw(st.integers(0, 4)) :]
    for found in FORMATS[name].frame.finditer(changed):
        weight = FORMATS[name].read(found, "kg")
        assert weight is None or abs(weight.mass_g) < 1e15
