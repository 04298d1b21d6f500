"""The fork server of a live line: one process that has loaded everything, from which all others are forked.

Those are to be the supervisor's own children, for only a parent hears how a process ended: each is forked by a process between
that ends at once, and the supervisor, who adopts orphans, becomes its parent.
"""

import errno
import gc
import os
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from citrus_grade.config import LineConfig
from citrus_grade.ports import DeviceError
from citrus_grade.rundir import reopen
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.devices import CAMERAS, PLCS, SCALES, SPECTROMETERS, opener
from citrus_grade.runtime.live.work import FORK_SERVER, Spec
from citrus_grade.runtime.warming import warm

READY, FORK = b"ready", b"fork"
"""What the server tells when it has loaded everything, and what it is told with the end of a process that is wanted; it answers
with the number of that process, or, less than 0, with the number of the error for which there is none."""


def serve(server: Spec) -> Spec | None:
    """Load all that any process needs, then fork whoever is wanted. Returns in each of those: what it is to be, or None if nobody
    wants it any more; and None in the server when the line has ended."""
    line = reopen(Path(server.run_dir)).line()
    _load(line.config)
    warm(line)
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    spec: Spec | None = server
    while spec and spec.role == FORK_SERVER:  # what was forked may be a server too
        spec = _forking(spec)
    return spec


def _forking(server: Spec) -> Spec | None:
    """Fork until the line has ended; return in each process that is forked."""
    supervisor = wire.end_of(server.fds["parent"])
    supervisor.setblocking(True)
    wire.send(supervisor, READY)
    while True:
        data, fds, _, _ = socket.recv_fds(supervisor, len(FORK), 1)
        if not data:
            return None
        pid = _fork()
        if pid == 0:
            supervisor.close()
            return _told(server, fds[0])
        os.close(fds[0])
        wire.send(supervisor, str(pid).encode())


def _load(config: LineConfig) -> None:
    """Load the modules of all processes, and the drivers of this line's devices; one that can't be loaded is told of by its own
    process."""
    from citrus_grade.runtime.live import core, metrics, plc, record, sense, weigh  # noqa: F401

    spectrometers = config.spectrometer.device if config.spectrometer else []
    wanted = [(CAMERAS, camera.device) for camera in config.camera]
    wanted += [(SPECTROMETERS, device) for device in spectrometers]
    wanted += [(PLCS, config.plc), (SCALES, config.scale or {})]
    for group, options in wanted:
        with suppress(DeviceError, ImportError):
            opener(group, options, group)


def _fork() -> int:
    """Fork a process that is nobody's child here; return its number, 0 in it, or less than 0 the number of an error."""
    try:
        read, write = os.pipe()
    except OSError as error:
        return -(error.errno or errno.EAGAIN)
    try:
        between = os.fork()
    except OSError as error:
        os.close(read)
        os.close(write)
        return -(error.errno or errno.EAGAIN)
    if between:
        os.close(write)
        said = os.read(read, 32)
        os.close(read)
        os.waitpid(between, 0)  # from then on the supervisor is the parent
        return int(said or -errno.EAGAIN)
    try:
        pid = os.fork()
    except OSError as error:
        pid = -(error.errno or errno.EAGAIN)
    if pid:
        os.write(write, str(pid).encode())
        os._exit(0)
    os.close(read)
    os.close(write)
    os.setsid()
    return 0


def _told(server: Spec, fd: int) -> Spec | None:
    """Wait to be told what to be; let go of everything that is for others."""
    supervisor = wire.end_of(fd)
    supervisor.setblocking(True)
    text = supervisor.recv(wire.PART_BYTES)
    supervisor.detach()
    if not text:
        return None
    spec = Spec.of_json(text.decode())
    for other in {*server.fds.values()} - {*spec.fds.values(), server.fds["parent"]}:
        os.close(other)
    return replace(spec, fds=spec.fds | {"parent": fd})
