"""The watch over lens and light: what it measures, when it speaks and when it keeps quiet."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.config import load as load_config
from citrus_grade.drivers.sim import camera as sim_camera
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging import health
from citrus_grade.imaging.health import AVERAGED, EDGE, LEARNT, LEVEL, Health
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Alarm, Frame
from citrus_grade.templates import LINE


@pytest.fixture(scope="module")
def small() -> LineConfig:
    """A line of three lanes whose one camera sees three cups of each."""
    config = load_config(LINE)
    camera = config.camera[0].model_copy(
        update={"width_px": 384, "height_px": 384, "windows": 3, "lane_y_px": (64.0, 192.0, 320.0)}
    )
    return config.model_copy(update={"line": config.line.model_copy(update={"lanes": 3}), "camera": (camera,)})


def frames(config: LineConfig, n: int, **options: float) -> Iterator[Frame]:
    """Yield frames of the simulated line, its belt filled."""
    plant = SimPlant(config, SimOptions(seed=6, seconds=(n + 12) / config.line.cups_per_s, fill=1.0, doubles=0.0, **options))
    for pitch in range(7, 7 + n):
        yield Frame(0, pitch, pitch * 4096, 0, plant._expose(0, config.camera[0], Fraction(pitch)))


def look(config: LineConfig, frame: Frame) -> NDArray[np.float64]:
    imager = Imager.of(config, config.camera[0])
    return health.look(imager, frame.mosaic, frame.tick, imager(frame).rows)


def feed(state: Health, seen: NDArray[np.float64], times: int = 1) -> tuple[Health, list[Alarm]]:
    told = []
    for _ in range(times):
        state, alarms = health.update(state, 0, seen, 0)
        told += alarms
    return state, told


@pytest.fixture
def learnt(small: LineConfig) -> tuple[Health, NDArray[np.float64]]:
    """The memory of a line that has always seen the same, and what it saw."""
    seen = np.empty((3, 3, 2))
    seen[..., LEVEL], seen[..., EDGE] = 60.0, 0.5
    state, told = feed(health.initial(small), seen, LEARNT)
    assert not told
    return state, seen


def test_gap_and_outlines_are_measured_where_they_are(small: LineConfig) -> None:
    seen = look(small, next(frames(small, 1)))
    assert seen.shape == (3, 3, 2)
    # Dividers have 14 counts of grey, of which the belt's colours give 3.97 to a quad.
    assert seen[..., LEVEL] == pytest.approx(np.full((3, 3), 14 * 3.97), rel=0.1)
    assert ((seen[..., EDGE] > 0.25) & (seen[..., EDGE] < 0.85)).all()


def test_outlines_are_steep_or_soft_whatever_the_light(small: LineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def mean_edge(**options: float) -> float:
        return float(np.mean([look(small, frame)[..., EDGE] for frame in frames(small, 12, **options)]))

    sharp = mean_edge()
    assert mean_edge(lamp_fade_pct_per_h=3600.0 * 15) == pytest.approx(sharp, rel=0.02)  # about a fifth of the light
    monkeypatch.setattr(sim_camera, "DEFOCUS_PX", 1.0)
    assert mean_edge() < 0.88 * sharp


def test_no_fruit_no_outline(small: LineConfig) -> None:
    plant = SimPlant(small, SimOptions(seed=6, seconds=1.0, fill=0.0, doubles=0.0, bridging=0.0))
    seen = look(small, Frame(0, 7, 7 * 4096, 0, plant._expose(0, small.camera[0], Fraction(7))))
    assert np.isfinite(seen[..., LEVEL]).all()
    assert np.isnan(seen[..., EDGE]).all()


def test_nothing_is_said_before_a_reference_is_learnt(small: LineConfig) -> None:
    seen = np.full((3, 3, 2), 60.0)
    state, _ = feed(health.initial(small), seen, LEARNT - 2)
    _, told = feed(state, seen * 3)
    assert not told


@pytest.mark.parametrize(
    ("what", "factor", "kind"),
    [(LEVEL, 0.9, "light_low"), (LEVEL, 1.1, "light_drift"), (EDGE, 0.85, "focus_soft")],
)
def test_a_change_everywhere_is_told_once(
    learnt: tuple[Health, NDArray[np.float64]], what: int, factor: float, kind: str
) -> None:
    state, usual = learnt
    changed = usual.copy()
    changed[..., what] *= factor
    state, told = feed(state, changed, 3 * AVERAGED)
    assert told == [Alarm(0, kind, "camera 0")]
    state, told = feed(state, usual, 6 * AVERAGED)
    assert not told
    _, told = feed(state, changed, 3 * AVERAGED)
    assert [alarm.kind for alarm in told] == [kind]


def test_a_change_in_one_place_is_dirt_and_named(learnt: tuple[Health, NDArray[np.float64]]) -> None:
    state, seen = learnt
    seen = seen.copy()
    seen[2, 1, LEVEL] *= 1.2
    _, told = feed(state, seen, 3 * AVERAGED)
    assert told == [Alarm(0, "lens_dirty", "camera 0 lane 2 window 1")]


def test_what_was_not_seen_changes_nothing_and_states_are_never_written(learnt: tuple[Health, NDArray[np.float64]]) -> None:
    state, seen = learnt
    before = state.region.tobytes(), state.told.tobytes()
    after, told = feed(state, np.full_like(seen, np.nan), 50)
    assert not told
    assert (after.region.tobytes(), after.told.tobytes()) == before
    feed(state, seen * 2, 50)
    assert (state.region.tobytes(), state.told.tobytes()) == before


def run(config: LineConfig, n: int, **options: float) -> list[Alarm]:
    state, told = health.initial(config), []
    for frame in frames(config, n, **options):
        state, alarms = health.update(state, 0, look(config, frame), frame.tick)
        told += alarms
    return told


def test_a_clean_line_says_nothing(small: LineConfig) -> None:
    assert not run(small, LEARNT + AVERAGED)


def test_dirt_and_a_fading_lamp_are_told(small: LineConfig) -> None:
    dirty = run(small, LEARNT + AVERAGED, dirt_from_s=LEARNT / 12, dirt_pct_per_min=60.0)
    assert [alarm.kind for alarm in dirty][:1] == ["lens_dirty"]
    fading = run(small, LEARNT + AVERAGED, lamp_fade_pct_per_h=1800.0)  # an eighth in the learning, a sixth at the end
    assert [alarm.kind for alarm in fading] == ["light_low"]
