"""Tables of spectra: what a CSV, a Parquet file and an NPZ may look like, and what is said of one that cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from citrus_grade.spectra_table import SpectraTableError, read

NM = np.array([650.0, 651.5, 700.0])
SPECTRA = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
COLUMNS: dict[str, Any] = {
    "name": ["a", "b"],
    "brix": [11.5, None],
    "700": SPECTRA[:, 2],
    "650": SPECTRA[:, 0],
    "651.5": SPECTRA[:, 1],
}


def written(folder: Path, suffix: str, columns: dict[str, Any]) -> Path:
    path = folder / f"table{suffix}"
    if suffix == ".csv":
        pyarrow.csv.write_csv(pa.table(columns), path)
    elif suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table(columns), path)
    else:
        np.savez(path, **{name: np.array([np.nan if v is None else v for v in column]) for name, column in columns.items()})
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_headers_that_are_numbers_are_wavelengths(tmp_path: Path, suffix: str) -> None:
    table = read(written(tmp_path, suffix, COLUMNS))
    assert np.array_equal(table.wavelength_nm, NM)
    assert np.array_equal(table.spectra, SPECTRA)
    assert table.column("name").tolist() == ["a", "b"]
    assert np.array_equal(table.numbers("brix"), [11.5, np.nan], equal_nan=True)


def test_a_matrix_brings_its_axis_and_named_references(tmp_path: Path) -> None:
    path = tmp_path / "several.npz"
    names = np.array(["moisture", "fat"])
    np.savez(path, near=SPECTRA, near_wl=NM, far=SPECTRA + 1, far_wl=NM[::-1], y=[[1.0, 2.0], [3.0, 4.0]], y_names=names)
    table = read(path, "far")
    assert np.array_equal(table.wavelength_nm, NM)
    assert np.array_equal(table.spectra, (SPECTRA + 1)[:, ::-1])
    assert table.numbers("fat").tolist() == [2.0, 4.0]
    with pytest.raises(SpectraTableError, match=r"name the matrix of spectra to take; there are far, near"):
        read(path)


def test_one_matrix_needs_no_name(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, spectra=SPECTRA, wavelength_nm=NM, brix=[11.5, 12.0])
    assert np.array_equal(read(path).spectra, SPECTRA)


def test_another_axis_is_interpolated_and_never_extrapolated(tmp_path: Path) -> None:
    table = read(written(tmp_path, ".csv", COLUMNS))
    assert np.allclose(table.on_axis(np.array([650.75]))[:, 0], [0.15, 0.45])
    with pytest.raises(SpectraTableError, match="holds 650-700 nm, not 600-700 nm"):
        table.on_axis(np.array([600.0, 700.0]))


@pytest.mark.parametrize(
    ("suffix", "columns", "said"),
    [
        (".csv", {"name": ["a"], "brix": [11.0]}, "no headers that are wavelengths"),
        (".csv", {"650": [0.1], "651": ["wet"]}, "column '651' holds text"),
        (".csv", {"650": [0.1], "650.0": [0.2]}, "650 nm stands twice"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path: Path, suffix: str, columns: dict[str, Any], said: str) -> None:
    path = written(tmp_path, suffix, columns)
    with pytest.raises(SpectraTableError, match=said):
        read(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    with pytest.raises(SpectraTableError, match=rf"table\{suffix}: cannot be read"):
        read(path)
    path.write_bytes(b"\x00 nothing of the kind")
    with pytest.raises(SpectraTableError, match=rf"table\{suffix}"):
        read(path)


def test_columns_are_asked_for_by_name(tmp_path: Path) -> None:
    table = read(written(tmp_path, ".csv", COLUMNS))
    with pytest.raises(SpectraTableError, match="no column 'Brix'; did you mean 'brix'"):
        table.numbers("Brix")
    with pytest.raises(SpectraTableError, match="'name' holds text"):
        table.numbers("name")
