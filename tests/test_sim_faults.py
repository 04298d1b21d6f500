"""Faults of the simulated line: off they change nothing, on they do what their names say."""

import hashlib

import numpy as np
import pytest

from citrus_grade.config import ConfigError
from citrus_grade.config import load as load_config
from citrus_grade.drivers.sim.camera import Optics, SimCamera
from citrus_grade.drivers.sim.faults import VEIL, Faults
from citrus_grade.drivers.sim.orchard import grow
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant, open_line
from citrus_grade.messages import Frame
from citrus_grade.templates import LINE

OPTICS = Optics(320, 240, 1.28, 900.0, read_noise=0.0, full_well_e=1e12)


def take(light: float = 1.0, dirt: float = 0.0, seed: int = 1) -> np.ndarray:
    """Return a frame of one fruit in the middle, without noise."""
    camera = SimCamera(OPTICS, seed, (60.0, 180.0))
    at = np.array([160.0]), np.array([60.0])
    return camera.expose(0, 0.0, grow(3, 1), *at, np.eye(3)[None], light=light, dirt=dirt).astype(float)


def digest(**options: float) -> str:
    frames = SimPlant(load_config(LINE), SimOptions(seed=2, seconds=0.5, **options)).messages()
    return hashlib.sha256(b"".join(m.mosaic.tobytes() for m in frames if isinstance(m, Frame))).hexdigest()


def test_faults_begin_when_they_are_told_to() -> None:
    faults = Faults(dirt_pct_per_min=30.0, dirt_from_s=60.0, lamp_fade_pct_per_h=10.0)
    assert [faults.dirt(s) for s in (0.0, 60.0, 120.0, 1e6)] == [0.0, 0.0, 0.30, 0.95]
    assert [faults.light(s) for s in (0.0, 3600.0, 1e9)] == [1.0, 0.9, 0.0]
    assert (Faults().dirt(1e9), Faults().light(1e9)) == (0.0, 1.0)


def test_a_fault_that_has_not_begun_changes_no_byte() -> None:
    assert digest() == digest(dirt_pct_per_min=10.0, dirt_from_s=1e6) != digest(dirt_pct_per_min=10.0)


def test_a_dim_lamp_dims_all_alike() -> None:
    assert np.abs(take(light=0.5) - 0.5 * take()).max() <= 1.0


def test_dirt_dims_what_is_bright_and_veils_what_is_dark_in_one_place() -> None:
    clean, dirty = take(), take(dirt=0.5)
    where = SimCamera(OPTICS, 1, (60.0,))._smudge
    assert where.max() == pytest.approx(1.0, abs=0.01)
    assert np.array_equal(clean[where < 1e-4], dirty[where < 1e-4])
    middle = where > 0.99
    for row in range(2):
        for column in range(2):
            one = slice(row, None, 2), slice(column, None, 2)
            expected = 0.5 * clean[one] + 0.5 * VEIL * clean[one].mean()
            assert np.abs(dirty[one] - expected)[middle[one]].max() < 2.0
    assert not np.array_equal(where, SimCamera(OPTICS, 2, (60.0,))._smudge)


def test_fruit_in_stuck_cups_lies_still() -> None:
    config = load_config(LINE)
    sound, stuck = (SimPlant(config, SimOptions(seed=4, seconds=10.0, stuck_cups=share)).table for share in (0.0, 0.3))
    still = stuck["turn_rad_per_cup"][..., 0] == 0
    assert still.mean() == pytest.approx(0.3, abs=0.05)
    assert (stuck["yaw_rad_per_cup"][still] == 0).all()
    assert np.array_equal(sound["turn_rad_per_cup"][~still], stuck["turn_rad_per_cup"][~still])
    assert np.array_equal(sound["fruit"], stuck["fruit"])


def test_a_bad_fault_is_refused_by_name() -> None:
    config = load_config(LINE).model_copy(update={"source": {"driver": "sim", "stuck_cups": 1.5}})
    with pytest.raises(ConfigError, match="stuck_cups"):
        open_line(config)
