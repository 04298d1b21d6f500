"""Frames of the Ocean Binary Protocol, and the link they come over, each alone."""

import hashlib
import socket
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.drivers.link import dial
from citrus_grade.drivers.ocean import features
from citrus_grade.drivers.ocean.options import options_of
from citrus_grade.drivers.ocean.protocol import MOST_BYTES, START, Deframer, Message, frame
from citrus_grade.ports import DeviceError, DeviceGone

u32 = st.integers(0, 2**32 - 1)
u16 = st.integers(0, 2**16 - 1)
messages = st.builds(Message, u32, st.binary(max_size=300), u16, u16, u32)


def _fed(data: bytes, sizes: list[int], *, checked: bool = True) -> tuple[list[Message], int]:
    deframer, got, at = Deframer(checked=checked), [], 0
    for size in [*sizes, len(data)]:
        got += deframer.feed(data[at : at + size])
        at += size
    return got, deframer.broken


def test_a_question_is_laid_out_as_the_data_sheet_says() -> None:
    data = frame(Message(0x00110010, (10_000).to_bytes(4, "little"), 4, 0, 7))
    assert len(data) == 64
    assert data[:2] == bytes.fromhex("c1c0")
    assert data[2:4] == bytes.fromhex("0011")
    assert data[8:12] == bytes.fromhex("10001100")
    assert data[22:24] == bytes([1, 4])
    assert data[40:44] == bytes.fromhex("14000000")
    assert data[44:60] == hashlib.md5(data[:44]).digest()
    assert data[60:] == bytes.fromhex("c5c4c3c2")


@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 100), max_size=20), st.booleans())
def test_messages_are_found_however_the_bytes_come(sent: list[Message], sizes: list[int], checksum: bool) -> None:
    data = b"".join(frame(message, checksum=checksum) for message in sent)
    assert _fed(data, sizes, checked=checksum) == (sent, 0)


@given(messages, messages, st.binary(min_size=1, max_size=80))
def test_the_next_header_is_found_behind_garbage(first: Message, second: Message, garbage: bytes) -> None:
    garbage = garbage.replace(START, b"xx").rstrip(START[:1]) or b"x"
    got, broken = _fed(frame(first) + garbage + frame(second), [])
    assert got == [first, second]
    assert broken == 1


@given(messages, messages, st.data())
def test_a_changed_byte_costs_its_own_message_only(first: Message, second: Message, data: st.DataObject) -> None:
    bad = bytearray(frame(first))
    at = data.draw(st.integers(0, len(bad) - 1).filter(lambda i: not 40 <= i < 44))  # its length
    bad[at] ^= data.draw(st.integers(1, 255))
    got, broken = _fed(bytes(bad) + frame(second), [])
    assert got == [second]
    assert broken >= 1


def test_reserved_bytes_are_in_the_digest() -> None:
    bad = bytearray(frame(Message(1)))
    bad[17] = 1
    assert _fed(bytes(bad), []) == ([], 1)


def test_a_frame_without_a_checksum_is_dropped_where_one_is_due() -> None:
    data = frame(Message(1, b"abc"), checksum=False)
    assert _fed(data, [], checked=True) == ([], 1)
    assert _fed(data, [], checked=False) == ([Message(1, b"abc")], 0)


def test_a_length_that_cannot_be_is_garbage() -> None:
    data = bytearray(frame(Message(1, bytes(100))))
    data[40:44] = (MOST_BYTES + 1).to_bytes(4, "little")
    got, broken = _fed(bytes(data) + frame(Message(2)), [])
    assert got == [Message(2)]
    assert broken == 1


def test_what_hides_behind_half_a_frame_is_found_when_that_is_given_up() -> None:
    deframer = Deframer(checked=True)
    assert list(deframer.feed(frame(Message(1, bytes(100)))[:90] + frame(Message(2)))) == []
    assert deframer.begun
    assert list(deframer.give_up()) == [Message(2)]
    assert not deframer.begun


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=50))
def test_pixels_of_each_kind_of_spectrum(counts: list[int]) -> None:
    payload = np.array(counts, "<u2").tobytes()
    metadata, found = features.spectrum(features.CORRECTED_SPECTRUM, payload)
    assert metadata is None
    assert found.tolist() == counts
    wide = (7).to_bytes(4, "little") + (123456789).to_bytes(8, "little") + bytes(20) + np.array(counts, "<u4").tobytes()
    metadata, found = features.spectrum(features.BUFFERED_SPECTRUM, wide)
    assert metadata == (7, 123456789)
    assert found.tolist() == counts


def test_a_detector_of_more_than_16_bits_saturates_at_16() -> None:
    payload = bytes(32) + np.array([65535, 65536, 262143], "<u4").tobytes()
    assert features.spectrum(features.BUFFERED_SPECTRUM, payload)[1].tolist() == [65535, 65535, 65535]


def test_counts_are_made_linear_and_saturated_ones_left() -> None:
    counts = np.array([0, 1000, 40000, 65535], np.uint16)
    assert features.linearised(counts, np.array([1.0])).tolist() == counts.tolist()
    assert features.linearised(counts, np.array([0.5])).tolist() == [0, 2000, 65535, 65535]
    assert features.linearised(counts, np.array([1.0, -1e-6])).tolist() == [0, 1001, 41667, 65535]


def test_a_bad_section_names_each_key() -> None:
    with pytest.raises(DeviceError, match=r"spectrometer\.device\.2\.trigger: 'soft'") as raised:
        options_of({"url": "socket://x:1", "integration_us": 5000, "trigger": "soft", "urll": 1}, "spectrometer.device.2")
    assert "spectrometer.device.2.urll: unknown key; did you mean 'url'?" in str(raised.value)


def test_a_link_gives_back_what_a_loop_echoes_and_no_more() -> None:
    link = dial("loop://", 115200, "the loop")
    link.write(b"abcdef")
    assert link.read(4, 1.0) == b"abcd"
    assert link.read(4, 0.01) == b"ef"
    link.close()
    link.close()


@pytest.mark.parametrize("url", ["socket://127.0.0.1:1", "/dev/no such device", "nonsense://"])
def test_nothing_there_is_a_device_gone(url: str) -> None:
    with pytest.raises(DeviceGone, match="the probe does not answer"):
        dial(url, 115200, "the probe")


def _at_once(serve: Callable[[socket.socket], None]) -> str:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with listener, listener.accept()[0] as connection:
            serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    return f"socket://127.0.0.1:{listener.getsockname()[1]}"


def test_a_closed_socket_is_a_device_gone() -> None:
    link = dial(_at_once(lambda connection: connection.sendall(b"ab")), 115200, "the probe")
    with pytest.raises(DeviceGone, match="the probe does not answer"):
        link.read(3, 5.0)
    link.close()
