"""A live line as those who keep it meet it: what status, Prometheus and the log of events say, and how it stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pyarrow import csv

from citrus_grade.cli import status
from citrus_grade.cli.main import main
from citrus_grade.config import load
from citrus_grade.drivers.sim.fault_plan import Fault, FaultPlan
from citrus_grade.messages import Reading, Reason
from citrus_grade.replay import replay
from citrus_grade.runlog import LogError, LogReader, files, info
from citrus_grade.runlog.reader import Fed
from citrus_grade.runtime.live import events, health, sheet, store
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.live.work import METRICS
from citrus_grade.tables import Table

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 5.0
STOOD_S = 4.0
"""Longer than a core or a PLC process may be silent."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


PORT = _free_port()
GONE_LANE = 2


@contextmanager
def _indicator() -> Iterator[str]:
    """A box scale at a TCP port that says again and again that 12.345 kg lie on it, at rest, to one after another who calls."""

    def say() -> None:
        with suppress(OSError):
            while True:
                there, _ = listener.accept()
                with there, suppress(ConnectionError):
                    while True:
                        there.sendall(b"ST,GS,+  12.345kg\r\n")
                        time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=say, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5.0)


class Watched:
    """A run on which one lane's spectrometer goes away, for good, and an outlet of another lane jams, and what was seen of it."""

    def __init__(self, line_toml: Path, loop: Path, folder: Path) -> None:
        self.run, self._faults = folder / "run", folder / "faults.json"
        live = line_toml.with_name("watched.toml")
        text = played(line_toml, loop, faults=self._faults, cups_per_s=CUPS_PER_S)
        self.state: dict[str, Any] = {}
        with _indicator() as url:
            scale = f'[scale]\ndriver = "serial"\nurl = "{url}"'
            live.write_text(f"{text}\n{scale}\n[live]\nmetrics_port = {PORT}\n", encoding="utf-8")
            run_live(live, self.run, seconds=120.0, during=self._during)
        self.rows: Table = np.concatenate(list(store.decisions(self.run)))

    def _during(self, supervisor: Supervisor) -> bool:
        decided = int(supervisor.board.shared["decided_cup"][0])
        if decided >= 20 and not self._faults.exists():
            faults = (Fault("spectrometer_gone", 0, 1e9, GONE_LANE), Fault("outlet_jams", 0, 1e9, 4, 0.0))
            FaultPlan(1, faults).save(self._faults)
        if decided >= 110 and not self.state:
            self.state = health.read(self.run)
            self._answers()
        return bool(self.state)

    def _answers(self) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=10) as answer:
            self.metrics = answer.read().decode()
        for path, kind in (("log.parquet", "parquet"), ("now.parquet", "fruit"), ("now.csv", "fruit")):
            assert main(["log", "export", str(self.run), "--kind", kind, "--to", str(self.run / path)]) == 0


@pytest.fixture(scope="module")
def watched(line_toml: Path, loop: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(line_toml, loop, tmp_path_factory.mktemp("watched"))


@pytest.mark.fault
def test_one_lane_loses_its_spectrometer_and_five_go_on(watched: Watched) -> None:
    lanes = {lane["lane"]: lane for lane in watched.state["lanes"]}
    assert [lane["state"] for lane in lanes.values()].count("on") >= 4
    assert lanes[GONE_LANE]["state"] == "degraded"
    assert {"kind": "spectrometer_gone", "where": f"lane {GONE_LANE}"} in lanes[GONE_LANE]["troubles"]
    last = watched.rows[watched.rows["cup"] > watched.rows["cup"].max() - 40]
    gone = last[last["lane"] == GONE_LANE]
    assert not np.any(gone["reason"] == Reason.GRADED)
    assert np.any(gone["diameter_mm"] > 0)
    for lane in set(lanes) - {GONE_LANE}:
        assert np.any(last["reason"][last["lane"] == lane] == Reason.GRADED)


def test_status_says_what_is_wrong_why_and_what_to_do(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    state = watched.state
    (alarm,) = [alarm for alarm in state["alarms"] if alarm["kind"] == "spectrometer_gone"]
    assert (alarm["where"], alarm["severity"], alarm["ended_s"]) == (f"lane {GONE_LANE}", "warning", None)
    assert state["deadline"]["n"] > 0
    assert state["deadline"]["least_ms"] <= state["deadline"]["p01_ms"] <= state["deadline"]["p50_ms"]
    (ring,) = state["rings"]
    assert 0 <= ring["lag"] <= ring["lag_most"] + ring["frames"]
    assert state["reasons"]["graded"] > 0
    assert {"decide", "wait"} <= set(state["processes"]["core"]["times_us"])
    assert {"eject", "poll"} <= set(state["processes"]["plc"]["times_us"])
    assert status.needs_a_hand(state | {"running": True, "at_utc_s": time.time()})
    main(["status", str(watched.run), "--json"])
    told = json.loads(capsys.readouterr().out)
    for one in [*told["alarms"], *told["ended_alarms"]]:
        assert one["label"]
        assert one["cause"]
        assert one["remedy"]
    main(["status", str(watched.run)])
    text = capsys.readouterr().out
    assert f"lane {GONE_LANE}: spectrometer gone: its fruit are sized and coloured only" in text
    assert "before the last moment" in text


def test_prometheus_reads_it_all(watched: Watched) -> None:
    families = {family.name: family for family in text_string_to_metric_families(watched.metrics)}
    samples = {(s.name, *sorted(s.labels.items())): s.value for f in families.values() for s in f.samples}
    assert samples["citrus_grade_lane_state", ("lane", str(GONE_LANE)), ("state", "degraded")] == 1
    assert samples["citrus_grade_lane_state", ("lane", "0"), ("state", "on")] == 1
    assert samples["citrus_grade_alarms_active", ("kind", "spectrometer_gone"), ("severity", "warning")] == 1
    assert samples["citrus_grade_decisions_total", ("reason", "graded")] > 0
    assert samples["citrus_grade_shed_total", ("process", "core"), ("reason", "frames_torn")] == 0
    assert samples["citrus_grade_ring_lag_frames", ("camera", "0")] >= 0
    for name in ("citrus_grade_stage_seconds", "citrus_grade_deadline_margin_seconds"):
        assert families[name].type == "histogram"
        for labels in {tuple(s.labels.items()) for s in families[name].samples if s.name == f"{name}_count"}:
            _rising(name, dict(labels), watched.metrics)
    assert all(family.documentation for family in families.values())


def _rising(name: str, labels: dict[str, str], text: str) -> None:
    """Counts of a histogram rise from bucket to bucket up to the count of all."""
    (family,) = [family for family in text_string_to_metric_families(text) if family.name == name]
    own = [s for s in family.samples if {k: v for k, v in s.labels.items() if k != "le"} == labels]
    counts = [s.value for s in sorted((s for s in own if s.name == f"{name}_bucket"), key=lambda s: float(s.labels["le"]))]
    assert counts == sorted(counts)
    assert counts[-1] == next(s.value for s in own if s.name == f"{name}_count")


def test_the_log_of_events_tells_the_runs_story(watched: Watched) -> None:
    told = events.read(watched.run)
    names = [event["event"] for event in told]
    assert (names[0], names[-1]) == ("line_starts", "line_stopped")
    assert {"process_started", "process_ready", "line_ready", "file_begun", "file_closed", "device_opened"} <= set(names)
    changed = [event for event in told if event["event"] == "lane_changed" and event["lane"] == GONE_LANE]
    assert changed[-1]["state"] == "degraded"
    assert [event["time"] for event in told] == sorted(event["time"] for event in told)
    ended = [event["process"] for event in told if event["event"] == "process_ended"]
    assert ended.index("core") < ended.index("plc") < ended.index("recorder")
    assert set(ended[: ended.index("core")]) == {"camera0", "spectra", "scale", "metrics"}
    assert all(event["exit_code"] == 0 for event in told if event["event"] == "process_ended")


def test_the_fruit_table_can_be_had_while_the_line_runs(watched: Watched) -> None:
    at_end = pq.read_table(watched.run / "fruit.parquet")
    now = pq.read_table(watched.run / "now.parquet")
    assert now.num_rows > 90 * 6
    logged = pq.read_table(watched.run / "log.parquet")
    for table in (now, logged):
        for name in at_end.column_names:
            np.testing.assert_array_equal(table[name].to_numpy(), at_end[name].to_numpy()[: table.num_rows])
    assert csv.read_csv(watched.run / "now.csv").column_names == now.column_names


def test_a_weight_on_the_box_scale_is_logged_once_and_shown(watched: Watched) -> None:
    weights = [
        message
        for path in files(watched.run)
        for entry in LogReader(path)
        if isinstance(entry, Fed)
        for message in entry.messages
        if isinstance(message, Reading) and message.kind == "mass_g"
    ]
    assert [(weight.lane, weight.value) for weight in weights] == [(-1, pytest.approx(12345.0))]
    assert watched.state["scale"]["mass_g"] == pytest.approx(12345.0)


def test_a_table_is_refused_where_there_is_none_or_no_place_for_it(watched: Watched, tmp_path: Path) -> None:
    with pytest.raises(LogError, match="only a live line has"):
        sheet.export(tmp_path, tmp_path / "a.csv")
    with pytest.raises(LogError, match="exists already"):
        sheet.export(watched.run, watched.run / "now.csv")
    with pytest.raises(LogError, match=r"end its name in \.csv, \.parquet"):
        sheet.export(watched.run, tmp_path / "a.xlsx")


def _started(line_toml: Path, loop: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    live, run = tmp_path / "live.toml", tmp_path / "run"
    live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S), encoding="utf-8")
    for name in ("plan.toml", "model", "calibration"):
        (tmp_path / name).symlink_to(line_toml.parent / name)
    with Path("/dev/full").open("w") as full:  # what is said aside may find no room: that is no reason to end
        program = subprocess.Popen(
            [sys.executable, "-m", "citrus_grade.cli", "run", str(live), "--run", str(run), "--json"],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
        )
    try:
        _until(lambda: (run / health.NAME).exists() and health.read(run)["committed_cup"] >= 20, 180.0)
        yield program, run
    finally:
        program.kill()
        program.wait()
        assert program.stdout
        program.stdout.close()


@pytest.fixture
def started(line_toml: Path, loop: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """``citrus-grade run`` of a live line that has decided some cups, and its run folder."""
    yield from _started(line_toml, loop, tmp_path)


def _until(true: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def _pids(run: Path) -> list[int]:
    return [process["pid"] for process in health.read(run)["processes"].values() if process["pid"]]


def _gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def _every_cup_once(run: Path) -> Table:
    rows = np.concatenate(list(store.decisions(run)))
    cups = np.arange(rows["cup"].max() + 1)
    np.testing.assert_array_equal(rows["cup"], np.repeat(cups, load(run / "line.toml").line.lanes))
    return rows


def test_told_to_end_a_line_ends_whole(started: tuple[subprocess.Popen[str], Path]) -> None:
    program, run = started
    pids = _pids(run)
    for pid in (*pids, program.pid):  # as from a service manager, that tells each process of a group
        os.kill(pid, signal.SIGTERM)
    out, _ = program.communicate(timeout=120)
    assert program.returncode == 0
    rows = _every_cup_once(run)
    told = json.loads(out)
    assert told["cups"] == len(rows)
    assert told["live"]["committed_cup"] == told["live"]["decided_cup"] == rows["cup"].max()
    report = replay(run)
    assert (report.diff_fields, report.compared) == (0, len(rows))
    assert not report.truncated, list(events.read(run))
    assert _gone(pids)
    assert not health.read(run)["running"]


def test_told_twice_it_ends_at_once_and_keeps_every_decision(started: tuple[subprocess.Popen[str], Path]) -> None:
    program, run = started
    pids = _pids(run)
    program.send_signal(signal.SIGINT)
    _until(lambda: any(event["event"] == "line_stops" for event in events.read(run)), 30.0)
    program.send_signal(signal.SIGINT)
    out, _ = program.communicate(timeout=120)
    assert program.returncode == 0
    told = json.loads(out)
    rows = _every_cup_once(run)
    assert told["live"]["committed_cup"] == told["live"]["decided_cup"] == rows["cup"].max()
    assert _gone(pids)
    assert replay(run).diff_fields == 0


@pytest.mark.fault
def test_a_machine_that_stood_still_is_no_reason_to_kill(started: tuple[subprocess.Popen[str], Path]) -> None:
    """As when a virtual machine is paused: who looks stood as long as what is looked at."""
    program, run = started
    stood = [*_pids(run), program.pid]
    for pid in stood:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(STOOD_S)
    for pid in reversed(stood):  # the supervisor is the first to go on
        os.kill(pid, signal.SIGCONT)
    went_on = health.read(run)["committed_cup"] + STOOD_S * CUPS_PER_S + 20
    _until(lambda: health.read(run)["committed_cup"] > went_on, 60.0)
    program.send_signal(signal.SIGTERM)
    assert program.wait(120.0) == 0
    assert "process_died" not in {event["event"] for event in events.read(run)}
    rows = _every_cup_once(run)
    assert replay(run).compared == len(rows)
    assert np.any(rows["reason"][rows["cup"] > went_on - 10] == Reason.GRADED)


@pytest.mark.fault
def test_a_killed_supervisor_leaves_a_whole_log(started: tuple[subprocess.Popen[str], Path]) -> None:
    program, run = started
    pids = _pids(run)
    program.kill()
    program.wait()
    _until(lambda: _gone(pids), 60.0)
    rows = _every_cup_once(run)
    report = replay(run)
    assert (report.diff_fields, report.compared, report.truncated) == (0, len(rows), False)
    assert not info(run)["truncated"]


class Besieged:
    """A run whose metrics are asked for by fifty who never finish asking, and then killed; it ends some cups later."""

    def __init__(self, port: int) -> None:
        self._port, self._held = port, list[socket.socket]()
        self.killed_cup = self.back_cup = -1
        self.text = ""

    def __call__(self, supervisor: Supervisor) -> bool:
        decided = int(supervisor.board.shared["decided_cup"][0])
        server = supervisor.children[METRICS]
        if decided >= 20 and not self._held:
            self._held = [socket.create_connection(("127.0.0.1", self._port), 5.0) for _ in range(50)]
            for end in self._held:
                end.sendall(b"GET /metrics HTTP/1.1\r\n")
        if decided >= 50 and self.killed_cup < 0:
            self.killed_cup = decided
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
        if server.recovery_s and self.back_cup < 0:
            self.back_cup = decided
        if not 0 <= self.back_cup <= decided - 40:
            return False
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            self.text = answer.read().decode()
        return True

    def close(self) -> None:
        for end in self._held:
            end.close()


@pytest.mark.fault
def test_metrics_besieged_and_killed_cost_no_fruit(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    port, run = _free_port(), tmp_path / "run"
    live = line_toml.with_name("besieged.toml")
    live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S) + f"\n[live]\nmetrics_port = {port}\n", encoding="utf-8")
    with closing(Besieged(port)) as besieged:
        run_live(live, run, seconds=180.0, during=besieged)
    assert 'citrus_grade_restarts_total{process="metrics"} 1.0' in besieged.text
    rows = _every_cup_once(run)
    # The last fruit lack what the devices, which stop first, no longer sent.
    fruit = rows[(rows["reason"] != Reason.EMPTY) & (rows["cup"] > 20) & (rows["cup"] <= besieged.back_cup + 30)]
    assert not np.isin(fruit["reason"], [Reason.MISSING_VIEW, Reason.MISSING_SPECTRUM, Reason.LATE]).any()
    assert np.any(fruit["reason"][fruit["cup"] > besieged.killed_cup] == Reason.GRADED)
    state = health.read(run)
    assert state["deadline"]["late"] == 0
    assert state["processes"]["core"]["restarts"] == 0
