"""How a live line fares: one plain state, written beside the run once a second, served to Prometheus, read by `status`."""

import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live.memory import BIN_0_US, STAGES, quantile_us
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.words import _

NAME = "status.json"
KEEP_S = 1.0


def state(supervisor: Supervisor) -> dict[str, Any]:
    """Return the state of a line as plain data: processes, counters, times in us, alarms."""
    board = supervisor.board
    belt = board.belt()
    return {
        "run": str(supervisor.run_dir),
        "supervisor_pid": os.getpid(),
        "at_utc_s": time.time(),
        "up_s": (time.monotonic_ns() - supervisor.start_ns) / 1e9,
        "cups_per_s": belt[2] / float(supervisor.config.encoder.ratio) if belt else 0.0,
        "origin": int(board.shared["origin"][0]),
        "decided_cup": int(board.shared["decided_cup"][0]),
        "committed_cup": int(board.shared["committed_cup"][0]),
        "processes": {role: _process(supervisor, role) for role in supervisor.roles},
        "alarms": [
            {"kind": alarm.kind, "where": alarm.where, "count": alarm.count, "tick": alarm.tick}
            for alarm in list(supervisor.alarms)[-50:]
        ],
    }


def _process(supervisor: Supervisor, role: str) -> dict[str, Any]:
    child, station = supervisor.children[role], supervisor.board.station(role)
    times = {stage: station.times(stage) for stage in STAGES}
    return {
        "pid": child.pid,
        "ready": station.is_ready,
        "silent_s": round(station.silent_s, 3),
        "restarts": child.restarts,
        "recovery_s": child.recovery_s,
        "counted": {name: n for name, n in station.counted().items() if n},
        "times_us": {
            stage: {
                "p50": quantile_us(found, 0.5),
                "p99": quantile_us(found, 0.99),
                "p999": quantile_us(found, 0.999),
                "n": int(found.sum()),
            }
            for stage, found in times.items()
            if found.any()
        },
    }


def keep(supervisor: Supervisor, *, at_end: bool = False) -> None:
    """Write the state beside the run, once a second; a full disk is no reason to stop."""
    now = time.monotonic()
    if not at_end and now - supervisor.kept_at < KEEP_S:
        return
    supervisor.kept_at = now
    text = json.dumps(state(supervisor) | {"running": not at_end})
    path = supervisor.run_dir / NAME
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)


def read(run_dir: Path) -> dict[str, Any]:
    """Return the last state of a run; ``running`` says whether its supervisor still lives.

    Raises
    ------
    FileNotFoundError : if the run is not of a live line.
    """
    found: dict[str, Any] = json.loads((run_dir / NAME).read_text(encoding="utf-8"))
    found["running"] = found["running"] and Path(f"/proc/{found['supervisor_pid']}").exists()
    return found


@contextmanager
def served(supervisor: Supervisor) -> Iterator[None]:
    """Serve the state to Prometheus at ``[live] metrics_port``, on this machine only; nothing without one.

    Raises
    ------
    DeviceError : if the port is taken.
    """
    port = supervisor.config.live.metrics_port
    if port is None:
        yield
        return
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(_Collector(supervisor))
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise DeviceError(
            _("live.metrics_port: {port} can't be opened: {error}; choose another port").format(port=port, error=error.strerror)
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(2.0)


class _Collector:
    """What Prometheus asks: the board read at that moment."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        supervisor = self._supervisor
        counted = CounterMetricFamily("citrus_grade_counted", "What each process counted.", labels=["process", "what"])
        restarts = CounterMetricFamily("citrus_grade_restarts", "Times a process was started again.", labels=["process"])
        silent = GaugeMetricFamily("citrus_grade_silent_seconds", "Since a process last moved.", labels=["process"])
        took = HistogramMetricFamily("citrus_grade_stage_seconds", "How long a stage took.", labels=["process", "stage"])
        for role in supervisor.roles:
            station = supervisor.board.station(role)
            for name, n in station.counted().items():
                counted.add_metric([role, name], n)
            restarts.add_metric([role], supervisor.children[role].restarts)
            silent.add_metric([role], station.silent_s)
            for stage in STAGES:
                if (found := station.times(stage)).any():
                    took.add_metric([role, stage], *_buckets(found.tolist()))
        decided = GaugeMetricFamily("citrus_grade_decided_cup", "The last cup decided.")
        decided.add_metric([], int(supervisor.board.shared["decided_cup"][0]))
        return [counted, restarts, silent, took, decided]


def _buckets(histogram: list[int]) -> tuple[list[tuple[str, float]], float]:
    """Return a histogram as Prometheus wants it, an octave a bucket: upper edges in s, counts up to there; and about the sum."""
    edges = [BIN_0_US * 2 ** ((k + 1) / 8) * 1e-6 for k in range(len(histogram))]
    total, buckets = 0, []
    for k, n in enumerate(histogram):
        total += n
        if k % 8 == 7:
            buckets.append((f"{edges[k]:.6g}", float(total)))
    buckets.append(("+Inf", float(total)))
    return buckets, math.fsum(edge * n for edge, n in zip(edges, histogram, strict=True))
