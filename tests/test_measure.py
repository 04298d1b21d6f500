"""Photographs of anything, measured: SIMULATED fruit of known sizes on several grounds, and published pictures where they are."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from benchmarks.photos import GROUNDS, Photo, board, photograph
from citrus_grade.cli import main
from citrus_grade.drivers.files_options import DATA_VARIABLE
from citrus_grade.drivers.sim.orchard import grow
from citrus_grade.measure.find import find
from citrus_grade.measure.measure import COLUMNS, Measured, measure
from citrus_grade.measure.photo import expand, load
from citrus_grade.measure.scale import Board, Known
from citrus_grade.words import Refused, set_language

ROOT = Path(__file__).parents[1]
IMAGES = Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data") / "images"
PX_PER_MM = 3.0
APART = ((150, 150), (360, 160), (560, 150), (250, 380), (470, 390))
TOUCHING = tuple((150 + 186 * i + 93 * (j % 2), 150 + 161 * j) for j in range(2) for i in range(3))

needs_pictures = pytest.mark.skipif(
    not IMAGES.is_dir(), reason=f"the published pictures are not in {IMAGES}; name their folder by {DATA_VARIABLE}"
)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    set_language("en")
    yield
    set_language("en")


def take(ground: str, places: Any = APART, **fields: Any) -> Photo:
    return photograph(11, ground, places, px_per_mm=PX_PER_MM, size_px=(540, 720), **fields)


def save(path: Path, picture: NDArray[Any]) -> Path:
    """Write a picture, red first or grey, as the suffix says, whatever letters the path has."""
    bgr = picture[..., ::-1] if picture.ndim == 3 else picture
    cv2.imencode(path.suffix, np.ascontiguousarray(bgr))[1].tofile(path)
    return path


def seen(measured: Measured, photo: Photo) -> list[tuple[dict[str, Any], int]]:
    """Return each row with the fruit of the photograph it is of."""
    rows = [dict(row) for row in measured.rows]
    at = np.array([[row["x_px"], row["y_px"]] for row in rows], np.float64)
    return [(row, int(np.hypot(*(photo.centre_px - xy).T).argmin())) for row, xy in zip(rows, at, strict=True)]


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("places", [APART, TOUCHING], ids=["apart", "touching"])
def test_every_fruit_is_found_and_as_large_as_it_is(tmp_path: Path, ground: str, places: Any) -> None:
    fruit = grow(11, len(places))
    fruit["diameter_mm"], fruit["height_mm"] = 62.0, 55.0
    photo = take(ground, places, fruit=fruit if places is TOUCHING else None)
    pairs = seen(measure(save(tmp_path / "a.png", photo.rgb), Known(1 / PX_PER_MM)), photo)
    assert sorted(k for _, k in pairs) == list(range(len(places)))
    for row, k in pairs:
        major_mm, minor_mm = photo.axes_px[k] / PX_PER_MM
        assert abs(row["diameter_mm"] - major_mm) < min(0.5, 3 * row["diameter_mm_sigma"])
        assert abs(row["height_mm"] - minor_mm) < 0.7
        assert abs(row["height_mm"] - photo.fruit["height_mm"][k]) < 4 * row["height_mm_sigma"]
        assert np.hypot(row["x_px"] - photo.centre_px[k, 0], row["y_px"] - photo.centre_px[k, 1]) < 2


def test_a_fruit_cut_by_the_edge_is_told_of_and_not_measured(tmp_path: Path) -> None:
    measured = measure(save(tmp_path / "a.png", take("paper", ((200, 200), (700, 300))).rgb))
    assert (len(measured.rows), len(measured.cut), measured.problems) == (1, 1, ())
    alone = measure(save(tmp_path / "b.png", take("paper", ((700, 300),)).rgb))
    assert alone.rows == ()
    assert "cut by the picture's edge" in alone.problems[0]


def test_a_turned_photograph_measures_the_same(tmp_path: Path) -> None:
    photo = take("leaves", ((200, 200), (500, 330)))
    way = [measure(save(tmp_path / f"{k}.png", np.ascontiguousarray(np.rot90(photo.rgb, k)))) for k in range(2)]
    sizes = [sorted(float(row["diameter_px"]) for row in measured.rows) for measured in way]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.003)


def test_mass_follows_size_and_density(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", take("belt", ((200, 200),)).rgb)
    light, heavy = (measure(path, Known(1 / PX_PER_MM), density).rows[0] for density in (0.8, 1.0))
    volume_ml = np.pi / 6 * float(light["diameter_mm"]) ** 2 * float(light["height_mm"]) / 1000
    assert light["mass_g"] == pytest.approx(0.8 * volume_ml, rel=1e-3)
    assert heavy["mass_g"] == pytest.approx(volume_ml, rel=1e-3)
    assert float(light["mass_g_sigma"]) > 0.03 / 0.8 * float(light["mass_g"]) * 0.99


def test_without_a_scale_sizes_are_in_pixels(tmp_path: Path) -> None:
    row = measure(save(tmp_path / "a.png", take("belt", ((200, 200),)).rgb)).rows[0]
    assert float(row["diameter_px"]) > 100
    assert all(np.isnan(float(row[name + end])) for name in ("diameter_mm", "height_mm", "mass_g") for end in ("", "_sigma"))


def test_a_board_gives_the_scale(tmp_path: Path) -> None:
    square_px = 45
    photo = take("wood", ((450, 150), (300, 420), (560, 400)), under=board(4, 5, square_px))
    path = save(tmp_path / "a.png", photo.rgb)
    measured = measure(path, Board(4, 5, square_px / PX_PER_MM))
    for row, k in seen(measured, photo):
        assert row["diameter_mm"] == pytest.approx(photo.axes_px[k, 0] / PX_PER_MM, abs=0.4)
        assert float(row["diameter_mm_sigma"]) > 0.009 * float(row["diameter_mm"])
    other = measure(path, Board(7, 9, 15.0))
    assert "other squares than 7 x 9" in other.problems[0]
    assert len(other.rows) == 3
    assert np.isnan(float(other.rows[0]["diameter_mm"]))


def test_a_board_that_is_not_there_is_missed(tmp_path: Path) -> None:
    measured = measure(save(tmp_path / "a.png", take("paper", ((200, 200),)).rgb), Board(5, 7, 20.0))
    assert "no board found (0 markers seen, 4 needed)" in measured.problems[0]
    assert len(measured.rows) == 1


@pytest.mark.parametrize(("text", "board_"), [("5x7x30", Board(5, 7, 30.0)), ("11X8×12.5", Board(11, 8, 12.5))])
def test_a_board_is_named_by_its_squares(text: str, board_: Board) -> None:
    assert Board.parse(text) == board_


@pytest.mark.parametrize("text", ["5x7", "5x7x", "axbxc", "5x7x0", "1x7x20", "5x7xnan", ""])
def test_what_names_no_board_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own words differ from case to case
        Board.parse(text)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_paths_may_be_in_any_letters(tmp_path: Path, suffix: str) -> None:
    photo = take("paper", ((200, 200),))
    (tmp_path / "橘子 Äpfel").mkdir()
    path = save(tmp_path / "橘子 Äpfel" / f"蜜柑{suffix}", photo.rgb)
    rgb = load(path).rgb
    assert np.abs(rgb.astype(int) - photo.rgb).mean() < 3


@pytest.mark.parametrize("bits", [12, 16])
def test_deeper_pictures_are_brought_to_eight_bits(tmp_path: Path, bits: int) -> None:
    photo = take("belt", ((200, 200),))
    deep = photo.rgb.astype(np.uint16) << (bits - 8)
    assert np.array_equal(load(save(tmp_path / "a.tif", deep)).rgb, photo.rgb)


@pytest.mark.parametrize("ground", ["paper", "belt"])
def test_a_grey_picture_has_sizes_and_no_colour(tmp_path: Path, ground: str) -> None:
    photo = take(ground, ((200, 200), (500, 330)))
    measured = measure(save(tmp_path / "a.png", photo.rgb[..., 1]), Known(1 / PX_PER_MM))
    assert len(measured.rows) == 2
    for row, k in seen(measured, photo):
        assert row["diameter_mm"] == pytest.approx(photo.axes_px[k, 0] / PX_PER_MM, abs=0.5)
        assert np.isnan(row["green_pct"])


def test_nothing_is_found_where_there_is_no_fruit(tmp_path: Path) -> None:
    for ground in ("paper", "belt", "wood", "leaves"):
        measured = measure(save(tmp_path / f"{ground}.png", take(ground, ()).rgb))
        assert measured.rows == ()
        assert "no fruit found" in measured.problems[0]


def test_a_green_fruit_is_greener(tmp_path: Path) -> None:
    green = []
    for share in (0.0, 1.0):
        photo = take("paper", ((200, 200),))
        photo.fruit["green_share"] = share
        again = take("paper", ((200, 200),), fruit=photo.fruit)
        green.append(float(measure(save(tmp_path / f"{share}.png", again.rgb)).rows[0]["green_pct"]))
    assert green[0] < 20 < 60 < green[1]


def test_folders_give_their_pictures_and_no_others(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in expand([tmp_path, tmp_path / "a.png"])] == ["a.png", "b.JPG"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "folder").mkdir()
    for name, said in (
        ("empty.png", "not readable"),
        ("text.jpg", "not readable"),
        ("gone.png", "no such file"),
        ("folder", "no picture"),
    ):
        with pytest.raises(Refused, match=said):
            load(tmp_path / name)


def here(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main.main(["measure", *args])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_verb_writes_tables_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png", take("paper", ((200, 200), (500, 330))).rgb)
    save(tmp_path / "in" / "a.jpg", take("belt", ((200, 200),)).rgb)
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    to = tmp_path / "out"
    code, said, errors = here(capsys, str(tmp_path / "in"), "--mm-per-px", "0.3333", "--out", str(to))
    assert code == 1  # one photograph could not be read, the others are not lost
    assert "3 fruit measured in 3 photographs" in said
    assert errors.count("\n") == 1
    assert "bad.png: not readable" in errors
    with (to / "fruit.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(to / "fruit.parquet")
    assert tuple(rows[0]) == tuple(table.column_names) == COLUMNS
    assert [float(row["diameter_mm"]) for row in rows] == table["diameter_mm"].to_pylist()
    pictures = sorted(path.name for path in to.glob("*.png"))
    assert len(pictures) == 2
    assert all(min(load(to / name).rgb.shape[:2]) > 500 for name in pictures)
    again, _, errors = here(capsys, str(tmp_path / "in"), "--out", str(to))
    assert again == 2
    assert "nothing is overwritten" in errors


def test_the_verb_speaks_to_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.png", take("paper", ((200, 200), (700, 300))).rgb)
    code, said, errors = here(capsys, str(path), "--json")
    data = json.loads(said)
    assert (code, errors) == (0, "")
    assert [row["fruit"] for row in data["fruit"]] == [1]
    assert data["fruit"][0]["diameter_mm"] is None
    assert data["photos"] == [{"file": str(path), "fruit": 1, "cut": 1, "unclear": 0, "problems": []}]


def test_the_verb_says_what_a_scale_would_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.png", take("paper", ((200, 200),)).rgb)
    code, said, _ = here(capsys, str(path))
    assert code == 0
    assert {"diameter", "px"} <= set(said.split())
    assert "no scale given, so sizes are in pixels; give --mm-per-px" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--board", "5x7"], "5x7x30"),
        (["--board", "5x7x30", "--mm-per-px", "0.2"], "give one of them"),
        (["--mm-per-px", "0"], "is not a number above zero"),
        (["--density", "heavy"], "is not a number above zero"),
    ],
)
def test_options_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    code, _, errors = here(capsys, "a.png", *options)
    assert code == 2
    assert said in errors


@needs_pictures
def test_published_lemons_are_each_one_fruit() -> None:
    for path in sorted((IMAGES / "lemon-defects").glob("*.png")):
        measured = measure(path)
        assert len(measured.rows) == 1, path.name
        mask = load(path).rgb.max(axis=2) > 40
        y, x = np.nonzero(mask)
        assert np.hypot(float(measured.rows[0]["x_px"]) - x.mean(), float(measured.rows[0]["y_px"]) - y.mean()) < 30
        assert 0.9 < float(measured.rows[0]["diameter_px"]) / (2 * np.sqrt(mask.sum() / np.pi)) < 1.35


@needs_pictures
@pytest.mark.parametrize("name", ["mandarin-views", "orange-views"])
def test_views_of_one_published_fruit_agree_on_its_diameter(name: str) -> None:
    for folder in sorted((IMAGES / name).glob("obj*"))[:2]:
        found = [measure(path) for path in sorted(folder.glob("im*.png"))[::3]]
        # The cut-outs end with their fruit: what touches the picture's edge a little too much counts as cut.
        sizes = [float(one.rows[0]["diameter_px"]) for one in found if one.rows]
        assert len(sizes) >= len(found) - 1
        assert np.std(sizes) < 0.02 * np.mean(sizes)


@needs_pictures
def test_a_published_stem_end_is_where_it_was_marked() -> None:
    folder = IMAGES / "orange-views"
    marked = json.loads((folder / "labels.json").read_text())
    off = []
    for fruit, views in marked.items():
        for view, label in views.items():
            path = folder / fruit / f"{view}.png"
            if label.get("stem") and path.is_file():
                row = measure(path).rows
                if row and np.isfinite(float(row[0]["stem_x_px"])):
                    stem = label["stem"]
                    off.append(np.hypot(float(row[0]["stem_x_px"]) - stem["x"], float(row[0]["stem_y_px"]) - stem["y"]))
    assert len(off) > 5
    assert np.median(off) < 12


def test_found_fruit_lie_in_reading_order() -> None:
    photo = take("belt")
    found = find(photo.rgb)
    assert np.allclose([(one.x_px, one.y_px) for one in found], photo.centre_px, atol=4)
