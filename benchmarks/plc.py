"""What a look at the PLC costs: poll and eject against an emulated PLC in another process, beside a bare write of one register.

``python -m benchmarks.plc [--looks N] [--fuzz BYTES] [--json]``. ``x_bare`` is the ratio to that bare write, through the same
library on the same wire; ``server_cpu_share`` what the emulated PLC takes of a core when it is looked at 100 times a second;
``fuzz`` how far mutated answers came, 0 not opened to 3 ejected.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from citrus_grade import templates
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.client import ModbusPlc, connect, open_plc
from citrus_grade.drivers.modbus.fuzz import OPTIONS, framed, fuzz_line, fuzz_many
from citrus_grade.drivers.modbus.wire import Wire
from citrus_grade.messages import Ejection

PACED_S = 10.0
LOOKS_PER_S = 100


@contextmanager
def _server() -> Iterator[tuple[str, int]]:
    """Serve the template's PLC; yield where, and as which process."""
    command = [sys.executable, "-m", "citrus_grade.drivers.modbus.server", str(templates.LINE), "--url", "tcp://127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1], server.pid
    finally:
        server.terminate()
        server.communicate()


def _percentiles(call: Callable[[], object], n: int) -> dict[str, float]:
    took = np.empty(n)
    for i in range(n):
        start = time.perf_counter()
        call()
        took[i] = time.perf_counter() - start
    return {"p50_ms": round(1e3 * float(np.median(took)), 3), "p99_ms": round(1e3 * float(np.percentile(took, 99)), 3)}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_share(plc: ModbusPlc, pid: int) -> float:
    """Look at a steady rate, as a line does, ejecting six fruit a pitch."""
    start, cpu = time.perf_counter(), _cpu_s(pid)
    for look in range(round(PACED_S * LOOKS_PER_S)):
        count = plc.poll().count
        if look % (LOOKS_PER_S // 12) == 0:
            plc.eject([Ejection(lane, look, 0, count + 30000) for lane in range(6)])
        time.sleep(max(start + (look + 1) / LOOKS_PER_S - time.perf_counter(), 0))
    return round((_cpu_s(pid) - cpu) / (time.perf_counter() - start), 3)


def _answers(url: str) -> bytes:
    """Return what a sound PLC answers to all that `fuzz` asks."""
    options = OPTIONS.model_copy(update={"url": url, "timeout_ms": 500.0})
    wire, got = Wire(options), list[bytes]()
    wire.client.transaction.trace_packet = lambda sending, data: data if sending else (got.append(data), data)[1]
    wire.connect()
    plc = connect(wire, options, fuzz_line())
    plc.poll()
    plc.eject([Ejection(0, 0, 0, 0)])
    plc.close()
    return framed(got)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", type=int, default=5000)
    parser.add_argument("--fuzz", type=int, default=100_000, help="mutated bytes to feed")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with _server() as (url, pid):
        plc = open_plc({"url": url}, fuzz_line())
        wire = Wire(OPTIONS.model_copy(update={"url": url}))
        wire.connect()
        bare = _percentiles(lambda: wire.write(m.LATENCY.address, [300]), given.looks)
        costs = {
            "poll": _percentiles(plc.poll, given.looks),
            "eject_6": _percentiles(lambda: plc.eject([Ejection(lane, 0, 0, 0) for lane in range(6)]), given.looks // 5),
        }
        share = _cpu_share(plc, pid)
        wire.close()
        plc.close()
        answers = _answers(url)
    start = time.perf_counter()
    reached = fuzz_many(answers, given.fuzz, seed=1)
    result = machine() | {
        "SIMULATED": True, "bare_write": bare, **costs,
        "x_bare": {name: round(cost["p50_ms"] / bare["p50_ms"], 1) for name, cost in costs.items()},
        "server_cpu_share": share, "fuzz": dict(sorted(reached.items())), "fuzz_s": round(time.perf_counter() - start, 1),
    }  # fmt: skip
    print(json.dumps(result) if given.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
