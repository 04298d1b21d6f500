"""Drivers that do what no driver may, for the tests of the benchmark that finds them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.fuzz_targets import Open, Target
from citrus_grade.ports import DeviceGone


def _at(number: int, does: Callable[[], object]) -> Open:
    """Return a driver that is gone at every input but one."""

    @contextmanager
    def open_() -> Iterator[Target]:
        fed: list[int] = []

        def feed(_pieces: list[bytes], _silent: bool) -> None:
            fed.append(0)
            if len(fed) == number:
                does()
            raise DeviceGone("gone")

        yield Target(feed, [[b"sound"]], 0.1)

    return open_


TARGETS: dict[str, Callable[[], AbstractContextManager[Target]]] = {
    "gone": _at(0, lambda: None),
    "escapes": _at(3, lambda: {}["nothing"]),
    "hangs": _at(4, lambda: time.sleep(60.0)),
    "dies": _at(5, lambda: os._exit(3)),
}
