"""Processes of a live line as the supervisor has them: started, and one spare that may become any that dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.observer import Observer
from citrus_grade.runtime.live.work import SPARE, Spec

AFTER_S = 2.0
"""After a spare was needed the next is made ready, when the line has found its pace again."""
HEALTHY_S = 60.0
"""A process that lived so long is well; its next death is its first."""
Started = tuple[subprocess.Popen[bytes], socket.socket]
"""A process, and our end of what it tells."""


def launch(spec: Spec) -> Started:
    """Start the process that a `Spec` names, handed its ends.

    Raises
    ------
    OSError : if the machine gives none.
    """
    own, theirs = wire.pair()
    spec = replace(spec, fds=spec.fds | {"parent": theirs.fileno()})
    command = [sys.executable, "-m", "citrus_grade.runtime.live.worker", spec.to_json()]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    handed = sorted(set(spec.fds.values()))
    with theirs:
        try:
            return subprocess.Popen(command, pass_fds=handed, env=environment, start_new_session=True), own
        except OSError:
            own.close()
            raise


def ended_by(code: int) -> dict[str, int | str]:
    """Return how a process ended: its exit code, or the signal that killed it."""
    return {"exit_code": code} if code >= 0 else {"signal": signal.Signals(-code).name}


class Spares:
    """Keeps one process ready that has loaded everything: loading takes longer than a line may go without one.

    Parameters
    ----------
    spec : of a spare, which is handed the ends of all others, for it may become any of them.
    """

    def __init__(self, spec: Spec, observer: Observer) -> None:
        self._spec, self._observer = spec, observer
        self._there: Started | None = None
        self._next_at = self._begun_at = float("inf")
        self._lost_in_a_row = 0
        self.ready = False
        """Whether one stands ready for the next that dies."""

    def make(self) -> None:
        """Begin to make one; what goes wrong is told, and tried again by `watch`."""
        self._next_at, self._begun_at = float("inf"), time.monotonic()
        try:
            self._there = launch(self._spec)
        except OSError as error:
            self._lost(error=error.strerror)

    def watch(self) -> None:
        """Look whether it is ready or has died, and make the next when it is time."""
        if self._there is None:
            if time.monotonic() > self._next_at:
                self.make()
            return
        process, parent = self._there
        self.ready |= any(wire.receive(parent))
        code = process.poll()
        if code is not None:
            parent.close()
            self._there, self.ready = None, False
            self._lost(**ended_by(code))

    def become(self, spec: Spec) -> Started | None:
        """Have the spare become what a `Spec` names, and return it; None if there is none, or it is not ready."""
        there = self._there
        if there is None or not self.ready or there[0].poll() is not None or not wire.send(there[1], spec.to_json().encode()):
            return None
        self._there, self.ready, self._lost_in_a_row = None, False, 0
        self._next_at = time.monotonic() + AFTER_S
        return there

    def end(self) -> None:
        """Leave no spare behind."""
        if self._there is not None:
            process, parent = self._there
            process.kill()
            process.wait()
            parent.close()
            self._there, self.ready = None, False

    def _lost(self, **why: Any) -> None:
        """Tell that there is no spare; make the next ever later where one dies, or can't be made, again and again."""
        now = time.monotonic()
        self._lost_in_a_row = 1 if now > self._begun_at + HEALTHY_S else self._lost_in_a_row + 1
        self._next_at = now + min(AFTER_S * 2 ** (self._lost_in_a_row - 1), HEALTHY_S)
        self._observer.alarm("process_died", SPARE)
        self._observer.event("process_died", SPARE, "warning", **why, restarts=self._lost_in_a_row)
