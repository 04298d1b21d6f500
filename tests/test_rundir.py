"""What a line may be loaded with, and what is refused before anything moves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from citrus_grade import artefacts
from citrus_grade.artefacts import ArtefactError
from citrus_grade.calibration_set import KIND, CalibrationSet
from citrus_grade.config import load
from citrus_grade.rundir import load_calibration, with_value
from citrus_grade.templates import LINE


@pytest.mark.parametrize(("name", "value"), [("white", np.nan), ("white", 0.0), ("dark", np.inf), ("scale", np.nan)])
def test_a_calibration_that_no_lamp_gives_is_refused(tmp_path: Path, name: str, value: float) -> None:
    line = load(LINE)
    nominal = CalibrationSet.nominal(line)
    spoiled = np.array(getattr(nominal, name))
    spoiled[2, 1] = value
    artefacts.save(tmp_path / "calibration", KIND, {}, replace(nominal, **{name: spoiled}).arrays())
    with pytest.raises(ArtefactError, match="measure the references again"):
        load_calibration(tmp_path / "calibration", line)


def test_a_sound_calibration_is_loaded(tmp_path: Path) -> None:
    line = load(LINE)
    artefact_id = artefacts.save(tmp_path / "calibration", KIND, {}, CalibrationSet.nominal(line).arrays())
    assert load_calibration(tmp_path / "calibration", line).id == artefact_id


def test_a_value_is_set_in_its_section_and_nothing_else_changes() -> None:
    text = '[a]\nx = 1\n\n[source]\ndriver = "files"  # which\ndata = "old"\n\n[[source.pictures]]\nfolder = "p"\n'
    changed = with_value(text, "source", "data", "new")
    assert changed.count("data =") == 1
    assert 'data = "new"' in changed
    assert changed.replace('data = "new"\n', "") == text.replace('data = "old"\n', "")
