"""Colours learnt from labelled pixels."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest

from citrus_grade.artefacts import load, save
from citrus_grade.calibration_set import KIND, CalibrationSet
from citrus_grade.imaging import colour
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame
from citrus_grade.models.colour import CLASSIFIERS, ColourError, bake, classifier, fit_colour, read_pixels
from citrus_grade.runtime.training import train_colour
from citrus_grade.tables import COLOURS, FRUIT_SEEN

SKIN = {"orange": (214, 129, 60), "yellow_green": (170, 160, 66), "brown": (70, 38, 20)}


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def pixels(path, n=60, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for name, rgb in SKIN.items():
        for k in range(n):
            red, green, blue = np.clip(np.array(rgb) * rng.uniform(0.8, 1.2) + rng.normal(0, 4, 3), 0, 255).round()
            rows.append({"red": red, "green": green, "blue": blue, "colour": name, "group": k % 6})
    return write(path, rows)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_any_classifier_is_baked_into_a_table_that_says_what_it_says(tmp_path, name):
    labelled = read_pixels(pixels(tmp_path / "pixels.csv"))
    baked = fit_colour(labelled, classifier(name))
    assert baked.accuracy > 0.95
    assert baked.confusion.sum() == len(labelled.rgb)
    fitted = classifier(name).fit(labelled.rgb.astype(float), labelled.colour)
    middle = (labelled.rgb >> 3).astype(int)
    cell = middle[:, 0] << 10 | middle[:, 1] << 5 | middle[:, 2]
    assert (baked.lut[cell] == fitted.predict((middle + 0.5) * 8)).all()


def test_a_table_of_the_rules_keeps_hue_and_names():
    lut = colour.table()
    assert ((lut & 255) == colour.names()).all()
    red_yellow_green = [31 << 10, 31 << 10 | 31 << 5, 31 << 5]
    assert (lut[red_yellow_green] >> 8).tolist() == pytest.approx([0, 60, 120], abs=2)


def test_discs_of_pictures_give_their_pixels(tmp_path):
    picture = np.zeros((60, 90, 3), np.uint8)
    for k, rgb in enumerate(SKIN.values()):
        picture[:, 30 * k : 30 * k + 30] = rgb[::-1]
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    rows = [
        {"file": name, "x": 15 + 30 * k, "y": 30, "r": 8, "colour": which}
        for name in ("a.png", "b.png")
        for k, which in enumerate(SKIN)
    ]
    labelled = read_pixels(write(tmp_path / "discs.csv", rows))
    assert len(np.unique(labelled.group)) == 2
    for which, rgb in SKIN.items():
        own = labelled.rgb[labelled.colour == COLOURS.index(which)]
        assert len(own) > 300
        assert (own == rgb).all()


def one_wrong(**fields):
    good = {"red": 200, "green": 120, "blue": 60, "colour": "orange", "group": 1}
    return [good] * 30 + [{**good, **fields}]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (one_wrong(red=300), ("line 32", "red", "300")),
        (one_wrong(red="x"), ("line 32", "red", "x")),
        (one_wrong(colour="orang"), ("line 32", "orang", "deep_orange")),
        (one_wrong(colour="green"), ("green (1)", "20")),
        (one_wrong(), ("only one colour",)),
        ([{"r": 1, "g": 2}], ("red, green, blue, colour", "g, r")),
    ],
)
def test_what_is_wrong_with_labels_is_said_with_its_place(tmp_path, rows, words):
    with pytest.raises(ColourError) as error:
        read_pixels(write(tmp_path / "pixels.csv", rows))
    for word in (*words, "pixels.csv"):
        assert word in str(error.value)


def test_a_baked_table_holds_only_the_colours_that_were_labelled(tmp_path):
    labelled = read_pixels(pixels(tmp_path / "pixels.csv"))
    lut = bake(classifier("logistic").fit(labelled.rgb.astype(float), labelled.colour))
    assert set(lut.tolist()) <= {COLOURS.index(name) for name in SKIN}


def test_a_line_names_colours_as_its_calibration_set_does(loaded):
    config = loaded.config
    grey = np.full(1 << 15, COLOURS.index("grey"), np.uint8)
    pixels = np.zeros((config.camera[0].height_px, config.camera[0].width_px), np.uint8)
    pixels[0::2, 0::2], pixels[0::2, 1::2], pixels[1::2, 0::2] = 60, 60, 60
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    pixels[(rows - config.camera[0].lane_y_px[0]) ** 2 + (columns - config.camera[0].window_x_px) ** 2 > 40**2] = 10
    frame = Frame(0, 0, 20 * 4096, 0, pixels)
    own = Imager.of(config, config.camera[0], replace(loaded.calibration, colour=grey))(frame).rows
    assert own["state"].max() == FRUIT_SEEN
    assert own["colour_cells"].sum() == own["colour_cells"][:, COLOURS.index("grey")].sum() > 0


def test_a_calibration_set_with_colours_is_read_as_it_was_learnt(tmp_path, loaded):
    save(tmp_path / "calibration", KIND, {}, loaded.calibration.arrays())
    baked, calibration_id = train_colour(pixels(tmp_path / "pixels.csv"), tmp_path / "calibration", "logistic", tmp_path / "new")
    learnt = CalibrationSet.of(load(tmp_path / "new", KIND))
    assert learnt.id == calibration_id
    assert (learnt.colour == baked.lut).all()
    assert (learnt.scale == loaded.calibration.scale).all()
