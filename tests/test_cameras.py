"""Several cameras over one line: each sees a stretch of it, and a fruit is joined of all their views."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig, parse
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.grading import plan as plans
from citrus_grade.imaging.health import AVERAGED, LEARNT
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Alarm, Decisions, Frame, Message, Views
from citrus_grade.replay import replay
from citrus_grade.rundir import with_section
from citrus_grade.runtime.session import run_line
from citrus_grade.tables import CLARITY, DECISION, VIEW, Table, stack
from citrus_grade.templates import LINE

PLAN = 'name = "all"\n[[rule]]\ngrade = "any"\noutlets = ["1"]\n'
FOCAL_PX = 1.28 * (1200 - 31)
CUP_PX = 128


def line_text(*windows: int) -> str:
    """The template's line, without spectrometer; its camera's windows dealt out to as many cameras as there are numbers."""
    text = LINE.read_text(encoding="utf-8")
    head, rest = text.split("[[camera]]")
    camera, rest = rest.split("[spectrometer]")
    outlets = rest[rest.index("[[outlet]]") :]
    cameras, first = [], 0
    for n in windows:
        own = {"name": f'"from {first}"', "width_px": n * CUP_PX, "station": 4 + first, "windows": f"{n}\nfirst_view = {first}"}
        own_text = camera
        for key, value in own.items():
            own_text = re.sub(rf"(?m)^{key} = [^#\n]*", f"{key} = {value}\n", own_text)
        cameras.append("[[camera]]" + own_text)
        first += n
    return head + "".join(cameras) + outlets


def line_of(config: LineConfig, **measured: object) -> Line:
    plan = plans.parse(PLAN, (), config.outlet_names[:-1])
    held = replace(CalibrationSet.nominal(config), **measured)
    return Line(config, Artefacts({plan.id: plan}, {}, {held.id: held}), plan=plan.id, calibration=held.id)


def decided(line: Line, messages: Iterable[Message]) -> Table:
    return stack([o.rows for m in messages for o in line.feed(m) if isinstance(o, Decisions)], DECISION)


def dealt(messages: Iterable[Message], windows: tuple[int, ...]) -> Iterator[Message]:
    """Cut every frame of one camera into those of several."""
    edges = np.cumsum([0, *windows]) * CUP_PX
    for message in messages:
        if isinstance(message, Frame):
            for camera, (left, right) in enumerate(pairwise(edges)):
                yield replace(message, camera=camera, mosaic=message.mosaic[:, left:right])
        else:
            yield message


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return list(SimPlant(parse(line_text(8)), SimOptions(seed=3, seconds=2.0)).messages())


@pytest.mark.parametrize("windows", [(4, 4), (5, 3), (2, 3, 3)], ids=str)
def test_one_picture_cut_into_several_gives_the_same_fruit_to_the_bit(messages: list[Message], windows: tuple[int, ...]) -> None:
    """Each part is told where the one lens's axis lies, and the same is measured."""
    whole = decided(line_of(parse(line_text(8))), messages)
    edges = np.cumsum([0, *windows[:-1]]) * CUP_PX
    lens = np.array([[512.0 - left, 384.0, FOCAL_PX, 0.0, 0.0] for left in edges])
    several = decided(line_of(parse(line_text(*windows)), lens=lens), dealt(messages, windows))
    assert (whole["fruit_views"] > 0).sum() > 100
    assert several.tobytes() == whole.tobytes()


def test_each_camera_keeps_its_own_numbers(messages: list[Message]) -> None:
    lost = [m for m in dealt(messages, (4, 4)) if not (isinstance(m, Frame) and m.camera == 1 and m.seq == 12)]
    line = line_of(parse(line_text(4, 4)))
    told = [o for m in lost for o in line.feed(m) if isinstance(o, Alarm)]
    assert [(alarm.kind, alarm.count) for alarm in told] == [("frame_gap", 1)]


def test_dirt_is_told_of_the_camera_that_has_it() -> None:
    line, alarms = line_of(parse(line_text(5, 3))), list[Alarm]()
    for seq in range(LEARNT + 3 * AVERAGED):
        for camera, windows in enumerate((5, 3)):
            clarity = np.array([(60.0, 0.5)] * (6 * windows), CLARITY)
            if camera == 1 and seq > LEARNT:
                clarity["level"][4 * windows + 2] = 75.0
            told = line.feed(Views(camera, seq, seq * 4096, 0, np.empty(0, VIEW), clarity))
            alarms += [output for output in told if isinstance(output, Alarm)]
    assert [(alarm.kind, alarm.where) for alarm in alarms] == [("lens_dirty", "camera 1 lane 4 window 2")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras side by side, each with its own lens, light and noise."""
    made = tmp_path_factory.mktemp("cameras")
    (made / "plan.toml").write_text(PLAN, encoding="utf-8")
    (made / "two.toml").write_text(with_section(line_text(4, 4), "source", {"driver": "sim", "seed": 3}), encoding="utf-8")
    (made / "one.toml").write_text(with_section(line_text(8), "source", {"driver": "sim", "seed": 3}), encoding="utf-8")
    return made


@pytest.mark.parametrize("profile", ["full", "normal"])
def test_two_cameras_measure_as_one_does_and_replay_equal(folder: Path, profile: str, tmp_path: Path) -> None:
    one, two = (run_line(folder / f"{n}.toml", tmp_path / n, profile=profile, seconds=2.0) for n in ("one", "two"))
    assert two.alarms == {}
    assert two.fruit == one.fruit
    assert one.accuracy is not None
    assert two.accuracy is not None
    for key in ("empties_exact", "doubles_caught", "delivery"):
        assert two.accuracy[key] == one.accuracy[key]
    assert two.accuracy["diameter_rmse_mm"] == pytest.approx(one.accuracy["diameter_rmse_mm"], abs=0.15)
    report = replay(tmp_path / "two")
    assert report.diff_fields == 0
    assert report.compared == two.cups
