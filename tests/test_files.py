"""A line of files: pictures of fruit and a table of spectra become a camera and spectrometers.

Small pictures and spectra made here are run everywhere; the published ones where they are, named by ``CITRUS_GRADE_DATA`` or
beside the checkout.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from citrus_grade.config import ConfigError, load, parse
from citrus_grade.drivers.files import FilesPlant, open_line
from citrus_grade.drivers.files_options import DATA_VARIABLE
from citrus_grade.drivers.files_pictures import fruit_mask, pick_views, spare_views
from citrus_grade.messages import Frame, Scans
from citrus_grade.replay import replay
from citrus_grade.runtime import real
from citrus_grade.runtime.session import RunSummary, run_line
from citrus_grade.spectra_table import read
from citrus_grade.tables import FRUIT_SEEN

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "real_fruit.toml"
DATA = Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data")
SECONDS = 4.0

needs_data = pytest.mark.skipif(
    not (DATA / "images").is_dir(),
    reason=f"the published pictures and spectra are not in {DATA}; name their folder by {DATA_VARIABLE}",
)


@dataclass(frozen=True)
class Run:
    """A run and what it left behind, joined by lane and cup."""

    path: Path
    summary: RunSummary
    said: dict[str, NDArray[Any]]
    true: dict[str, NDArray[Any]]


def columns(path: Path) -> dict[str, NDArray[Any]]:
    table = pq.read_table(path).sort_by([("lane", "ascending"), ("cup", "ascending")])
    return {name: table[name].to_numpy() for name in table.column_names}


def run(toml: Path, path: Path, profile: str) -> Run:
    summary = run_line(toml, path, profile=profile, seconds=SECONDS)
    true, said = columns(path / "truth.parquet"), columns(path / "fruit.parquet")
    kept = said["cup"] <= true["cup"].max()
    said = {name: column[kept] for name, column in said.items()}
    assert np.array_equal(said["cup"], true["cup"])
    assert np.array_equal(said["lane"], true["lane"])
    return Run(path, summary, said, true)


AXIS_NM = np.arange(600.0, 1101.0, 5.0)


def draw_fruit(folder: Path, name: str, across_px: int, views: int = 12) -> None:
    """Draw an orange spheroid whose dark spot travels down from view to view, and a remnant of a bluish roller above it."""
    (folder / name).mkdir(parents=True)
    side = across_px + 30
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(x / (across_px / 2), y / (0.9 * across_px / 2))
    light = np.sqrt(np.clip(1 - 0.8 * radius**2, 0.05, 1))
    for view in range(views):
        bgr = np.zeros((side, side, 3))
        bgr[np.abs(y + across_px / 2) < 12] = 50, 40, 38
        bgr[radius < 1] = (light[..., None] * (50, 130, 200))[radius < 1]
        spot_y = 0.7 * across_px / 2 * (2 * view / (views - 1) - 1)
        bgr[np.hypot(x, y - spot_y) < 5] = 35, 40, 45
        assert cv2.imwrite(str(folder / name / f"im{view:02d}.png"), bgr.round().astype(np.uint8))


def write_spectra(path: Path, n: int = 90) -> None:
    """Write reflectance of a constituent in a ground that is always there, and its share in per cent."""
    rng = np.random.default_rng(3)
    share = rng.uniform(10, 20, n)
    band = np.exp(-0.5 * ((AXIS_NM - 960) / 25) ** 2) + 0.4 * np.exp(-0.5 * ((AXIS_NM - 760) / 20) ** 2)
    ground = 0.5 + 0.3 * np.exp(-0.5 * ((AXIS_NM - 680) / 40) ** 2)
    slope = rng.normal(0, 0.05, (n, 1)) * (AXIS_NM - 850) / 250
    absorbance = ground + 0.1 * rng.random((n, 1)) + slope + 0.02 * share[:, None] * band + rng.normal(0, 2e-4, (n, len(AXIS_NM)))
    spectra = {f"{nm:g}": column for nm, column in zip(AXIS_NM, (10**-absorbance).T, strict=True)}
    study = np.where(np.arange(n) < 60, "first", "second")
    pyarrow.csv.write_csv(pa.table({"study": study, "share": share, **spectra}), path)


SOURCE = """
[source]
driver = "files"
data = "{data}"
fill = 0.8

[[source.pictures]]
folder = "fruit"
assumed_diameter_mm = 60

[source.spectra]
table = "spectra.csv"
column = "share"
target = "share_pct"
split_column = "study"
train = "first"
held_out = "second"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three fruit and ninety spectra."""
    data = tmp_path_factory.mktemp("data")
    for name, across_px in (("obj0001", 150), ("obj0002", 170), ("obj0004", 195)):
        draw_fruit(data / "fruit", name, across_px)
    write_spectra(data / "spectra.csv")
    return data


def two_lanes(data: Path) -> str:
    """Return the example line with two lanes and the data made here."""
    text = EXAMPLE.read_text(encoding="utf-8").partition("[source]")[0] + SOURCE.format(data=data.as_posix())
    for old, new in (
        ("lanes = 6 ", "lanes = 2 "), ("lanes = 6\n", "lanes = 2\n"), ("height_px = 768", "height_px = 256"),
        ("[64, 192, 320, 448, 576, 704]", "[64, 192]"),
    ):  # fmt: skip
        text = text.replace(old, new)
    return text


PLAN = """
name = "test"
[[rule]]
grade = "rich"
outlets = ["1", "2"]
share_pct = { min = 15 }
[[rule]]
grade = "poor"
outlets = ["3"]
"""


def written(folder: Path, text: str) -> Path:
    (folder / "real_plan.toml").write_text(PLAN, encoding="utf-8")
    (folder / "line.toml").write_text(text, encoding="utf-8")
    return folder / "line.toml"


@pytest.fixture(scope="module")
def small_line(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared line of two lanes, the second a fifth of a pitch ahead."""
    text = (
        two_lanes(made).replace("lead_ms", "lane_phase_cups = [0.0, 0.2]\nlead_ms").replace("width_px = 1024", "width_px = 1088")
    )
    toml = written(tmp_path_factory.mktemp("line"), text.replace("window_x_px = 64", "window_x_px = 96"))
    real.prepare(load(toml), toml.parent)
    return toml


@pytest.fixture(scope="module", params=["full", "normal"])
def small(request: pytest.FixtureRequest, small_line: Path) -> Run:
    """A short run of it."""
    return run(small_line, small_line.parent / request.param, request.param)


def test_a_run_of_files_replays_equal(small: Run) -> None:
    report = replay(small.path)
    assert report.diff_fields == 0
    assert report.compared == small.summary.cups > 100
    assert not small.summary.alarms


def test_every_fruit_and_every_empty_cup_is_recognised(small: Run) -> None:
    assert np.array_equal(small.said["state"] == FRUIT_SEEN, small.true["load"] == 1)
    assert np.array_equal(small.said["reason"] == "empty", small.true["load"] == 0)
    assert (small.said["fruit_views"][small.true["load"] == 1] == 8).all()


def test_every_fruit_falls_where_it_was_sent(small: Run) -> None:
    fruit = small.true["load"] == 1
    sent = {"1": 0, "2": 1, "3": 2, "default": -1}
    assert np.array_equal([sent[name] for name in small.said["outlet"][fruit]], small.true["fell"][fruit])


def test_drawn_fruit_measure_what_they_were_drawn_with(small: Run) -> None:
    fruit = small.true["load"] == 1
    known = np.unique(small.true["diameter_mm"][fruit])
    assert known == pytest.approx([60 * 150 / 170, 60, 60 * 195 / 170], rel=0.01)
    assert np.abs(small.said["diameter_mm"] - small.true["diameter_mm"])[fruit].max() < 1.0


def test_the_spectra_give_the_constituent_of_samples_held_out(small: Run) -> None:
    fruit = small.true["load"] == 1
    assert (small.said["scans_received"][fruit] == 8).all()
    assert small.true["sample"][fruit].min() >= 60
    assert np.corrcoef(small.said["share_pct"][fruit], small.true["share_pct"][fruit])[0, 1] > 0.98


def opened(made: Path, seed: int = 1) -> FilesPlant:
    return open_line(parse(two_lanes(made)), seed=seed, seconds=2)


def test_a_seed_gives_the_same_messages_again(made: Path) -> None:
    def bits(plant: FilesPlant) -> list[bytes]:
        sensed = [m for m in plant.messages() if isinstance(m, Frame | Scans)]
        return [(m.mosaic if isinstance(m, Frame) else m.counts).tobytes() for m in sensed]

    first = bits(opened(made))
    assert first == bits(opened(made))
    assert first != bits(opened(made, seed=2))


def test_the_skin_travels_downstream(made: Path) -> None:
    """The spot goes down in the pictures, so it goes along the belt, against its fruit, on the line."""
    plant = opened(made)
    row = next(row for row in plant.table[0] if row["load"] == 1)
    frames = {m.seq: m.mosaic for m in plant.messages() if isinstance(m, Frame)}
    camera, along = plant.config.camera[0], []
    for window in range(camera.windows):
        centre = int(camera.window_x_px + 128 * window + camera.px_per_mm * row["seat_x_mm"])
        red = frames[int(row["cup"]) + 4 + window][0:128:2, :][:, 0::2].astype(float)  # red pixels of the first lane
        near = slice(centre // 2 - 12, centre // 2 + 13)
        middle = round((camera.lane_y_px[0] + camera.px_per_mm * row["seat_y_mm"]) / 2)
        along.append(int(np.argmin(red[middle - 1 : middle + 2, near].mean(axis=0))))
    assert np.all(np.diff(along[2:7]) > 0)


@pytest.mark.parametrize(("bayer", "shape"), [("rgb", (256, 1024, 3)), ("mono", (256, 1024))])
def test_cameras_with_all_colours_and_with_none_see_the_same_fruit(made: Path, bayer: str, shape: tuple[int, ...]) -> None:
    text = two_lanes(made)
    plain, other = (open_line(parse(t), seconds=1) for t in (text, text.replace('bayer = "RGGB"', f'bayer = "{bayer}"')))
    one, two = ([m.mosaic for m in plant.messages() if isinstance(m, Frame)][9].astype(float) for plant in (plain, other))
    assert two.shape == shape
    assert np.corrcoef(one[0::2, 1::2].ravel(), (two[..., 1] if bayer == "rgb" else two)[0::2, 1::2].ravel())[0, 1] > 0.98


def test_what_exists_is_not_made_again(made: Path, tmp_path: Path) -> None:
    toml = written(tmp_path, two_lanes(made))
    real.prepare(load(toml), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "real").rglob("*.npz")}
    assert len(before) == 2
    real.prepare(load(toml), tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "real").rglob("*.npz")}


def test_the_mask_holds_dark_spots_and_leaves_rollers() -> None:
    rgb = np.zeros((60, 60, 3), np.uint8)
    rgb[:20] = 40, 42, 52
    y, x = np.mgrid[:60, :60]
    fruit = np.hypot(x - 30, y - 32) < 20
    rgb[fruit] = 180, 120, 40
    rgb[30:34, 28:32] = 30, 32, 30
    assert np.array_equal(fruit_mask(rgb).astype(bool), fruit)
    assert not fruit_mask(np.zeros((60, 60, 3), np.uint8)).any()


@pytest.mark.parametrize(("n", "views"), [(16, 8), (12, 8), (8, 8), (9, 8), (3, 8), (1, 4), (5, 1)])
def test_views_are_spread_over_the_pictures_in_order(n: int, views: int) -> None:
    for start in range(spare_views(n, views) + 1):
        picked = pick_views(n, views, start)
        assert len(picked) == views
        assert picked.min() >= 0
        assert picked.max() < n
        assert np.all(np.diff(picked) >= (1 if n >= views + 2 else 0))


def no_pictures(data: Path) -> None:
    shutil.rmtree(data / "fruit")


def empty_folder(data: Path) -> None:
    shutil.rmtree(data / "fruit")
    (data / "fruit").mkdir()


def fruit_without_views(data: Path) -> None:
    (data / "fruit" / "obj0003").mkdir()


def broken_picture(data: Path) -> None:
    (data / "fruit" / "obj0001" / "im03.png").write_bytes(b"no picture")


def black_picture(data: Path) -> None:
    assert cv2.imwrite(str(data / "fruit" / "obj0001" / "im03.png"), np.zeros((50, 50, 3), np.uint8))


def no_table(data: Path) -> None:
    (data / "spectra.csv").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (no_pictures, "there is no folder .*fruit"),
        (empty_folder, "holds no folder obj"),
        (fruit_without_views, "obj0003 holds no views"),
        (broken_picture, "im03.png cannot be read"),
        (black_picture, "im03.png shows no fruit"),
        (no_table, "spectra.csv: cannot be read"),
    ],
)
def test_data_that_cannot_be_used_are_named(made: Path, tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    data = Path(shutil.copytree(made, tmp_path / "data"))
    harm(data)
    with pytest.raises(ConfigError, match=said):
        open_line(parse(two_lanes(data)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('column = "share"', 'column = "brix"', "no column 'brix'; there are study, share"),
        ('column = "share"', 'column = "study"', "column 'study' holds text"),
        ('held_out = "second"', 'held_out = "third"', "no row has 'third' in 'study'; there are first, second"),
        ("[600, 1100]", "[500, 1100]", "holds 600-1100 nm, not 500-1100 nm"),
        ("fill = 0.8", "fill = 1.8", "fill: 1.8: .*at most 1"),
        ("fill = 0.8", "full = 0.8", "full: unknown key"),
        ("assumed_diameter_mm = 60", "", "assumed_diameter_mm: is missing"),
        ('target = "share_pct"', 'target = "Share %"', "spectra.target: 'Share %'"),
        ("[source.spectra]", "[source.spectrum]", "belong together|unknown key"),
    ],
)
def test_a_bad_source_says_what_is_wrong(made: Path, old: str, new: str, said: str) -> None:
    text = two_lanes(made)
    assert old in text
    with pytest.raises(ConfigError, match=said):
        open_line(parse(text.replace(old, new)))


def test_a_missing_data_folder_says_what_to_do(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = two_lanes(tmp_path / "gone")
    with pytest.raises(ConfigError, match=f"there is no folder .*gone; .* by data in .source. or .* {DATA_VARIABLE}"):
        open_line(parse(gone))
    unnamed = parse("\n".join(line for line in gone.splitlines() if not line.startswith("data =")))
    monkeypatch.setenv(DATA_VARIABLE, str(made))
    assert open_line(unnamed).options.data_folder == made


def test_too_few_spectra_make_no_model(made: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(made, tmp_path / "data"))
    table = pyarrow.csv.read_csv(data / "spectra.csv")
    pyarrow.csv.write_csv(table.take([0, 88, 89]), data / "spectra.csv")
    with pytest.raises(ConfigError, match=r"no model can be fitted to 'first' of spectra\.csv"):
        real.prepare(parse(two_lanes(data)), tmp_path)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, prepared."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copy(EXAMPLE.with_name("real_plan.toml"), folder)
    text = EXAMPLE.read_text(encoding="utf-8").replace('# data = "../shared/data"', f'data = "{DATA.as_posix()}"')
    (folder / "line.toml").write_text(text, encoding="utf-8")
    real.prepare(load(folder / "line.toml"), folder)
    return folder / "line.toml"


@pytest.fixture(scope="module", params=["full", "normal"])
def published(request: pytest.FixtureRequest, example: Path) -> Run:
    """A short run of the example."""
    return run(example, example.parent / request.param, request.param)


@needs_data
def test_real_fruit_replay_equal(published: Run) -> None:
    report = replay(published.path)
    assert report.diff_fields == 0
    assert report.compared == published.summary.cups
    assert not published.summary.alarms


@needs_data
def test_every_real_fruit_and_every_empty_cup_is_recognised(published: Run) -> None:
    assert np.array_equal(published.said["state"] == FRUIT_SEEN, published.true["load"] == 1)
    assert np.array_equal(published.said["reason"] == "empty", published.true["load"] == 0)


@needs_data
def test_a_real_fruit_measures_the_same_in_every_cup(published: Run) -> None:
    fruit = published.true["load"] == 1
    for number in np.unique(published.true["object"][fruit]):
        mm = published.said["diameter_mm"][fruit & (published.true["object"] == number)]
        assert mm.std() / mm.mean() < 0.015


@needs_data
def test_real_spectra_give_the_dry_matter_of_roots_held_out(published: Run) -> None:
    fruit = published.true["load"] == 1
    study = read(DATA / "nir" / "cassava_fresh_dm" / "data.parquet").column("study.name")
    assert set(study[published.true["sample"][fruit]]) == {"C16Mval"}
    known, said = published.true["dry_matter_pct"][fruit], published.said["dry_matter_pct"][fruit]
    assert np.corrcoef(known, said)[0, 1] > 0.8
