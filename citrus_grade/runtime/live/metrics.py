"""How a live line fares, for Prometheus: a process of its own, so that whoever asks, and however, no fruit waits for it.

What processes write is read off the board at the moment it is asked; what only the supervisor knows (lanes, alarms, restarts) it
writes beside the run once a second, and how old that is is told too.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from citrus_grade import __version__
from citrus_grade.alarms import severity
from citrus_grade.messages import Reason
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live import health
from citrus_grade.runtime.live.board import BIN_0_US, STAGES
from citrus_grade.runtime.live.observer import SHED
from citrus_grade.runtime.live.work import PLC, Work
from citrus_grade.words import _

STATES = ("on", "degraded", "off")
LOOK_S = 0.2


def serve(work: Work) -> None:
    """Serve the state to Prometheus at ``[live] metrics_port``, on this machine only, until the line stops.

    Raises
    ------
    DeviceError : if the port is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    port = work.config.live.metrics_port
    assert port is not None
    registry = CollectorRegistry()
    registry.register(_Collector(work))
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise DeviceError(
            _("live.metrics_port: {port} can't be opened: {error}; choose another port").format(port=port, error=error.strerror)
        ) from error
    work.station.ready()
    while work.going():
        time.sleep(LOOK_S)
    server.shutdown()
    server.server_close()
    thread.join(2.0)


class _Collector:
    """What Prometheus asks."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def collect(self) -> Iterable[Any]:
        yield from _processes(self._work)
        yield from _line(self._work)
        try:
            state = health.read(self._work.run_dir)
        except FileNotFoundError:  # the line has only just begun
            return
        yield from _told(state)
        yield from _lanes(state["lanes"])
        yield from _rings(state["rings"])


def _processes(work: Work) -> list[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    counted = CounterMetricFamily("citrus_grade_counted", "What each process counted.", labels=["process", "what"])
    shed = CounterMetricFamily("citrus_grade_shed", "What was lost, refused or late, by reason.", labels=["process", "reason"])
    works = GaugeMetricFamily("citrus_grade_process_ready", "1 of a process that works.", labels=["process"])
    silent = GaugeMetricFamily("citrus_grade_silent_seconds", "Since a process last moved.", labels=["process"])
    gone = GaugeMetricFamily("citrus_grade_devices_gone", "Devices that do not answer.", labels=["process"])
    queued = GaugeMetricFamily("citrus_grade_queue_bytes", "Log records that wait for the recorder.", labels=["process"])
    took = HistogramMetricFamily("citrus_grade_stage_seconds", "How long a stage took.", labels=["process", "stage"])
    for role in work.board.roles:
        station = work.board.station(role)
        for name, n in station.counted().items():
            (shed if name in SHED else counted).add_metric([role, name], n)
        works.add_metric([role], float(station.is_ready))
        silent.add_metric([role], station.silent_s)
        gone.add_metric([role], station.levels()["devices_gone"])
        queued.add_metric([role], station.levels()["queue_bytes"])
        for stage in STAGES:
            if stage != "margin" and (found := station.times(stage)).any():
                took.add_metric([role, stage], *_buckets(found.tolist()))
    return [counted, shed, works, silent, gone, queued, took]


def _line(work: Work) -> list[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    shared, belt = work.board.shared, work.board.belt()
    decided = GaugeMetricFamily("citrus_grade_decided_cup", "The last cup decided.", value=int(shared["decided_cup"][0]))
    committed = GaugeMetricFamily("citrus_grade_committed_cup", "The last cup on disk.", value=int(shared["committed_cup"][0]))
    ticks_per_s = belt[2] if belt else 0.0
    speed = GaugeMetricFamily(
        "citrus_grade_belt_cups_per_second", "Speed of the belt.", value=ticks_per_s / float(work.config.encoder.ratio)
    )
    decisions = CounterMetricFamily("citrus_grade_decisions", "Decisions safe on disk, by reason.", labels=["reason"])
    for reason in Reason:
        decisions.add_metric([reason.name.lower()], int(shared["reasons"][0, reason]))
    margin = HistogramMetricFamily(
        "citrus_grade_deadline_margin_seconds",
        "How long before the last moment an ejection was in the PLC's queue.",
        labels=[],
    )
    margin.add_metric([], *_buckets(work.board.station(PLC).times("margin").tolist()))
    build = GaugeMetricFamily("citrus_grade_build_info", "The program.", labels=["version"])
    build.add_metric([__version__], 1)
    return [decided, committed, speed, decisions, margin, build]


def _told(state: dict[str, Any]) -> list[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    age = GaugeMetricFamily(
        "citrus_grade_state_age_seconds",
        "Since the supervisor last told its own.",
        value=max(time.time() - state["at_utc_s"], 0.0),
    )
    restarts = CounterMetricFamily("citrus_grade_restarts", "Times a process was started again.", labels=["process"])
    for role, process in state["processes"].items():
        restarts.add_metric([role], process["restarts"])
    active = GaugeMetricFamily("citrus_grade_alarms_active", "Alarms that stand.", labels=["kind", "severity"])
    for (kind, weight), n in Counter((one["kind"], one["severity"]) for one in state["alarms"]).items():
        active.add_metric([kind, weight], n)
    alarms = CounterMetricFamily("citrus_grade_alarms", "How often each kind of alarm was told.", labels=["kind", "severity"])
    for kind, n in state["alarms_told"].items():
        alarms.add_metric([kind, severity(kind)], n)
    lost = CounterMetricFamily("citrus_grade_events_lost", "Events that found no room or no disk.", value=state["events_lost"])
    return [age, restarts, active, alarms, lost]


def _lanes(lanes: list[dict[str, Any]]) -> list[Any]:
    from prometheus_client.core import GaugeMetricFamily

    state = GaugeMetricFamily("citrus_grade_lane_state", "1 of the state a lane is in.", labels=["lane", "state"])
    trouble = GaugeMetricFamily("citrus_grade_lane_trouble", "Why a lane is not quite on.", labels=["lane", "kind", "place"])
    for lane in lanes:
        for name in STATES:
            state.add_metric([str(lane["lane"]), name], float(lane["state"] == name))
        for one in lane["troubles"]:
            trouble.add_metric([str(lane["lane"]), one["kind"], one["where"]], 1)
    return [state, trouble]


def _rings(rings: list[dict[str, int]]) -> list[Any]:
    from prometheus_client.core import GaugeMetricFamily

    lag = GaugeMetricFamily("citrus_grade_ring_lag_frames", "Frames that wait for the core.", labels=["camera"])
    most = GaugeMetricFamily("citrus_grade_ring_lag_most_frames", "The most that have ever waited.", labels=["camera"])
    size = GaugeMetricFamily("citrus_grade_ring_frames", "Frames a ring holds.", labels=["camera"])
    for ring in rings:
        for family, name in ((lag, "lag"), (most, "lag_most"), (size, "frames")):
            family.add_metric([str(ring["camera"])], ring[name])
    return [lag, most, size]


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
