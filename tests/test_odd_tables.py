"""Tables as people bring them: an odd cell, an odd header, an odd unit, rows that are only numbered."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from citrus_grade.cli.main import main
from citrus_grade.models.batch import labelled
from citrus_grade.models.train import unit_of
from citrus_grade.spectra_table import SpectraTableError, headers, read
from citrus_grade.spectra_table.cells import number, sentinels
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


Cells = Mapping[tuple[int, int], str]


def _text(
    axis: Sequence[str] | None = None, first: Sequence[str] = ("id", "lot", "brix"), cells: Cells | None = None, sep: str = ","
) -> str:
    """A table of 30 fruit as text; ``cells`` by row and column instead of what would stand there."""
    lines = [[*first, *(axis or [f"{nm:g}" for nm in NM])]]
    for k, row in enumerate(_absorbance(30)):
        line = [f"f{k}", f"lot{k % 4}", f"{10 + k % 7}", *(f"{value:.5f}" for value in row)]
        lines.append([(cells or {}).get((k, j), cell) for j, cell in enumerate(line)])
    return "\n".join(sep.join(line) for line in lines) + "\n"


def _saved(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "form",
    ["X{:g}", "X{:g}.", "nm_{:g}", "{:g} nm", "{:g}.0nm", "{:g}_nm", "spc.{:g}", "R {:g} (nm)", "[{:g}]", "'{:g}'", "{:g}纳米"],
)
def test_wavelengths_are_found_however_their_headers_are_dressed(tmp_path: Path, form: str) -> None:
    table = read(_saved(tmp_path, _text([form.format(nm) for nm in NM])))
    assert table.wavelength_nm == pytest.approx(NM)
    assert list(table.columns) == ["id", "lot", "brix"]


@pytest.mark.parametrize(
    "axis", [[f"X{nm / 1000:.5f}" for nm in NM], [f"w{1e7 / nm:.4f}" for nm in NM], [f"{nm / 1000:.5f} um" for nm in NM]]
)
def test_dressed_headers_may_be_micrometres_or_wavenumbers(axis: list[str]) -> None:
    assert sorted(headers.bands(axis).nm.values()) == pytest.approx(NM, rel=1e-5)


def test_of_two_blocks_of_spectra_one_is_named(tmp_path: Path) -> None:
    axis = [f"A_{nm:g}" for nm in NM[:41]] + [f"{nm:g}_B" for nm in NM[:40]]
    path = _saved(tmp_path, _text(axis))
    with pytest.raises(SpectraTableError, match=r"two sets of wavelength columns, 'a' and 'b'.*--matrix"):
        read(path)
    assert np.array_equal(read(path, "B").spectra, np.round(_absorbance(30)[:, 41:], 5))
    with pytest.raises(SpectraTableError, match="no set of wavelength columns called 'C'; there are 'a', 'b'"):
        read(path, "C")
    with pytest.raises(SpectraTableError, match=r"stand twice, as 650 and 650\.1"):
        read(_saved(tmp_path, _text([f"{nm:g}" for nm in NM[:41]] + [f"{nm:g}.1" for nm in NM[:40]])))
    beside = read(_saved(tmp_path, _text([f"{nm:g}" for nm in NM[:41]] + [f"B_{nm:g}" for nm in NM[:40]])))
    assert len(beside.wavelength_nm) == 41
    assert "called 'b' were not used" in beside.notes[0]


def test_headers_that_are_no_wavelengths_are_told(tmp_path: Path) -> None:
    assert "numbers of channels" in read(_saved(tmp_path, _text([f"wl{k}" for k in range(1, 82)]))).notes[0]
    with pytest.raises(SpectraTableError, match="line 1 holds numbers that are no wavelengths"):
        read(_saved(tmp_path, _text().partition("\n")[2]))


@pytest.mark.parametrize("cell", ["-9999", "1e30", "9999", "n.d.", "<LOD", "< 0.5", "#N/A", "#DIV/0!", "?", "", " "])
def test_what_stands_for_no_value_is_none_and_named(tmp_path: Path, cell: str) -> None:
    in_reference = labelled(read(_saved(tmp_path, _text(cells={(3, 2): cell}))), "brix")
    assert len(in_reference.ids) == 29
    assert "line 5 (f3): has no value in 'brix'" in in_reference.left_out[0]
    in_spectrum = labelled(read(_saved(tmp_path, _text(cells={(3, 20): cell}))), "brix")
    assert len(in_spectrum.ids) == 29
    assert "line 5: the spectrum has no value at 735 nm" in in_spectrum.left_out[0]
    assert in_spectrum.absorbance.max() < 2


def test_an_unusual_number_near_the_others_is_one(tmp_path: Path) -> None:
    values = {(k, 2): f"{900 + 40 * k}" for k in range(30)} | {(3, 2): "999"}
    assert len(labelled(read(_saved(tmp_path, _text(cells=values))), "brix").ids) == 30


@pytest.mark.parametrize(
    ("others", "value", "none"),
    [
        ([10.0, 13.0] * 20, -99.0, True), ([10.0, 13.0] * 20, 999.0, True), ([0.1, 65000.0] * 20, -999.0, True),
        ([0.1, 65000.0] * 20, 9999.0, False), ([200.0, 700.0] * 20, 999.0, False), ([-30.0, 40.0] * 20, -99.0, False),
        ([0.3, 1.2] * 100 + [57.0], 9999.0, True), ([], 9999.0, False), ([10.0, 13.0], 1e30, True), ([10.0, 13.0], np.inf, False),
    ],
)  # fmt: skip
def test_a_number_stands_for_none_where_it_lies_far_from_the_others(others: list[float], value: float, none: bool) -> None:
    assert sentinels(np.array([*others, value]))[-1] == none


@pytest.mark.parametrize(
    ("text", "value"),
    [("12 130", 12130), ("12\u202f130,5", 12130.5), ("1'234", 1234), ("12.130,26", 12130.26), ("1,234.5", 1234.5),
     ("1.234.567", 1234567), ("12,130", 12.13), ("24.7%", 24.7), ("\u22125", -5), ("1 2", None), ("5 Brix", None)],
)  # fmt: skip
def test_a_number_is_read_with_its_signs(text: str, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(_text().encode()),
        _text().encode("utf-16-le"),
        _text().encode("utf-32"),
        b"\xef\xbb\xbf" + _text().encode(),
        _text(sep=";").replace(".", ",").encode(),
        _text(first=("id", "lot", '"brix"')).encode(),
        _text().replace("\n", ",\n").replace(",\n", "\n", 1).encode(),
        _text(cells={(3, 0): '"f\n3"'}).encode(),
    ],
    ids=["gzip", "utf-16", "utf-32", "mark", "semicolons", "quoted header", "comma behind each row", "line in a cell"],
)
def test_a_table_is_read_however_it_was_packed(tmp_path: Path, content: bytes) -> None:
    table = read(_saved(tmp_path, content))
    assert table.spectra == pytest.approx(np.round(_absorbance(30), 5))
    assert table.numbers("brix").tolist() == [10.0 + k % 7 for k in range(30)]
    assert len(table.places) == 30


@pytest.mark.parametrize("names", [("编号", "批次", "糖度"), ("编号", "镕", "糖度（%）"), ("样品编号", "㐂批次", "糖度°Bx")])
def test_chinese_headers_are_read_from_gbk(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert tuple(read(_saved(tmp_path, _text(first=names).encode("gb18030"))).columns) == names


def test_a_name_of_two_columns_that_differ_is_not_taken_for_either(tmp_path: Path) -> None:
    table = read(_saved(tmp_path, _text(first=("id", "brix", "brix"))))
    with pytest.raises(SpectraTableError, match=r"no column 'brix'; did you mean 'brix \(3\)'"):
        table.numbers("brix")


def test_a_line_of_units_and_wavelengths_nobody_measured_are_left_out(tmp_path: Path) -> None:
    head, rest = _text(cells={(k, j): "" if j == 3 else "0" for k in range(30) for j in (3, 83)}).split("\n", 1)
    table = read(_saved(tmp_path, head + "\n,,%" + ",AU" * 81 + "\n" + rest))
    assert len(table.places) == 30
    assert table.wavelength_nm == pytest.approx(NM[1:-1])
    assert "line 2: holds words" in table.notes[0]
    assert "no row has a value at 2 wavelengths" in table.notes[1]


@pytest.mark.parametrize("form", ["{:g}", "{:.1f}", "{:.0f}"])
def test_a_parquet_file_may_name_wavelengths_as_numbers(tmp_path: Path, form: str) -> None:
    columns = {form.format(nm): _absorbance(30)[:, k].astype(np.float32) for k, nm in enumerate(NM)}
    pa.parquet.write_table(pa.table({"brix": [float(k % 7) for k in range(30)], **columns}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").wavelength_nm == pytest.approx(NM)


def test_names_that_stand_twice_in_a_parquet_file_are_told_apart(tmp_path: Path) -> None:
    spectra = [pa.array(column) for column in _absorbance(30).T]
    names = ["brix", "brix", *(f"{nm:g}" for nm in NM)]
    columns = [pa.array(np.arange(30.0)), pa.array(np.arange(30.0) + 1), *spectra]
    pa.parquet.write_table(pa.table(columns, names=names), tmp_path / "t.parquet")
    assert list(read(tmp_path / "t.parquet").columns) == ["brix (1)", "brix (2)"]
    pa.parquet.write_table(pa.table([*columns, spectra[0]], names=[*names, "650"]), tmp_path / "t.parquet")
    with pytest.raises(SpectraTableError, match="the wavelength 650 nm stands twice"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Brix (%)", "%"),
        ("SSC [°Brix]", "Brix"),
        ("糖度（%）", "%"),
        ("ssc_brix", "Brix"),
        ("brix", "Brix"),
        ("ta_pct", "%"),
        ("DMC", ""),
    ],
)
def test_a_targets_unit_may_stand_in_brackets(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_a_name_without_its_unit_is_led_to_the_column(tmp_path: Path) -> None:
    table = read(_saved(tmp_path, _text(first=("编号", "批次", "糖度（%）"))))
    with pytest.raises(SpectraTableError, match="did you mean '糖度（%）'"):
        table.numbers("糖度")
