"""A GigE Vision camera that sees a simulated belt: the frames of a `tape`, one a pitch, over the network.

`camera.c` serves them, through Aravis' fake camera, in a process of its own; it is compiled when it is first needed.
"""

import hashlib
import json
import os
import select
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from citrus_grade.drivers.emulate.failing import camera_words
from citrus_grade.drivers.pfnc import CODE, PIXEL_FORMAT
from citrus_grade.drivers.sim.fault_plan import PlanFile
from citrus_grade.ports import DeviceError
from citrus_grade.words import _

SOURCE = Path(__file__).with_name("camera.c")
FEATURES = SOURCE.with_suffix(".xml")
PACKAGES = "gcc libc6-dev pkg-config libaravis-dev libusb-1.0-0-dev"
"""Of Debian, which the compiler needs."""
READY_S, END_S = 10.0, 2.0
PLAN_S = 0.05
GVCP_PORT = 3956
"""Where every GigE Vision camera listens (GigE Vision 2.0, part 2: GVCP)."""


@dataclass(frozen=True, slots=True)
class Server:
    """A camera that is being served; it ends with `close`, or with whoever started it."""

    process: subprocess.Popen[bytes]
    address: str
    serial: str

    @property
    def pid(self) -> int:
        """The process that serves it."""
        return self.process.pid

    def close(self) -> None:
        """End it; a second call does nothing."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def serve_camera(
    tape: Path,
    index: int,
    *,
    bayer: str,
    t0_ns: int,
    cups_per_s: float,
    address: str = "127.0.0.1",
    serial: str = "CG0",
    lost_per_thousand: float = 0.0,
    faults: Path | None = None,
) -> Server:
    """Serve what camera ``index`` of a tape sees, as `TapeCamera` shows it, at UDP port 3956 of ``address``.

    Triggered by its Line1 it sends one frame a pitch, stamped with the host's `time.monotonic_ns` at the pitch; of the packets
    ``lost_per_thousand`` are not sent. ``bayer`` as in line.toml; ``t0_ns`` and ``cups_per_s`` as in `TapeOptions`. Several
    cameras need addresses of their own: `loopback`. ``faults`` is a file of a `fault_plan.FaultPlan`, which may be written later.

    Raises
    ------
    DeviceError : if the program cannot be made, or nobody can listen at that address.
    """
    _nobody_listens(address)
    frames = np.load(tape / f"frames{index}.npy", mmap_mode="r")
    cups, height, width = frames.shape[:3]
    where = (tape / f"frames{index}.npy", frames.offset, cups, width, height, CODE[PIXEL_FORMAT[bayer]], t0_ns, cups_per_s)
    told = (address, serial, FEATURES, *where, lost_per_thousand / 1000)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [program(), *map(str, told)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, bufsize=0
        )
        assert process.stdout is not None
        ready = select.select([process.stdout], [], [], READY_S)[0] and process.stdout.readline() == b"ready\n"
        server = Server(process, address, serial)
        if not ready:
            server.close()
            said.seek(0)
            raise DeviceError(
                _("emulated camera at {address}: {error}").format(
                    address=address, error=said.read().decode(errors="replace").strip()
                )
            )
    if faults:
        threading.Thread(target=_tell, args=(process, PlanFile(faults), index), daemon=True).start()
    return server


def _tell(process: subprocess.Popen[bytes], plan: PlanFile, index: int) -> None:
    """Tell a camera's server of a plan, once there is one."""
    while process.poll() is None:
        if plan.now.faults:
            assert process.stdin is not None
            with suppress(OSError, ValueError):  # it was closed meanwhile
                process.stdin.write(camera_words(plan.now, index).encode())
            return
        time.sleep(PLAN_S)


def _nobody_listens(address: str) -> None:
    """Aravis shares the port with another camera at the same address, and then neither works."""
    if error := taken(address):
        raise DeviceError(
            _("emulated camera at {address}, UDP port {port}: {error}; give each camera its own address").format(
                address=address, port=GVCP_PORT, error=error
            )
        )


def taken(address: str) -> str:
    """Say why no camera can be served at an address, "" where one can."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, GVCP_PORT))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def program() -> Path:
    """Return the compiled server; compile it if this state of it is not in the cache yet.

    Raises
    ------
    DeviceError : if it cannot be compiled, naming the packages that are needed.
    """
    flags = _output("pkg-config", "--cflags", "--libs", "aravis-0.8").split()
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join(flags).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "citrus_grade"
    made = cache / f"emulated-camera-{key}"
    if not made.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            making = Path(folder) / made.name
            _output("gcc", "-O2", "-o", str(making), str(SOURCE), *flags)
            making.replace(made)
    return made


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        error = _("{program} is not installed").format(program=command[0])
    except subprocess.CalledProcessError as failed:
        error = failed.stderr.strip()
    raise DeviceError(
        _("the emulated camera cannot be compiled: {error}; apt-get install {packages}").format(error=error, packages=PACKAGES)
    )


def loopback(n: int) -> tuple[str, ...]:
    """Return ``n`` addresses of this machine's own, 127.0.0.1 and on; fewer where missing ones cannot be made (only root can)."""
    wanted = [f"127.0.0.{number}" for number in range(1, n + 1)]
    for address in wanted[1:]:
        if address not in _own_addresses():
            _ip("addr", "add", f"{address}/8", "dev", "lo")
    there = _own_addresses()
    return (wanted[0], *(address for address in wanted[1:] if address in there))


def _own_addresses() -> set[str]:
    links = json.loads(_ip("-json", "addr", "show", "dev", "lo") or "[]")
    return {str(address["local"]) for link in links for address in link.get("addr_info", [])}


def _ip(*words: str) -> str:
    try:
        return subprocess.run(["ip", *words], check=False, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""
