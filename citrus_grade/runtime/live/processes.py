"""Processes of a live line as the supervisor has them: forked from one that has loaded everything, or started from nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.forks import FORK, READY
from citrus_grade.runtime.live.observer import Observer
from citrus_grade.runtime.live.prctl import adopt_orphans
from citrus_grade.runtime.live.work import FORK_SERVER, Spec

SERVERS = 2
"""The second is there for the case that the first dies."""
AFTER_S = 2.0
"""When there is no fork server any more the next is made, after the line has found its pace again."""
WELL_S = 20.0
"""A fork server that lived so long is well."""
HEALTHY_S = 60.0
"""A process that lived so long is well; its next death is its first."""
ANSWER_S = 1.0
"""A fork server that forks nothing within this time stands still, and is killed."""


class Process(Protocol):
    """A process of the line: what a `subprocess.Popen` is."""

    pid: int

    def poll(self) -> int | None:
        """Return its exit code, or less than 0 the signal that killed it; None while it runs."""
        ...

    def wait(self) -> int:
        """Wait until it has ended; return what `poll` then does."""
        ...

    def kill(self) -> None:
        """Kill it, if it still runs."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it still runs."""
        ...


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
"""The line's processes share two cores; and only what is one thread may be forked: what others have locked would stay so."""
Started = tuple[Process, socket.socket]
"""A process, and our end of what it tells."""


class Forked:
    """A process that the fork server has forked and this one adopted; see `Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        code = self._reap(0)
        assert code is not None
        return code

    def _reap(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


def launch(spec: Spec) -> Started:
    """Start the process that a `Spec` names from nothing, handed its ends.

    Raises
    ------
    OSError : if the machine gives none.
    """
    own, theirs = wire.pair()
    spec = replace(spec, fds=spec.fds | {"parent": theirs.fileno()})
    command = [sys.executable, "-m", "citrus_grade.runtime.live.worker", spec.to_json()]
    handed = sorted(set(spec.fds.values()))
    with theirs:
        try:
            return subprocess.Popen(command, pass_fds=handed, env=os.environ | ONE_THREAD, start_new_session=True), own
        except OSError:
            own.close()
            raise


def ended_by(code: int) -> dict[str, int | str]:
    """Return how a process ended: its exit code, or the signal that killed it."""
    return {"exit_code": code} if code >= 0 else {"signal": signal.Signals(-code).name}


@dataclass(slots=True)
class Server:
    """A fork server: the process, our end of what it tells, and whether it has loaded everything."""

    process: Process
    parent: socket.socket
    ready: bool = False
    begun_at: float = field(default_factory=lambda: time.monotonic())


class ForkServers:
    """The processes that all others of a line are forked from, as the supervisor has them.

    Such a one has loaded everything, which takes longer than a line may go without one of its processes; a fork takes
    milliseconds, and what was loaded is in memory once for all. There are two, the second forked from the first, and whichever is
    left when one dies is forked again. While there is none processes are started from nothing.

    Parameters
    ----------
    spec : of a server, which is handed the ends of all others.
    """

    def __init__(self, spec: Spec, observer: Observer) -> None:
        self._spec, self._observer = spec, observer
        self._servers: list[Server] = []
        self._again_at = float("inf")
        self._lost_in_a_row = 0

    @property
    def processes(self) -> list[Process]:
        """Those that can fork."""
        return [server.process for server in self._servers if server.ready]

    def begin(self, go_on: Callable[[], bool]) -> None:
        """Make the first, and wait until it is ready, or lost, or ``go_on``, which is asked ever again, says no.

        Where this process can't adopt what is forked there is none. What goes wrong is told, and tried again by `watch`.
        """
        if adopt_orphans(adopt=True):
            self._launch()
            while self._servers and not self.processes and go_on():
                self.watch()

    def watch(self) -> None:
        """Look who is ready and who has died, and make the next when it is time."""
        for server in list(self._servers):
            server.ready |= READY in wire.receive(server.parent)
            if (code := server.process.poll()) is not None:
                server.parent.close()
                self._servers.remove(server)
                self._lost(time.monotonic() - server.begun_at, **ended_by(code))
        if len(self._servers) < SERVERS and time.monotonic() >= self._again_at:
            self._launch() if not self._servers else self._double()

    def _launch(self) -> None:
        self._again_at = time.monotonic()
        try:
            self._servers = [Server(*launch(self._spec))]
        except OSError as error:
            self._lost(0.0, error=error.strerror)

    def _double(self) -> None:
        try:
            forked = self.fork(self._spec)
        except OSError as error:
            self._lost(0.0, error=error.strerror)
        else:
            self._servers += [Server(*forked)] if forked else []

    def fork(self, spec: Spec) -> Started | None:
        """Return a new process that is what a `Spec` names; None if there is none to fork it from.

        Raises
        ------
        OSError : if the machine gives none.
        """
        for server in self._servers:
            if server.ready and (started := _forked(server, spec)):
                return started
        return None

    def end(self) -> None:
        """Leave none behind."""
        for server in self._servers:
            server.process.kill()
            server.process.wait()
            server.parent.close()
        self._servers, self._again_at = [], float("inf")
        adopt_orphans(adopt=False)  # those that were forked stay ours

    def _lost(self, lived_s: float, **why: Any) -> None:
        """Tell that one is lost, or can't be made; make the next at once if another stands in for it and this one had lived long,
        and ever later where one dies again and again."""
        self._lost_in_a_row = 0 if lived_s > WELL_S else self._lost_in_a_row + 1
        pause_s = min(AFTER_S * 2 ** (self._lost_in_a_row - 1), HEALTHY_S)
        self._again_at = time.monotonic() + (0.0 if self._servers and not self._lost_in_a_row else pause_s)
        self._observer.alarm("process_died", FORK_SERVER)
        self._observer.event("process_died", FORK_SERVER, "warning", **why, in_a_row=self._lost_in_a_row)


def _forked(server: Server, spec: Spec) -> Started | None:
    """Have a server fork a process; None of one that does not answer: it is killed."""
    own, theirs = wire.pair()
    with theirs:
        said = _asked(server.parent, theirs)
    if said is not None and said > 0 and wire.send(own, spec.to_json().encode()):
        return Forked(said), own
    own.close()  # should it fork after all, that process finds nobody, and ends
    if said is not None and said <= 0:
        raise OSError(-said, os.strerror(-said))
    server.ready = False
    server.process.kill()
    return None


def _asked(parent: socket.socket, theirs: socket.socket) -> int | None:
    """Ask the fork server for a process at the other end of ``theirs``; return its number, or less than 0 why there is none;
    None of a server that does not answer."""
    try:
        socket.send_fds(parent, [FORK], [theirs.fileno()])
    except OSError:
        return None
    if wire.wait(parent, ANSWER_S):
        for data in wire.receive(parent, 1):
            return int(data)
    return None
