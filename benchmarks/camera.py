"""A camera of the network: ``python -m benchmarks.camera --json [--seconds N]``.

Emulated cameras of 1024 x 768 on this machine's loopback, opened by the driver of real ones. What is sent is noise, SIMULATED;
the times are real, from the moment a camera begins to send a frame (its stamp, on this machine's clock) to the frame in the
program's hands. The processor's time is that of the receiving process alone.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.emulate.camera import Server, loopback, serve_camera
from citrus_grade.drivers.genicam import open_camera
from citrus_grade.ports import Camera, DeviceGone, Exposure

EXAMPLE = Path(__file__).parents[1] / "examples" / "line.toml"
CUPS, HEIGHT, WIDTH = 12, 768, 1024
CUPS_PER_S = 12.0
RATES_HZ = (12.0, 25.0, 50.0, 100.0)
TIMES = 5


def _line(device: dict[str, Any], n: int = 1) -> LineConfig:
    config = load(EXAMPLE)
    cameras = tuple(
        config.camera[0].model_copy(update={"device": {"driver": "genicam", "serial": f"CG{k}"} | device}) for k in range(n)
    )
    return config.model_copy(update={"camera": cameras})


def _serve(tape: Path, address: str = "127.0.0.1", serial: str = "CG0") -> Server:
    now_ns = time.monotonic_ns()
    return serve_camera(tape, 0, bayer="RGGB", t0_ns=now_ns, cups_per_s=CUPS_PER_S, address=address, serial=serial)


def received(camera: Camera, seconds: float) -> dict[str, Any]:
    """Grab for so long; return rate, loss, share of a core, and ms from a frame's stamp to its arrival."""
    late_ms, counts = [], []
    cpu_s, began_s = _cpu_s(), time.monotonic()
    while (spent_s := time.monotonic() - began_s) < seconds:
        exposure = camera.grab(0.1)
        if exposure is not None:
            late_ms.append((exposure.t_ns - exposure.device_ns) / 1e6)
            counts.append(exposure.count)
    used = _cpu_s() - cpu_s
    p50, p99 = np.percentile(late_ms, (50, 99))
    return {
        "n": len(counts), "fps": round(len(counts) / spent_s, 2), "lost": counts[-1] - counts[0] + 1 - len(counts),
        "core_pct": round(100 * used / spent_s, 1), "ms_p50": round(p50, 2), "ms_p99": round(p99, 2),
    }  # fmt: skip


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def at_rates(tape: Path, seconds: float, packet_size: int) -> dict[str, Any]:
    """A free-running camera at each rate: it stamps a frame when it begins to send it."""
    found = {}
    for rate_hz in RATES_HZ:
        device = {"trigger": "free", "packet_size": packet_size, "parameters": {"AcquisitionFrameRate": rate_hz}}
        with _serve(tape):
            camera = open_camera(_line(device), 0)
            found[f"{rate_hz:g}"] = received(camera, seconds)
            camera.close()
    return found


def five_cameras(tape: Path, seconds: float) -> dict[str, Any]:
    """Five triggered cameras in one process, in turn: a frame waits for those before it, so no times are told."""
    addresses = loopback(5)
    with ExitStack() as stack:
        for number, address in enumerate(addresses):
            stack.enter_context(_serve(tape, address, f"CG{number}"))
        cameras = [open_camera(_line({"packet_size": 9000}, len(addresses)), k) for k in range(len(addresses))]
        counts: list[list[int]] = [[] for _ in cameras]
        cpu_s, began_s = _cpu_s(), time.monotonic()
        while (spent_s := time.monotonic() - began_s) < seconds:
            for camera, seen in zip(cameras, counts, strict=True):
                exposure = camera.grab(0.1)
                if exposure is not None:
                    seen.append(exposure.count)
        used = _cpu_s() - cpu_s
        for camera in cameras:
            camera.close()
    return {
        "cameras": len(cameras), "fps": round(sum(map(len, counts)) / spent_s, 1),
        "lost": sum(seen[-1] - seen[0] + 1 - len(seen) for seen in counts), "core_pct": round(100 * used / spent_s, 1),
    }  # fmt: skip


def killed(tape: Path) -> dict[str, Any]:
    """Kill the camera and start it again; return the longest time of `TIMES` until that was noticed, and until frames came."""
    noticed, back = [], []
    for _ in range(TIMES):
        server = _serve(tape)
        camera = open_camera(_line({}), 0)
        _first(lambda camera=camera: camera.grab(0.1))
        server.process.kill()
        began_s = time.monotonic()
        try:
            while True:
                camera.grab(0.1)
        except DeviceGone:
            noticed.append(time.monotonic() - began_s)
        server.close()
        camera.close()
        with _serve(tape):
            began_s = time.monotonic()
            again = open_camera(_line({}), 0)
            _first(lambda camera=again: camera.grab(0.1))
            back.append(time.monotonic() - began_s)
            again.close()
    return {"times": TIMES, "noticed_s": round(max(noticed), 2), "back_s": round(max(back), 2)}


def _first(grab: Callable[[], Exposure | None]) -> None:
    while grab() is None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        tape = Path(parent)
        np.save(tape / "frames0.npy", np.random.default_rng(1).integers(0, 256, (CUPS, HEIGHT, WIDTH), np.uint8))
        found = {
            "rates_1400": at_rates(tape, arguments.seconds, 1400),
            "rates_9000": at_rates(tape, arguments.seconds, 9000),
            "five": five_cameras(tape, arguments.seconds),
            "killed": killed(tape),
            "machine": machine(),
        }
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
