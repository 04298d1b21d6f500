"""How a live line fares, for Prometheus: the board as it is at the moment it is asked."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from citrus_grade import __version__
from citrus_grade.alarms import severity
from citrus_grade.messages import Reason
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live.memory import BIN_0_US, STAGES
from citrus_grade.runtime.live.observer import SHED
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.live.work import PLC, camera_role
from citrus_grade.words import _

STATES = ("on", "degraded", "off")


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
    """What Prometheus asks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterable[Any]:
        yield from _processes(self._supervisor)
        yield from _line(self._supervisor)
        yield from _lanes(self._supervisor)
        yield from _rings(self._supervisor)


def _processes(supervisor: Supervisor) -> list[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    counted = CounterMetricFamily("citrus_grade_counted", "What each process counted.", labels=["process", "what"])
    shed = CounterMetricFamily("citrus_grade_shed", "What was lost, refused or late, by reason.", labels=["process", "reason"])
    restarts = CounterMetricFamily("citrus_grade_restarts", "Times a process was started again.", labels=["process"])
    works = GaugeMetricFamily("citrus_grade_process_ready", "1 of a process that works.", labels=["process"])
    silent = GaugeMetricFamily("citrus_grade_silent_seconds", "Since a process last moved.", labels=["process"])
    gone = GaugeMetricFamily("citrus_grade_devices_gone", "Devices that do not answer.", labels=["process"])
    queued = GaugeMetricFamily("citrus_grade_queue_bytes", "Log records that wait for the recorder.", labels=["process"])
    took = HistogramMetricFamily("citrus_grade_stage_seconds", "How long a stage took.", labels=["process", "stage"])
    for role in supervisor.roles:
        station = supervisor.board.station(role)
        for name, n in station.counted().items():
            (shed if name in SHED else counted).add_metric([role, name], n)
        restarts.add_metric([role], supervisor.children[role].restarts)
        works.add_metric([role], float(station.is_ready))
        silent.add_metric([role], station.silent_s)
        gone.add_metric([role], station.levels()["devices_gone"])
        queued.add_metric([role], station.levels()["queue_bytes"])
        for stage in STAGES:
            if stage != "margin" and (found := station.times(stage)).any():
                took.add_metric([role, stage], *_buckets(found.tolist()))
    return [counted, shed, restarts, works, silent, gone, queued, took]


def _line(supervisor: Supervisor) -> list[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    shared, observer, belt = supervisor.board.shared, supervisor.observer, supervisor.board.belt()
    decided = GaugeMetricFamily("citrus_grade_decided_cup", "The last cup decided.", value=int(shared["decided_cup"][0]))
    committed = GaugeMetricFamily("citrus_grade_committed_cup", "The last cup on disk.", value=int(shared["committed_cup"][0]))
    ticks_per_s = belt[2] if belt else 0.0
    speed = GaugeMetricFamily(
        "citrus_grade_belt_cups_per_second", "Speed of the belt.", value=ticks_per_s / float(supervisor.config.encoder.ratio)
    )
    decisions = CounterMetricFamily("citrus_grade_decisions", "Decisions safe on disk, by reason.", labels=["reason"])
    for reason in Reason:
        decisions.add_metric([reason.name.lower()], int(shared["reasons"][0, reason]))
    margin = HistogramMetricFamily(
        "citrus_grade_deadline_margin_seconds",
        "How long before the last moment an ejection was in the PLC's queue.",
        labels=[],
    )
    margin.add_metric([], *_buckets(supervisor.board.station(PLC).times("margin").tolist()))
    active = GaugeMetricFamily("citrus_grade_alarms_active", "Alarms that stand.", labels=["kind", "severity"])
    kinds = [one.kind for one in list(observer.book.active.values())]
    for kind in sorted(set(kinds)):
        active.add_metric([kind, severity(kind)], kinds.count(kind))
    alarms = CounterMetricFamily("citrus_grade_alarms", "How often each kind of alarm was told.", labels=["kind", "severity"])
    for kind, n in dict(observer.counted.times).items():
        alarms.add_metric([kind, severity(kind)], n)
    lost = CounterMetricFamily("citrus_grade_events_lost", "Events that found no room or no disk.", value=observer.events.lost)
    build = GaugeMetricFamily("citrus_grade_build_info", "The program.", labels=["version"])
    build.add_metric([__version__], 1)
    return [decided, committed, speed, decisions, margin, active, alarms, lost, build]


def _lanes(supervisor: Supervisor) -> list[Any]:
    from prometheus_client.core import GaugeMetricFamily

    state = GaugeMetricFamily("citrus_grade_lane_state", "1 of the state a lane is in.", labels=["lane", "state"])
    trouble = GaugeMetricFamily("citrus_grade_lane_trouble", "Why a lane is not quite on.", labels=["lane", "kind", "place"])
    for lane in supervisor.observer.lanes:
        for name in STATES:
            state.add_metric([str(lane.lane), name], float(lane.state == name))
        for kind, where in lane.troubles:
            trouble.add_metric([str(lane.lane), kind, where], 1)
    return [state, trouble]


def _rings(supervisor: Supervisor) -> list[Any]:
    from prometheus_client.core import GaugeMetricFamily

    lag = GaugeMetricFamily("citrus_grade_ring_lag_frames", "Frames that wait for the core.", labels=["camera"])
    most = GaugeMetricFamily("citrus_grade_ring_lag_most_frames", "The most that have ever waited.", labels=["camera"])
    size = GaugeMetricFamily("citrus_grade_ring_frames", "Frames a ring holds.", labels=["camera"])
    for camera in range(len(supervisor.config.camera)):
        levels = supervisor.board.station(camera_role(camera)).levels()
        lag.add_metric([str(camera)], max(levels["ring_newest"] - levels["ring_looked"], 0))
        most.add_metric([str(camera)], levels["ring_lag_most"])
        size.add_metric([str(camera)], supervisor.config.live.ring_frames)
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
