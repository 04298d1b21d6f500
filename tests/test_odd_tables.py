"""Tables as people bring them: an odd cell, an odd header, an odd unit, rows that are only numbered."""

from pathlib import Path

import numpy as np
import pytest

from citrus_grade.cli.main import main
from citrus_grade.spectra_table import headers
from citrus_grade.spectra_table.signal import guess_kind
from citrus_grade.spectra_table.table import SpectraTable

NM = np.linspace(650, 1050, 81)


def _absorbance(n: int = 12) -> np.ndarray:
    """Water's band at 970 nm, on a slope, rows a little apart."""
    rng = np.random.default_rng(2)
    band = 0.35 * np.exp(-(((NM - 970) / 25) ** 2)) + 0.1 * np.exp(-(((NM - 840) / 30) ** 2))
    return 0.6 + 0.0004 * (NM - 650) + band + 0.03 * rng.standard_normal((n, 1)) + 0.001 * rng.standard_normal((n, len(NM)))


def _table(spectra: np.ndarray) -> SpectraTable:
    return SpectraTable(Path("x.csv"), NM, spectra, {}, tuple(map(str, range(len(spectra)))))


@pytest.mark.parametrize("cell", [9999.0, -9999.0, -0.0005])
def test_one_odd_cell_does_not_say_what_a_table_holds(cell: float) -> None:
    spectra = 10 ** -_absorbance()
    assert guess_kind(_table(spectra)).kind == "reflectance"
    spectra[3, 7] = cell
    assert guess_kind(_table(spectra)).kind == "reflectance"
    absorbance = _absorbance()
    absorbance[3, 7] = cell
    assert guess_kind(_table(absorbance)).kind == "absorbance"


def test_little_light_in_per_cent_is_no_absorbance() -> None:
    assert guess_kind(_table(20 * 10 ** -_absorbance())).kind == "reflectance"


@pytest.mark.parametrize("stray", [["2024"], ["1", "2"], ["1", "2024"]])
def test_a_number_far_from_all_others_is_no_wavelength(stray: list[str]) -> None:
    axis = [f"{nm:g}" for nm in NM]
    found = headers.bands(["id", *stray, *axis]).nm
    assert sorted(found.values()) == pytest.approx(NM)


@pytest.mark.parametrize("axis", [NM / 1000, 1e7 / NM])
def test_micrometres_and_wavenumbers_are_told_by_their_size(axis: np.ndarray) -> None:
    found = headers.bands([f"{value:.8g}" for value in axis]).nm
    assert sorted(found.values()) == pytest.approx(NM, rel=1e-6)


def test_a_few_filters_far_apart_are_all_wavelengths() -> None:
    assert len(headers.bands(["450", "650", "970", "1450", "1940", "2100"]).nm) == 6


def _write(path: Path, n: int) -> Path:
    rows = [",".join(["brix", *(f"{nm:g}" for nm in NM)])]
    rows += [",".join([f"{10 + k % 5}", *(f"{value:.5f}" for value in row)]) for k, row in enumerate(_absorbance(n))]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_what_would_be_written_over_or_makes_no_sense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = _write(tmp_path / "t.csv", 40)
    bundle = tmp_path / "model"
    train = ["train", "spectra", str(table), "--target", "brix", "--family", "pls", "--out", str(bundle)]
    assert main([*train, "--reference-error", "0.1", "--reference-error", "0.2"]) == 2
    assert "--reference-error: 0.1, 0.2" in capsys.readouterr().err
    assert main(train) == 0
    before = table.read_bytes()
    assert main(["predict", str(bundle), str(table), "--out", str(table)]) == 2
    assert table.read_bytes() == before
    short = _write(tmp_path / "short.csv", 38)
    assert main(["transfer", str(bundle), str(table), str(short), "--target", "brix", "--out", str(tmp_path / "moved")]) == 2
    assert "no ids in common" in capsys.readouterr().err
    assert not (tmp_path / "moved").exists()
