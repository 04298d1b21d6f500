"""Tables of spectra: what a CSV, a Parquet file and an NPZ may look like, and what is said of one that cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from citrus_grade.spectra_table import SpectraTableError, read
from citrus_grade.spectra_table.headers import bands
from citrus_grade.spectra_table.ids import ids_of

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


PLAIN = "id,brix,650,651.5,700\na,11.5,0.1,0.2,0.3\nb,,0.4,0.5,0.6\n"


def text_table(folder: Path, text: str, encoding: str = "utf-8", suffix: str = ".csv") -> Path:
    path = folder / f"text{suffix}"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PLAIN, "utf-8-sig"),
        (PLAIN, "utf-16"),
        (PLAIN.replace("\n", "\r\n") + "\r\n\r\n", "utf-8"),
        (PLAIN + ",,,,\n,,,,\n", "utf-8"),
        (PLAIN.replace(".", ";").replace(",", "\t").replace(";", ","), "utf-8"),
        (PLAIN.replace(".", "#").replace(",", ";").replace("#", ","), "utf-8"),
        (PLAIN.replace(",", "|"), "utf-8"),
        ("id,brix,650,651.5,700\n" + '"a","11.5","0.1","0.2","0.3"\n"b","","0.4","0.5","0.6"\n', "utf-8"),
        ("id brix  650  651.5 700\na  11.5  0.1 0.2 0.3\nb   NA  0.4 0.5 0.6\n", "utf-8"),
        ("# measured 2024, 3 mm\n# lamp 650\nInstrument,F\n\n" + PLAIN, "utf-8"),
        ("Instrument,F,,,\n,,,,\nDate,2024,,,\n" + PLAIN, "utf-8"),
        ("#" + PLAIN, "utf-8"),
        ("id,brix,700,650,651.5\na,11.5,0.3,0.1,0.2\nb,NaN,0.6,0.4,0.5\n", "utf-8"),
        ("brix,650,651.5,700\na,11.5,0.1,0.2,0.3\nb,n/a,0.4,0.5,0.6\n", "utf-8"),
        (PLAIN.replace("650,651.5,700", " 650.0 , 651.50,7e2"), "utf-8"),
        (PLAIN.replace("650,651.5,700", "650nm,651.5 nm,700 (nm)"), "utf-8"),
        (PLAIN.replace("650,651.5,700", "X650,X651.5,X700"), "utf-8"),
        (PLAIN.replace("650,651.5,700", "wl_650,wl_651.5,wl_700"), "utf-8"),
        (PLAIN.replace("brix", "brix,variety").replace("11.5,", "11.5,温州蜜柑,").replace("b,,", "b,,椪柑,"), "gb18030"),
    ],
)
def test_a_text_table_is_read_however_it_was_saved(tmp_path: Path, text: str, encoding: str) -> None:
    table = read(text_table(tmp_path, text, encoding))
    assert np.array_equal(table.wavelength_nm, NM)
    assert np.array_equal(table.spectra, SPECTRA)
    assert np.array_equal(table.numbers("brix"), [11.5, np.nan], equal_nan=True)
    assert [str(own) for own in next(iter(table.columns.values()))] == ["a", "b"]


def test_chinese_headers_and_words_survive(tmp_path: Path) -> None:
    path = text_table(tmp_path, "编号,糖度,650,700\n柑1,11.5,0.1,0.2\n", "gb18030")
    assert read(path).column("编号").tolist() == ["柑1"]
    assert ids_of(read(path)).column == "编号"


def test_commas_between_thousands_are_no_decimals(tmp_path: Path) -> None:
    table = read(text_table(tmp_path, 'id,700,701\n1,"1,234",999\n2,"12,345","2,346"\n'))
    assert table.spectra.tolist() == [[1234.0, 999.0], [12345.0, 2346.0]]
    assert read(text_table(tmp_path, "id;700;701\n1;1,234;2,345\n")).spectra.tolist() == [[1.234, 2.345]]


@pytest.mark.parametrize(("name", "encoding"), [("T °C", "latin-1"), ("T °C", "utf-8"), ("果温", "gb18030"), ("级", "gb18030")])
def test_headers_beyond_ascii_keep_their_letters(tmp_path: Path, name: str, encoding: str) -> None:
    assert name in read(text_table(tmp_path, f"id,{name},650,651\n1,2,3,4\n", encoding)).columns


def test_wavenumbers_with_their_unit_become_nm() -> None:
    assert bands(["id", "10000 cm-1", "8000 1/cm"]).nm == {1: 1000.0, 2: 1250.0}


def test_a_prefix_counts_only_where_no_header_is_a_number() -> None:
    headers = ["PC1", "PC2", "PC3", "650", "651"]
    assert bands(headers).nm == {3: 650.0, 4: 651.0}


def test_dark_and_white_columns_stand_beside_the_spectra(tmp_path: Path) -> None:
    header = "id,650,651,652,dark_650,dark_651,dark_652,white_652,white_651,white_650"
    table = read(text_table(tmp_path, f"{header}\na,500,501,502,10,11,12,902,901,900\n"))
    assert table.dark is not None
    assert table.white is not None
    assert table.dark.tolist() == [[10, 11, 12]]
    assert table.white.tolist() == [[900, 901, 902]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("   \n\n", "is empty"),
        ("id,650,651\n", "holds no rows"),
        ("id,650,651\na,1,2\nb,1\nc,1,2,3\n", r"line 3: 2 cells where the header has 3.*\n.*line 4: 4 cells"),
        ("# note\n\nid,650,651\na,1,2\n\nb,1,wet\n", r"line 6: column '651' holds text, 'wet'"),
        ("id,a650,a651,a652,b650,b651,b652\nx,1,2,3,4,5,6\n", "two sets of wavelength columns, 'a' and 'b'"),
        ("id,650,650,651\nx,1,2,3\n", "650 nm stands twice"),
        ("id,brix\n1,2\n", "no headers that are wavelengths"),
        ("id,650,651,652,white_650,white_651,white_653\nx,1,2,3,4,5,6\n", "white columns are not those"),
    ],
)
def test_a_text_table_that_cannot_be_used_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpectraTableError, match=f"(?s){said}"):
        read(text_table(tmp_path, text))


def test_only_the_first_problems_of_many_are_shown(tmp_path: Path) -> None:
    rows = "".join(f"{k},0.1,wet\n" for k in range(9))
    with pytest.raises(SpectraTableError) as caught:
        read(text_table(tmp_path, f"id,650,651\n{rows}"))
    assert str(caught.value).count("holds text") == 5
    assert "and 4 more" in str(caught.value)


def test_a_reference_that_is_text_is_named_with_its_line(tmp_path: Path) -> None:
    table = read(text_table(tmp_path, "id,brix,650,651\na,11.5,1,2\nb,8!,1,3\nc,NA,1,4\n"))
    with pytest.raises(SpectraTableError, match=r"line 3: 'brix' holds '8!'"):
        table.numbers("brix")


@pytest.mark.parametrize("axis", [[650.0, 652.0, 651.0], [650.0, 650.0, 651.0], [650.0, np.nan, 651.0], [-1.0, 2.0, 3.0]])
def test_an_axis_that_turns_back_is_refused_with_its_place(tmp_path: Path, axis: list[float]) -> None:
    path = tmp_path / "turn.npz"
    np.savez(path, spectra=SPECTRA, wavelength_nm=axis)
    with pytest.raises(SpectraTableError, match=r"spectra: .*point \d"):
        read(path)


def test_ids_keep_their_zeros_and_rows_without_any_are_numbered(tmp_path: Path) -> None:
    assert ids_of(read(text_table(tmp_path, "sample.id,650,651\n007,1,2\n008,1,3\n"))).ids == ("007", "008")
    assert ids_of(read(text_table(tmp_path, "lot,650,651\nx,1,2\nx,1,3\n"))).ids == ("1", "2")


def test_a_column_where_most_values_repeat_names_fruit_with_several_rows(tmp_path: Path) -> None:
    ids = ids_of(read(text_table(tmp_path, "fruit,650,651\n1,1,2\n1,1,3\n2,1,4\n2,1,5\n3,1,6\n")))
    assert ids.repeats
    assert not ids_of(read(text_table(tmp_path, "fruit,650,651\n1,1,2\n1,1,3\n2,1,4\n3,1,5\n"))).repeats


def test_a_range_is_cut_and_one_outside_refused(tmp_path: Path) -> None:
    table = read(written(tmp_path, ".csv", COLUMNS))
    assert table.between(650, 660).wavelength_nm.tolist() == [650.0, 651.5]
    with pytest.raises(SpectraTableError, match="has 0 wavelengths in 900-1000 nm, of 650-700 nm"):
        table.between(900, 1000)


def test_a_binary_file_of_another_program_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(b"PK\x03\x04\x14\x00\x00\x00")
    with pytest.raises(SpectraTableError, match="save the table as CSV"):
        read(path)
