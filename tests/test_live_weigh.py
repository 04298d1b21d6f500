"""The process beside a box scale, alone: weights that come to rest, and a scale that falls silent."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from citrus_grade.runtime.live.weigh import watch_scale
from citrus_grade.runtime.live.work import SCALE
from tests.test_live_sense import WAIT_S, Alone

AT_REST = b"ST,NT,+  12.345kg\r\n"


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def _sends(indicator: socket.socket) -> bool:
    """Send a reading, as an indicator does many times a second; what comes before the line is open is lost."""
    indicator.sendall(AT_REST)
    return True


def test_a_scale_that_falls_silent_is_gone_until_it_sends_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_S)
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        section = f'\n[scale]\ndriver = "serial"\nurl = "{url}"\nsilent_s = 0.3\n'
        alone = Alone(tmp_path, SCALE, lambda text: text + section)
        alone.look(5.0, 12.0)
        thread = threading.Thread(target=watch_scale, args=(alone.work,), daemon=True)
        thread.start()
        indicator, _address = listener.accept()
        with indicator:
            _until(lambda: _sends(indicator) and alone.counted("weights") == 1)
            assert alone.board.shared["mass_g"][0] == 12345.0
            assert not alone.station.is_gone(0)
            _until(lambda: alone.station.is_gone(0))
            again, _address = listener.accept()
        with again:
            _until(lambda: "it sends nothing for 0.3 s" in alone.said())
            assert alone.station.is_gone(0)  # an open line is no scale that answers
            _until(lambda: _sends(again) and alone.counted("weights") == 2)
            assert not alone.station.is_gone(0)
            alone.board.shared["stop"] = 1
            thread.join(WAIT_S)
        alone.own.detach()  # the process has closed it
        alone.close()
