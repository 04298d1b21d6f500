"""Keeps a run: log files in turn, fruit table, packout, alarms."""

import time
from pathlib import Path

from citrus_grade.alarms import Alarms
from citrus_grade.line import Line
from citrus_grade.lots import FruitTable, Packout
from citrus_grade.messages import Alarm, Decisions, Message, Output, Pulse
from citrus_grade.rundir import Loaded
from citrus_grade.runlog import LogWriter

SYNC_S = 1.0


class Recorder:
    """Call `take` before something is fed and `gave` with what followed.

    A new log file begins every ``log.file_minutes`` of line time, each with a snapshot of the line.
    """

    def __init__(self, run_dir: Path, loaded: Loaded, line: Line, profile: str) -> None:
        self._dir, self._config, self._line, self._profile = run_dir, loaded.config, line, profile
        self._file_ns = int(loaded.config.log.file_minutes * 60e9)
        self._begun_ns, self._serial = 0, 0
        self._log = self._open()
        self._synced = time.monotonic()
        words = (loaded.targets, loaded.plan.grades, loaded.config.outlet_names, loaded.plan.classes)
        self.table = FruitTable(run_dir / "fruit.parquet", *words)
        self.packout = Packout(loaded.plan.grades, loaded.config.outlet_names)
        self.alarms = Alarms()

    def take(self, message: Message, fed: Message) -> None:
        """Record a message: as it came if pixels are kept, otherwise as it is about to be ``fed``, see `Line.imaged`."""
        if isinstance(message, Pulse) and message.t_ns - self._begun_ns >= self._file_ns:
            self._log.close()
            self._serial += 1
            self._begun_ns = message.t_ns
            self._log = self._open()
        self._log.take(message if self._profile == "full" else fed)

    def gave(self, outputs: tuple[Output, ...]) -> None:
        """Record what followed from it."""
        if not outputs:
            return
        self._log.gave(outputs)
        for output in outputs:
            if isinstance(output, Decisions):
                self.table.add(output.rows)
                self.packout.add(output.rows)
            elif isinstance(output, Alarm):
                self.alarms.add(output)
        now = time.monotonic()
        if now - self._synced >= SYNC_S:
            self._log.sync()
            self._synced = now

    def close(self) -> None:
        """Finish log and table."""
        try:
            self._log.close()
        finally:
            self.table.close()

    def _open(self) -> LogWriter:
        path = self._dir / "log" / f"{self._serial:06d}.mcap"
        return LogWriter(path, self._config, self._line.snapshot(), self._profile)
