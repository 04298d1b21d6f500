"""How emulated devices obey a `drivers.sim.fault_plan`: what of it each can do over its wire, and when.

Not over the wire: frames that change places, spectra of another cup, an encoder that miscounts while the belt moves on, and a PLC
that answers while its program stands.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pymodbus.constants import ExcCodes

from citrus_grade.drivers.emulate.acquisition import Fault
from citrus_grade.drivers.modbus.server import PlcServer
from citrus_grade.drivers.sim.fault_plan import FaultPlan, PlanFile

OVER_CAMERA: Final = ("camera_stalls", "frame_twice", "frame_half", "frames_black", "frames_white", "colours_swapped")
OVER_SPECTROMETER: Final[Mapping[str, Fault]] = {
    "spectrometer_gone": "closed",
    "spectra_frozen": "frozen",
    "spectra_noise": "garbage",
    "spectrum_short": "short",
    "spectrum_bad_checksum": "bad_checksum",
}
OVER_PLC: Final = ("plc_gone", "plc_slow", "plc_refuses", "plc_restarts", "outlet_jams", "outlet_full")
LOOK_S: Final = 0.01


@dataclass
class SpectrometerPlan:
    """What befalls the spectra of one lane; it goes to another process, so it can be pickled."""

    path: Path
    lane: int
    t0_ns: int
    cups_per_s: float
    _file: PlanFile = field(init=False)

    def __post_init__(self) -> None:
        self._file = PlanFile(self.path)

    def __call__(self, t_ns: int) -> Fault | None:
        """Return what befalls the spectrum taken at ``t_ns`` of `time.monotonic_ns`."""
        cups = (t_ns - self.t0_ns) * self.cups_per_s / 1e9
        plan = self._file.now
        return next((fault for kind, fault in OVER_SPECTROMETER.items() if plan.at(kind, cups, self.lane)), None)


def camera_words(plan: FaultPlan, index: int) -> str:
    """Return what the server of a camera is told of a plan: a line a fault, its kind, and from which pitch until which."""
    mine = [f for f in plan.faults if f.kind in OVER_CAMERA and f.lane in (-1, index)]
    return "".join(f"{OVER_CAMERA.index(f.kind)} {f.from_cup:.3f} {f.until_cup:.3f}\n" for f in mine)


class PlcObeys:
    """Has a served PLC obey a plan, until `stop`."""

    def __init__(self, server: PlcServer, plan: PlanFile, where: Callable[[], float]) -> None:
        self._server, self._plan, self._where = server, plan, where
        self._blocked: set[tuple[str, int, int]] = set()
        self._gone, self._looked = False, where()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Begin and end what the plan says by now; a PLC that nobody can reach fires what it has queued all the same."""
        plan, cup, server = self._plan.now, self._where(), self._server
        slow = plan.at("plc_slow", cup)
        server.delay_s = slow.value / 1000 if slow else 0.0
        server.refuse = ExcCodes.DEVICE_BUSY if plan.at("plc_refuses", cup) else None
        if any(f.kind == "plc_restarts" and self._looked < f.from_cup <= cup for f in plan.faults):
            with server.lock:
                server.plc.restart(time.monotonic_ns())
        self._looked = cup
        self._block(plan, cup)
        gone = plan.at("plc_gone", cup) is not None
        if gone != self._gone:
            (server.stop if gone else server.start)()
            self._gone = gone
        if gone:
            server.advance()

    def _block(self, plan: FaultPlan, cup: float) -> None:
        """Jam, fill and clear outlets; what is full is full for all lanes."""
        holds = [f for f in plan.faults if f.kind in ("outlet_jams", "outlet_full") and f.from_cup <= cup < f.until_cup]
        now = {(f.kind, f.lane if f.kind == "outlet_jams" else 0, int(f.value)) for f in holds}
        with self._server.lock:
            for kind, lane, outlet in sorted(now ^ self._blocked):
                begins = (kind, lane, outlet) in now
                if kind == "outlet_jams":
                    self._server.plc.set_jammed(lane, outlet, begins)
                else:
                    self._server.plc.set_full(outlet, begins)
        self._blocked = now

    def stop(self) -> None:
        """Obey no more."""
        self._stop.set()
        self._thread.join()
