"""Labelled batches: what is taken from a table, what is left out, and what is said of a table no model should be made from."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from citrus_grade.models.batch import labelled, need_lots, unlabelled
from citrus_grade.models.references import join
from citrus_grade.spectra_table import SpectraTable, SpectraTableError, read
from citrus_grade.spectra_table.signal import as_absorbance, counts_to_absorbance, guess_kind, with_references

N = 24
NM = np.arange(700.0, 1100.0, 50.0)


def columns(seed: int = 1, n: int = N) -> dict[str, Any]:
    """Reflectance with water's dip at 970 nm, a Brix value, an id and a lot each."""
    rng = np.random.default_rng(seed)
    dip = 1 - 0.3 * np.exp(-(((NM - 970) / 40) ** 2))
    spectra = 0.6 * dip * (1 + 0.1 * rng.standard_normal((n, 1))) + 0.001 * rng.standard_normal((n, len(NM)))
    bands = {f"{nm:g}": spectra[:, k] for k, nm in enumerate(NM)}
    lots = [f"lot {k % 3}" for k in range(n)]
    return {"id": [f"f{k:02d}" for k in range(n)], "lot": lots, "brix": np.round(10 + rng.random(n) * 4, 2), **bands}


def table_of(folder: Path, own: dict[str, Any], name: str = "fruit.csv") -> SpectraTable:
    path = folder / name
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table(own), path)
    else:
        pyarrow.csv.write_csv(pa.table(own), path)
    return read(path)


def with_cell(name: str, row: int, value: Any) -> dict[str, Any]:
    own = columns()
    own[name] = [*own[name][:row], value, *own[name][row + 1 :]]
    return own


@pytest.mark.parametrize("name", ["fruit.csv", "fruit.parquet"])
def test_a_batch_is_the_labelled_rows_as_absorbance(tmp_path: Path, name: str) -> None:
    own = with_cell("brix", 3, None)
    table = table_of(tmp_path, own, name)
    batch = labelled(table, "brix", "lot", range_nm=(750, 1000))
    kept = [k for k in range(N) if k != 3]
    assert batch.ids.tolist() == [own["id"][k] for k in kept]
    assert batch.groups.tolist() == [own["lot"][k] for k in kept]
    assert batch.reference.tolist() == [own["brix"][k] for k in kept]
    assert batch.wavelength_nm.tolist() == [750, 800, 850, 900, 950, 1000]
    assert np.array_equal(batch.absorbance, -np.log10(table.spectra[kept][:, 1:7]))
    assert batch.kind.kind == "reflectance"
    assert list(batch.columns) == ["id", "lot", "brix"]
    (left_out,) = batch.left_out
    assert "(f03): has no value in 'brix'" in left_out
    assert ("line 5" if name.endswith("csv") else "row 4") in left_out


def test_a_row_without_a_lot_is_left_out_too(tmp_path: Path) -> None:
    batch = labelled(table_of(tmp_path, with_cell("lot", 2, None)), "brix", "lot")
    assert len(batch.ids) == N - 1
    assert "line 4 (f02): has no value in 'lot'" in batch.left_out[0]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (with_cell("brix", 4, float("inf")), r"line 6: 'brix' is infinite"),
        (with_cell("id", 4, "f01"), r"line 6: fruit 'f01' stands already at line 3, with other numbers"),
        (columns() | {"brix": [11.0] * N}, "'brix' is 11 in every row"),
        (columns(n=7), "7 rows have a value in 'brix'; at least 20 are needed"),
        (columns() | {"brix": ["ripe"] * N}, "column 'brix' holds text, not numbers"),
    ],
)
def test_what_no_model_should_be_made_from_is_said_with_its_place(tmp_path: Path, own: dict[str, Any], said: str) -> None:
    with pytest.raises(SpectraTableError, match=r"fruit\.csv.*" + said):
        labelled(table_of(tmp_path, own), "brix", "lot", kind="reflectance")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, r"line 6: the spectrum has no value at 800 nm \(1 in this row\)"),
        (float("inf"), "line 6: the spectrum has an infinite value at 800 nm"),
        (0.0, "line 6: the signal, reflectance, is 0 at 800 nm"),
        (-0.5, r"line 6: the signal, reflectance, is -0\.5 at 800 nm"),
    ],
)
def test_a_row_without_a_whole_spectrum_is_left_out_but_many_are_refused(tmp_path: Path, value: float | None, said: str) -> None:
    own = with_cell("800", 4, value)
    batch = labelled(table_of(tmp_path, own), "brix", "lot", kind="reflectance")
    assert "f04" not in batch.ids
    assert len(batch.ids) == N - 1
    (why,) = batch.left_out
    assert re.match(said, why)
    own["800"] = [*own["800"][:4], *[value] * 6, *own["800"][10:]]
    with pytest.raises(SpectraTableError, match=r"(?s)fruit\.csv.*" + said):
        labelled(table_of(tmp_path, own), "brix", "lot", kind="reflectance")


def test_outside_the_range_a_spectrum_may_be_anything(tmp_path: Path) -> None:
    table = table_of(tmp_path, with_cell("700", 4, -1.0))
    assert len(labelled(table, "brix", kind="reflectance", range_nm=(750, 1050)).ids) == N


def test_several_problems_come_in_one_message(tmp_path: Path) -> None:
    own = with_cell("800", 4, None)
    own["800"] = [None] * N
    own["800"][0] = 0.5
    own["id"][7] = "f06"
    own["brix"] = [11.0] * N
    with pytest.raises(SpectraTableError) as caught:
        labelled(table_of(tmp_path, own), "brix")
    lines = str(caught.value).split("\n")
    assert len(lines) == 7
    assert "fruit.csv:" in lines[0]


def test_a_flat_spectrum_is_left_out(tmp_path: Path) -> None:
    own = columns()
    for nm in NM:
        own[f"{nm:g}"][5] = 0.5
    (why,) = labelled(table_of(tmp_path, own), "brix").left_out
    assert "line 7: the spectrum is 0.5 at every wavelength" in why


def test_a_fruit_that_stands_twice_is_refused_and_a_row_alike_without_an_id_noted(tmp_path: Path) -> None:
    own = {name: [*column, column[5]] for name, column in columns().items()}
    with pytest.raises(SpectraTableError, match=r"line 26: fruit 'f05' stands already at line 7, alike in every number"):
        labelled(table_of(tmp_path, own), "brix")
    del own["id"]
    (note,) = labelled(table_of(tmp_path, own), "brix").notes
    assert note.startswith("line 26: is alike line 7 in every number")


def test_a_column_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    table = table_of(tmp_path, columns())
    with pytest.raises(SpectraTableError, match="no column 'Brixx'; did you mean 'brix'"):
        labelled(table, "Brixx")
    with pytest.raises(SpectraTableError, match="no column 'orchard'; there are id, lot, brix"):
        labelled(table, "brix", "orchard")


def test_repeats_of_a_fruit_stay_together(tmp_path: Path) -> None:
    batch = labelled(table_of(tmp_path, columns() | {"id": [f"f{k // 2}" for k in range(N)]}), "brix")
    assert batch.ids[:3].tolist() == ["f0/1", "f0/2", "f1/1"]
    assert batch.groups[:3].tolist() == ["f0", "f0", "f1"]


def test_ids_that_begin_anew_in_every_lot_are_other_fruit(tmp_path: Path) -> None:
    own = columns() | {"lot": ["a"] * 16 + ["b"] * 8, "id": [f"{k % 16}" for k in range(N)]}
    batch = labelled(table_of(tmp_path, own), "brix", "lot")
    assert batch.ids[[0, 16]].tolist() == ["a/0", "b/0"]
    with pytest.raises(SpectraTableError, match="fruit '0' stands already at line 2"):
        labelled(table_of(tmp_path, own), "brix")


def test_rows_to_predict_need_no_reference_and_keep_their_order(tmp_path: Path) -> None:
    own = columns(n=3)
    del own["brix"]
    rows = unlabelled(table_of(tmp_path, own), range_nm=(750, 1000))
    assert rows.ids.tolist() == ["f00", "f01", "f02"]
    assert np.array_equal(rows.absorbance, -np.log10(np.column_stack([own[f"{nm:g}"] for nm in NM[1:7]])))
    rows = unlabelled(table_of(tmp_path, with_cell("800", 4, None)))
    assert np.flatnonzero(~rows.whole).tolist() == [4]
    assert np.isnan(rows.absorbance[4]).all()
    assert "line 6: the spectrum has no value at 800 nm" in rows.faulty[4]
    with pytest.raises(SpectraTableError, match="is 0 at every wavelength"):
        unlabelled(table_of(tmp_path, {name: [0.0, 0.0] for name in ("700", "800", "900")}))


def test_one_lot_is_not_enough_and_columns_of_lots_are_named(tmp_path: Path) -> None:
    one = labelled(table_of(tmp_path, columns() | {"lot": ["a"] * N, "season": [k % 2 for k in range(N)]}), "brix", "lot")
    with pytest.raises(
        SpectraTableError, match=r"all 24 rows are of one lot, 'a'; cross-validation needs at least two lots.*season"
    ):
        need_lots(one)
    none = labelled(table_of(tmp_path, columns()), "brix")
    with pytest.raises(SpectraTableError, match=r"no column of lots is named; .*these columns may name lots: lot"):
        need_lots(none)
    need_lots(labelled(table_of(tmp_path, columns()), "brix", "lot"))


def signal(spectra: Any, nm: Any = NM) -> SpectraTable:
    block = np.asarray(spectra, np.float64)
    return SpectraTable(Path("s.csv"), np.asarray(nm, np.float64), block, {}, tuple(f"line {k + 2}" for k in range(len(block))))


def test_the_kind_is_guessed_from_what_no_other_kind_can_be() -> None:
    reflectance = np.column_stack([columns()[f"{nm:g}"] for nm in NM])
    assert guess_kind(signal(reflectance)).kind == "reflectance"
    assert guess_kind(signal(100 * reflectance)).kind == "reflectance"
    assert guess_kind(signal(-np.log10(reflectance))).kind == "absorbance"
    assert guess_kind(signal(3 - np.log10(reflectance))).kind == "absorbance"
    assert guess_kind(signal(reflectance - 0.7)).kind == "absorbance"
    assert guess_kind(signal(np.rint(100 * reflectance))).kind == "counts"
    assert guess_kind(signal(20_000 * reflectance)).kind == "counts"
    assert "up to" in guess_kind(signal(20_000 * reflectance)).reason


def test_a_narrow_range_asks_the_whole_spectrum_for_water(tmp_path: Path) -> None:
    table = table_of(tmp_path, columns() | {f"{nm:g}": -np.log10(columns()[f"{nm:g}"]) for nm in NM})
    assert labelled(table, "brix", range_nm=(700, 850)).kind.kind == "absorbance"


def test_per_cent_and_shares_give_one_absorbance() -> None:
    shares = np.column_stack([columns()[f"{nm:g}"] for nm in NM])
    assert np.allclose(as_absorbance(signal(100 * shares), "transmittance"), as_absorbance(signal(shares), "transmittance"))
    assert np.array_equal(as_absorbance(signal(shares), "absorbance"), shares)


def test_counts_with_dark_and_white_give_absorbance() -> None:
    dark, white = np.full(len(NM), 100.0), np.full(len(NM), 1100.0)
    table = signal([[200.0, *[600.0] * 7]])
    assert np.allclose(counts_to_absorbance(table, dark, white), [[1.0, *[-np.log10(0.5)] * 7]])
    assert np.allclose(counts_to_absorbance(table, None, None), -np.log10(table.spectra))


@pytest.mark.parametrize(
    ("counts", "dark", "white", "said"),
    [
        (500.0, 10.0, 0.0, r"line 2: the white reference is 0 at 700 nm, where dark is 10"),
        (500.0, 10.0, -5.0, r"the white reference is -5 at 700 nm"),
        (500.0, 10.0, 9.0, r"the white reference is 9 at 700 nm, where dark is 10"),
        (10.0, 10.0, 900.0, r"line 2: the signal, counts, is 10 at 700 nm \(1 in this row\); the fruit must be brighter"),
    ],
)
def test_references_that_cannot_be_are_refused(counts: float, dark: float, white: float, said: str) -> None:
    table = signal([[counts, *np.linspace(500, 600, 7)]])
    whites = np.array([white, *[1000.0] * 7])
    with pytest.raises(SpectraTableError, match=said):
        counts_to_absorbance(table, np.full(len(NM), dark), whites)


def test_dark_and_white_rows_of_a_table_serve_all_its_fruit(tmp_path: Path) -> None:
    own = columns()
    counts = {f"{nm:g}": [*np.rint(9000 * own[f"{nm:g}"] + 100), 100.0, 9100.0] for nm in NM}
    rest: dict[str, Any] = {"id": [*own["id"], "Dark", "White"], "lot": [*own["lot"], "", ""], "brix": [*own["brix"], None, None]}
    batch = labelled(table_of(tmp_path, rest | counts), "brix", "lot")
    assert batch.kind.kind == "counts"
    assert batch.left_out == ()
    shares = np.column_stack([own[f"{nm:g}"] for nm in NM])
    assert np.allclose(batch.absorbance, -np.log10(shares), atol=1e-3)


def test_references_of_another_axis_are_refused() -> None:
    white = signal([[1.0, 2.0, 3.0]], [700, 750, 800])
    with pytest.raises(SpectraTableError, match="the white reference has other wavelengths"):
        with_references(signal([np.arange(8.0)]), white=white)


def line_of(folder: Path, n: int = N) -> SpectraTable:
    own = columns(n=n)
    del own["id"], own["brix"], own["lot"]
    keys: dict[str, Any] = {"lane": [k % 6 for k in range(n)], "cup": [100 + k for k in range(n)]}
    return table_of(folder, keys | own, "line.parquet")


def references_of(folder: Path, own: dict[str, Any]) -> Path:
    path = folder / "references.csv"
    pyarrow.csv.write_csv(pa.table(own), path)
    return path


def test_references_are_joined_by_lane_and_cup(tmp_path: Path) -> None:
    spectra = line_of(tmp_path)
    path = references_of(
        tmp_path, {"cup": [101, 100], "lane": [1.0, 0.0], "brix": [12.0, 11.0], "by": ["li", "wang"], "run": ["r", "r"]}
    )
    table = join(path, spectra)
    assert table.numbers("brix")[:2].tolist() == [11.0, 12.0]
    assert np.isnan(table.numbers("brix")[2:]).all()
    assert table.column("by")[:3].tolist() == ["wang", "li", ""]
    assert np.array_equal(table.spectra, spectra.spectra)
    batch = labelled(join(path, tmp_path / "line.parquet"), "brix", least=2)
    assert len(batch.left_out) == N - 2


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"lane": [0, 5], "cup": [100, 7], "brix": [1.0, 2.0]}, r"1 of 2 references have no spectrum in .*5/7 \(line 3\)"),
        ({"lane": [0, 0], "cup": [100, 100], "brix": [1.0, 2.0]}, r"line 3: 0/100 stands already at line 2"),
        ({"lane": [0, None], "cup": [100, 101], "brix": [1.0, 2.0]}, r"line 3: has no lane, cup"),
        ({"line": [0], "cop": [100], "brix": [1.0]}, r"has no column 'run'"),
        ({"run": ["a", "b"], "lane": [0, 1], "cup": [100, 101]}, r"has several values of 'run', which .*line\.parquet has not"),
    ],
)
def test_references_that_do_not_fit_are_refused(tmp_path: Path, own: dict[str, Any], said: str) -> None:
    spectra = line_of(tmp_path)
    with pytest.raises(SpectraTableError, match=r"(?s)references\.csv.*" + said):
        join(references_of(tmp_path, own), spectra)
