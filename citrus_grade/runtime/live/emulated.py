"""A line emulated on this machine: each device a process that speaks its real protocol, all by one belt.

`Emulation` renders a loop of fruit, starts the devices and writes a ``line.toml`` that names them; `citrus-grade run` then drives
it exactly as it would drive hardware. What is shown is SIMULATED.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from citrus_grade.config import load
from citrus_grade.drivers.emulate.camera import Server, loopback, serve_camera, taken
from citrus_grade.drivers.emulate.failing import SpectrometerPlan
from citrus_grade.drivers.emulate.obp import ObpSpectrometer
from citrus_grade.drivers.emulate.spectrometer import Served, serve_spectrometers
from citrus_grade.drivers.emulate.taped import of_tape
from citrus_grade.drivers.modbus.emulated import WATCHDOG_MS
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.drivers.sim.shutters import Shutters
from citrus_grade.ports import DeviceError
from citrus_grade.rundir import with_section
from citrus_grade.runtime.live.played import Devices, with_devices
from citrus_grade.words import _

LOOP_CUPS = 96
NAME, TAPE, FELL, SHUTTERS, MADE_OF = "emulated.toml", "tape", "fell.bin", "shutters.bin", "made_of.json"
INTEGRATION_US = 1000
PACKET_BYTES = 8976
"""Of a camera's: jumbo frames, as `docs/cameras.md` recommends them."""
SPARE_ADDRESSES = 4
"""How many addresses of this machine may belong to cameras of others."""
START_S = 60.0
"""An emulated device that has not said by then where it is does not start."""
KINDS = ("plc", "cameras", "spectrometers")
"""What can be emulated."""
Progress = Callable[[float, float], None]


class Emulation:
    """The emulated devices of a line, from `start` to `close`.

    Parameters
    ----------
    line_toml : of a simulated line. folder : where the loop, what fell and ``emulated.toml`` go.
    cups_per_s : of the belt, if not the line's. devices : which are emulated over their protocol ("plc", "spectrometers",
        "cameras"); the others play the same loop inside the line's own processes. faults : file of a `fault_plan.FaultPlan` that
        all of them obey, which may be written when the line runs. watchdog_ms : how long the PLC waits for a line that is silent.
    """

    def __init__(
        self,
        line_toml: Path,
        folder: Path,
        *,
        cups_per_s: float | None = None,
        devices: tuple[str, ...] = ("plc",),
        faults: Path | None = None,
        watchdog_ms: int = WATCHDOG_MS,
    ) -> None:
        self._faults, self._watchdog_ms = faults, watchdog_ms
        self.line_toml, self.folder, self._devices = line_toml, folder.resolve(), devices
        self.config = load(line_toml)
        self.cups_per_s = float(cups_per_s or self.config.line.cups_per_s)
        self.fell, self.tape, self.shutters = self.folder / FELL, self.folder / TAPE, self.folder / SHUTTERS
        self.served: dict[str, str] = {}
        """Where each emulated device is to be found."""
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._servers: dict[str, Server | Served] = {}

    def render(self, seed: int, progress: Progress | None = None, cups: int = LOOP_CUPS) -> None:
        """Render the loop, unless the folder holds the same one of the same line."""
        made_of = self.folder / MADE_OF
        line = self.line_toml.read_text(encoding="utf-8")
        wanted = json.dumps({"seed": seed, "cups": cups, "behind": tape.BEHIND_SCANS, "line": line})
        if (self.tape / "tape.json").exists() and made_of.exists() and made_of.read_text(encoding="utf-8") == wanted:
            return
        self.tape.mkdir(parents=True, exist_ok=True)
        options = SimOptions(seed=seed, season=int(self.config.source.get("season", 0)))
        tape.record(self.config, self.tape, options, cups, progress)
        made_of.write_text(wanted, encoding="utf-8")

    def start(self) -> Path:
        """Start the devices; return the ``line.toml`` that names them. Should one not start, none is left running.

        Raises
        ------
        DeviceError, OSError : if one can't be started.
        """
        try:
            return self._start()
        except (DeviceError, OSError):
            self.close()
            raise

    def _start(self) -> Path:
        self.fell.unlink(missing_ok=True)
        t0_ns = time.monotonic_ns()
        played = {"driver": "tape", "tape": str(self.tape.resolve()), "t0_ns": t0_ns, "cups_per_s": self.cups_per_s}
        lanes, cameras = self.config.line.lanes, len(self.config.camera)
        if self.config.spectrometer:
            Shutters.make(self.shutters, lanes)
            played["shutters"] = str(self.shutters)
        if self._faults:
            played["faults"] = str(self._faults)
        found = Devices(
            [dict(played) for _ in range(cameras)], [dict(played) for _ in range(lanes)], {**played, "fell": str(self.fell)}
        )
        clock = ["--t0-ns", str(t0_ns), "--cups-per-s", str(self.cups_per_s), "--loop-cups", str(tape.load(self.tape).cups)]
        if "plc" in self._devices:
            shutters = ["--shutters", str(self.shutters)] if self.config.spectrometer else []
            faults = ["--faults", str(self._faults)] if self._faults else []
            watchdog = ["--watchdog-ms", str(self._watchdog_ms)]
            url = self._serve("plc", str(self.line_toml), "--fell", str(self.fell), *watchdog, *shutters, *faults, *clock)
            found.plc = {"driver": "modbus", "url": url}
            self.served["plc"] = url
        if "cameras" in self._devices:
            found.cameras = [self._camera(index, address, t0_ns) for index, address in enumerate(self._addresses(cameras))]
        if "spectrometers" in self._devices and self.config.spectrometer:
            found.spectrometers = self._spectrometers(t0_ns)
        path = self.folder / NAME
        text = with_devices(self.line_toml, found, cups_per_s=self.cups_per_s, emulation=self.folder)
        path.write_text(self._beside(text), encoding="utf-8")
        return path

    def _beside(self, text: str) -> str:
        """Name the artefacts from where ``emulated.toml`` lies."""
        named = self.config.files.model_dump(exclude_none=True)
        here = {key: os.path.relpath(self.line_toml.parent / path, self.folder) for key, path in named.items()}
        return with_section(text, "files", here)

    @staticmethod
    def _addresses(cameras: int) -> tuple[str, ...]:
        found = tuple(address for address in loopback(cameras + SPARE_ADDRESSES) if not taken(address))[:cameras]
        if len(found) < cameras:
            raise DeviceError(
                _(
                    "{n} cameras need as many addresses of this machine; as root: ip addr add 127.0.0.2/8 dev lo, and so on"
                ).format(n=cameras)
            )
        return found

    def _camera(self, index: int, address: str, t0_ns: int) -> dict[str, Any]:
        bayer, serial = self.config.camera[index].bayer, f"EMULATED{index}"
        server = serve_camera(
            self.tape,
            index,
            bayer=bayer,
            t0_ns=t0_ns,
            cups_per_s=self.cups_per_s,
            address=address,
            serial=serial,
            faults=self._faults,
        )
        self._servers[f"camera {index}"] = server
        self.served[f"camera {index}"] = f"{address} ({serial})"
        return {"driver": "genicam", "address": address, "serial": serial, "packet_size": PACKET_BYTES}

    def _spectrometers(self, t0_ns: int) -> list[dict[str, Any]]:
        spectrometer = self.config.spectrometer
        assert spectrometer is not None
        first_nm, last_nm = spectrometer.wavelength_nm
        step_nm = (last_nm - first_nm) / (spectrometer.pixels - 1)
        serials = [f"EMULATED{lane}" for lane in range(self.config.line.lanes)]
        pairs = [
            (
                ObpSpectrometer(serial, wavelength=(first_nm, step_nm)),
                of_tape(self.tape, self.config, lane, t0_ns, self.cups_per_s, self.shutters),
            )
            for lane, serial in enumerate(serials)
        ]
        lanes = range(self.config.line.lanes) if self._faults else ()
        plans = [SpectrometerPlan(self._faults, lane, t0_ns, self.cups_per_s) for lane in lanes if self._faults]
        server = serve_spectrometers(pairs, plans=plans)
        self._servers["spectrometers"] = server
        self.served |= {f"spectrometer {lane}": url for lane, url in enumerate(server.urls)}
        own = {"driver": "oceanbinary", "integration_us": INTEGRATION_US, "spectrum": "buffered"}
        return [own | {"url": url, "serial": serial} for url, serial in zip(server.urls, serials, strict=True)]

    def _serve(self, name: str, *arguments: str) -> str:
        command = [sys.executable, "-m", f"citrus_grade.drivers.emulate.{name}", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._processes[name] = process
        assert process.stdout
        answers, _writable, _failed = select.select([process.stdout], [], [], START_S)
        said = process.stdout.readline().strip() if answers else ""
        if not said:
            raise DeviceError(_("the emulated {name} could not be started; its own words are above").format(name=name))
        return said

    @property
    def pids(self) -> dict[str, int]:
        """Numbers of the devices' processes, by name; all spectrometers share one."""
        return {name: serving.pid for name, serving in (self._processes | self._servers).items()}

    def close(self) -> None:
        """Stop every device; each ends when its standard input does."""
        for process in self._processes.values():
            assert process.stdin
            assert process.stdout
            process.stdin.close()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self._processes.clear()
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    def __enter__(self) -> "Emulation":
        return self

    def __exit__(self, *_error: Any) -> None:
        self.close()
