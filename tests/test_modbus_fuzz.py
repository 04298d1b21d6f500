"""A hostile or broken PLC ends the connection and does nothing else, whatever bytes it sends."""

import socket
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.drivers.modbus.client import connect, open_at
from citrus_grade.drivers.modbus.fuzz import OPTIONS, framed, fuzz, fuzz_line, fuzz_many
from citrus_grade.drivers.modbus.wire import Wire
from citrus_grade.messages import Ejection
from citrus_grade.ports import DeviceGone
from tests.modbus_line import emulated


@pytest.fixture(scope="module")
def answers() -> bytes:
    """All that a sound PLC answers to what `fuzz` asks."""
    got: list[bytes] = []
    with emulated(fuzz_line()) as line:
        options = OPTIONS.model_copy(update={"url": line.server.url, "timeout_ms": 500.0})
        wire = Wire(options)

        def keep(sending: bool, data: bytes) -> bytes:
            if not sending:
                got.append(data)
            return data

        wire.client.transaction.trace_packet = keep
        wire.connect()
        plc = connect(wire, options, fuzz_line())
        plc.poll()
        plc.eject([Ejection(0, 0, 0, 0)])
        plc.close()
    return framed(got)


def test_sound_answers_lead_to_the_end(answers: bytes) -> None:
    assert fuzz(answers) == 3


def test_answers_that_are_cut_off_never_do(answers: bytes) -> None:
    assert {fuzz(answers[:n]) for n in range(0, len(answers), 17)} == {0, 1, 2}
    assert fuzz(answers[:-1]) == 2


@given(st.lists(st.binary(max_size=300), max_size=9))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    assert fuzz(framed(pieces)) == 0


@given(st.data())
def test_any_change_of_sound_answers_is_survived(answers: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(answers)))
    cut, put = data.draw(st.integers(0, 8)), data.draw(st.binary(max_size=8))
    assert fuzz(answers[:at] + put + answers[at + cut :]) in (0, 1, 2, 3)


def test_many_mutations_reach_every_depth(answers: bytes) -> None:
    reached = fuzz_many(answers, 60_000, seed=1)
    assert set(reached) == {0, 1, 2, 3}


@pytest.mark.parametrize("noise", [b"\0" * 512, bytes(range(256)), b"\0\1\0\0\0\3\1\x83\6"])
def test_a_plc_that_never_stops_talking_does_not_hold_the_client(noise: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        talker = threading.Thread(target=_talk, args=(listener, noise))
        talker.start()
        with pytest.raises(DeviceGone):
            open_at({"url": f"tcp://127.0.0.1:{listener.getsockname()[1]}", "timeout_ms": 50}, fuzz_line())
        talker.join()


def _talk(listener: socket.socket, noise: bytes) -> None:
    with suppress(OSError), listener.accept()[0] as client:
        while True:
            client.sendall(noise)
