"""A run's way out to other programs: Parquet tables, pictures, and a file that Foxglove and Lichtblick open.

Everything comes from the log, so a run that was cut short is exported up to the cut. What is written gets its name when
it is whole.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from citrus_grade import config
from citrus_grade.config import LineConfig
from citrus_grade.lots import ROWS_A_GROUP, FruitTable
from citrus_grade.messages import Alarm, Decisions, Frame, Message, Pulse, References, Scans
from citrus_grade.runlog.belt import Belt, next_cup
from citrus_grade.runlog.errors import LogError
from citrus_grade.runlog.foxglove import FoxgloveFile
from citrus_grade.runlog.reader import Fed, LogReader, Snapshot, files
from citrus_grade.words import _

KINDS = ("parquet", "pictures", "foxglove")
Progress = Callable[[float, float], None]
Item = Snapshot | Message | Decisions | Alarm | References
_DEMOSAIC = {
    "RGGB": cv2.COLOR_BayerRGGB2BGR,
    "BGGR": cv2.COLOR_BayerBGGR2BGR,
    "GRBG": cv2.COLOR_BayerGRBG2BGR,
    "GBRG": cv2.COLOR_BayerGBRG2BGR,
    "mono": cv2.COLOR_GRAY2BGR,
    "rgb": cv2.COLOR_RGB2BGR,
}


def export(run_dir: Path, out: Path, kind: str, progress: Progress | None = None) -> dict[str, Any]:
    """Write a run for other programs.

    Parameters
    ----------
    out : what to write; it must not exist yet. ``parquet``: a folder with ``fruit.parquet`` and ``scans.parquet``, or the
        fruit table alone where the name ends in .parquet; ``pictures``: a folder; ``foxglove``: one MCAP file.
    progress : called with log files done and log files in all.

    Returns
    -------
    What was written: ``out``, ``kind``, counts, and ``truncated`` where the log ends early.

    Raises
    ------
    LogError : if the folder is no run, the log does not hold what is asked for, or ``out`` exists.
    """
    writers: dict[str, Callable[[Walk, Path], dict[str, int]]]
    writers = {"parquet": _parquet, "pictures": _pictures, "foxglove": _foxglove}
    if kind not in writers:
        raise LogError(_("{kind}: no such export; there are {kinds}").format(kind=kind, kinds=", ".join(KINDS)))
    if out.exists():
        raise LogError(_("{path}: exists already; name a new file or folder").format(path=out))
    walk = Walk.of(run_dir, progress)
    if kind == "pictures" and walk.start["profile"] != "full":
        raise LogError(
            _("{run}: its frames were not recorded (profile {profile}); record with profile full").format(
                run=run_dir, profile=walk.start["profile"]
            )
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        partial = Path(folder) / out.name
        counts = writers[kind](walk, partial)
        if not any(counts.values()):
            raise LogError(_("{run}: the log holds nothing to export as {kind}").format(run=run_dir, kind=kind))
        partial.replace(out)
    return {"run": str(run_dir), "out": str(out), "kind": kind, **counts, "truncated": walk.truncated}


def demosaic(mosaic: NDArray[np.uint8], bayer: str) -> NDArray[np.uint8]:
    """Return a frame as its camera sends it as colours (height, width, 3), blue first."""
    return np.asarray(cv2.cvtColor(mosaic, _DEMOSAIC[bayer]), np.uint8)


@dataclass(slots=True)
class Walk:
    """A run's log from its beginning, one thing after the other, each with the line's time.

    A log of profile ``off`` holds no clock: its times are reckoned from the encoder at full speed.
    """

    run_dir: Path
    config: LineConfig
    start: dict[str, Any]
    progress: Progress | None = None
    truncated: bool = field(default=False, init=False)

    @classmethod
    def of(cls, run_dir: Path, progress: Progress | None = None) -> "Walk":
        """Open a run; raise `LogError` if the folder is none."""
        try:
            start: dict[str, Any] = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise LogError(
                _("{run}: no run.json to read; name the folder that `citrus-grade run` wrote").format(run=run_dir)
            ) from error
        return cls(run_dir, config.load(run_dir / "line.toml"), start, progress)

    @property
    def words(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Targets, grades, outlets and classes, as `lots.columns` asks for them."""
        start = self.start
        return tuple(start["targets"]), tuple(start["grades"]), tuple(start["outlets"]), tuple(start["classes"])

    def entries(self, *, frames: bool, from_cup: int = 0) -> Iterator[tuple[int, Item]]:
        """Yield ``(t_ns, item)`` in the order of the log; frames only if asked for, files before ``from_cup`` left out."""
        paths = _from(files(self.run_dir), from_cup)
        t_ns = -1
        for index, path in enumerate(paths):
            reader = LogReader(path, frames=frames)
            for entry in reader:
                for item in entry.messages if isinstance(entry, Fed) else [entry]:
                    if isinstance(item, Pulse):
                        t_ns = item.t_ns
                    yield (self._reckoned(item) if t_ns < 0 else t_ns), item
            self.truncated |= reader.truncated
            if self.progress:
                self.progress(index + 1, len(paths))

    def _reckoned(self, item: Item) -> int:
        tick = int(item.rows["tick"][-1]) if isinstance(item, Decisions) else item.tick if isinstance(item, Alarm) else 0
        return max(int(tick / self.config.encoder.ratio / self.config.line.cups_per_s * 1e9), 0)


def _from(paths: list[Path], cup: int) -> list[Path]:
    """Leave out files that end before ``cup`` came into sight: each begins with the next cup to decide. One is kept to spare."""
    begun = 0
    for index, path in enumerate(paths if cup else []):
        first = next(iter(LogReader(path, frames=False)), None)
        if isinstance(first, Snapshot) and next_cup(first) <= cup:
            begun = index
    return paths[max(begun - 1, 0) :]


def _parquet(walk: Walk, out: Path) -> dict[str, int]:
    alone = out.suffix == ".parquet"
    if not alone:
        out.mkdir()
    fruit = FruitTable(out if alone else out / "fruit.parquet", *walk.words)
    scans = None if alone else ScanTable(out / "scans.parquet", walk.config)
    n_decisions = 0
    for _t_ns, item in walk.entries(frames=False):
        if isinstance(item, Decisions):
            fruit.add(item.rows)
            n_decisions += len(item.rows)
        elif scans and not isinstance(item, Alarm | References):
            scans.add(item)
    fruit.close()
    return {"decisions": n_decisions, "scans": scans.close() if scans else 0}


class ScanTable:
    """Writes raw scans to one Parquet file, each with the cup it saw (-1: the gap between two, or a shutter)."""

    def __init__(self, path: Path, line: LineConfig) -> None:
        self._path, self._line, self._belt = path, line, Belt.of(line)
        self._waiting: list[tuple[Scans, list[int]]] = []
        self._rows = self._written = 0
        pixels = line.spectrometer.pixels if line.spectrometer else 0
        numbers = [("lane", pa.int32()), ("cup", pa.int64()), ("seq", pa.int32()), ("tick", pa.int64()), ("t_ns", pa.int64())]
        self._schema = pa.schema([*numbers, ("counts", pa.list_(pa.uint16(), pixels))])
        self._writer: pq.ParquetWriter | None = None

    def add(self, item: Snapshot | Message) -> None:
        """Append scans; anything else only says where the belt is."""
        self._belt.follow(item)
        if isinstance(item, Scans):
            cups = [self._cup(*at) for at in zip(item.lane.tolist(), item.tick.tolist(), strict=True)]
            self._waiting.append((item, cups))
            self._rows += len(item.lane)
            if self._rows >= ROWS_A_GROUP:
                self._flush()

    def close(self) -> int:
        """Finish the file and return its rows; without a scan none is written."""
        self._flush()
        if self._writer:
            self._writer.close()
        return self._written

    def _cup(self, lane: int, tick: int) -> int:
        spectrometer = self._line.spectrometer
        if spectrometer is None or not self._belt.lit(lane, tick):
            return -1
        cup, ahead = self._belt.at(tick, spectrometer.station + self._line.phases[lane])
        return cup if -spectrometer.chord_cups <= 2 * ahead < spectrometer.chord_cups else -1

    def _flush(self) -> None:
        if not self._rows:
            return
        self._writer = self._writer or pq.ParquetWriter(self._path, self._schema, compression="zstd")
        scans = [item for item, _ in self._waiting]
        named: dict[str, Any] = {key: np.concatenate([getattr(item, key) for item in scans]) for key in ("lane", "seq", "tick")}
        named["cup"] = np.array([cup for _, cups in self._waiting for cup in cups], np.int64)
        named["t_ns"] = np.repeat([item.t_ns for item in scans], [len(item.lane) for item in scans])
        counts = np.concatenate([item.counts for item in scans])
        named["counts"] = pa.FixedSizeListArray.from_arrays(counts.ravel(), counts.shape[1])
        self._writer.write_table(pa.table({key: named[key] for key in self._schema.names}, schema=self._schema))
        self._written += self._rows
        self._waiting, self._rows = [], 0


def _pictures(walk: Walk, out: Path) -> dict[str, int]:
    out.mkdir()
    n_frames = 0
    for _t_ns, item in walk.entries(frames=True):
        if isinstance(item, Frame):
            camera = walk.config.camera[item.camera]
            _, png = cv2.imencode(".png", demosaic(item.mosaic, camera.bayer), [cv2.IMWRITE_PNG_COMPRESSION, 1])
            (out / f"{camera.name}-{item.seq:07d}.png").write_bytes(png.tobytes())
            n_frames += 1
    return {"frames": n_frames}


def _foxglove(walk: Walk, out: Path) -> dict[str, int]:
    if out.suffix != ".mcap":
        raise LogError(_("{name}: Foxglove and Lichtblick open files whose name ends in .mcap; name it so").format(name=out.name))
    n_frames = n_fruit = n_alarms = 0
    with FoxgloveFile(out, *walk.words) as file:
        for t_ns, item in walk.entries(frames=walk.start["profile"] == "full"):
            if isinstance(item, Decisions):
                n_fruit += file.decisions(t_ns, item.rows)
            elif isinstance(item, Alarm):
                file.alarm(t_ns, item)
                n_alarms += not item.is_over
            elif isinstance(item, Frame):
                camera = walk.config.camera[item.camera]
                file.image(item.t_ns, camera.name, item.seq, demosaic(item.mosaic, camera.bayer))
                n_frames += 1
    return {"fruit": n_fruit, "alarms": n_alarms, "frames": n_frames}
