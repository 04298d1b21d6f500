"""``citrus-grade status``: what it says first of a run, and when it calls for people."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from citrus_grade.cli import errors, status
from citrus_grade.cli.main import main
from citrus_grade.runtime.live import health

WELL = {
    "run": "runs/monday", "supervisor_pid": os.getpid(), "up": True, "stopping": False, "up_s": 60.0, "cups_per_s": 12.0,
    "origin": 0, "decided_cup": 700, "committed_cup": 700, "reasons": {}, "lanes": [], "processes": {}, "shed": [], "rings": [],
    "deadline": {"n": 0}, "scale": None, "alarms": [], "ended_alarms": [], "alarms_told": {}, "events_lost": 0, "running": True,
}  # fmt: skip


@pytest.fixture
def gone_pid() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    return ended.pid


def _asked(run: Path, capsys: pytest.CaptureFixture[str], **differs: Any) -> tuple[int, str]:
    """Write a state; return the exit code of ``status`` and its first line."""
    run.mkdir(exist_ok=True)
    (run / health.NAME).write_text(json.dumps(WELL | {"at_utc_s": time.time()} | differs), encoding="utf-8")
    code = main(["status", str(run)])
    return code, capsys.readouterr().out.splitlines()[0]


def test_a_line_that_runs_and_one_that_has_ended_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = _asked(tmp_path / "run", capsys)
    assert (code, said.split(",")[0]) == (errors.DONE, "running")
    code, said = _asked(tmp_path / "run", capsys, running=False, at_utc_s=0.0)
    assert (code, said.split(",")[0]) == (errors.DONE, "ended")


def test_a_supervisor_that_hangs_is_not_called_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = _asked(tmp_path / "run", capsys, at_utc_s=time.time() - 2 * status.STALE_S)
    assert code == errors.FINDINGS
    assert said.startswith("STALE since ")


def test_a_run_whose_supervisor_was_killed_has_not_ended_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gone_pid: int
) -> None:
    code, said = _asked(tmp_path / "run", capsys, supervisor_pid=gone_pid)
    assert code == errors.FINDINGS
    assert said.startswith("BROKEN OFF after ")
    code, said = _asked(tmp_path / "run", capsys, supervisor_pid=gone_pid, running=False)
    assert (code, said.split(",")[0]) == (errors.DONE, "ended")


def test_a_number_that_another_process_has_now_does_not_make_a_run_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _asked(tmp_path / "run", capsys, supervisor="a boot before this 4711")[1].startswith("BROKEN OFF after ")


def test_a_line_that_starts_or_stops_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waits = {
        "pid": 1, "ready": False, "devices_gone": 0, "silent_s": 0.1, "restarts": 0, "recovery_s": [], "counted": {},
        "queue_bytes": 0, "times_us": {},
    }  # fmt: skip
    code, said = _asked(tmp_path / "run", capsys, up=False, processes={"camera0": waits})
    assert (code, said.split(",")[0]) == (errors.FINDINGS, "starting")
    code, said = _asked(tmp_path / "run", capsys, stopping=True, processes={"camera0": waits})
    assert (code, said.split(",")[0]) == (errors.DONE, "stopping")


def test_what_was_shed_calls_for_people_while_its_alarm_stands_and_no_longer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shed = [{"process": "core", "what": "shed_words", "n": 1}]
    alarm = {"kind": "shed_words", "where": "core", "severity": "warning", "tick": 1, "count": 1, "began_s": 1.0, "ended_s": None}
    assert _asked(tmp_path / "run", capsys, shed=shed, alarms=[alarm])[0] == errors.FINDINGS
    assert _asked(tmp_path / "run", capsys, shed=shed)[0] == errors.DONE
    assert _asked(tmp_path / "run", capsys, shed=shed, running=False)[0] == errors.DONE
    refused = [{"process": "plc", "what": "ejections_refused", "n": 1}]
    assert _asked(tmp_path / "run", capsys, shed=refused, running=False)[0] == errors.DONE


def test_fruit_that_are_missing_from_the_table_of_a_run_call_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shed = [{"process": "recorder", "what": "shed_decisions", "n": 6}]
    assert _asked(tmp_path / "run", capsys, running=False, shed=shed)[0] == errors.FINDINGS
    assert _asked(tmp_path / "run", capsys, running=False, committed_cup=699)[0] == errors.FINDINGS
