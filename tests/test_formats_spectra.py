"""Formats of spectra: JCAMP-DX in all its forms, ENVI and Unscrambler ASCII, Ocean Optics text, and folders of such files."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.spectra_table import SpectraTableError, read
from citrus_grade.spectra_table.asdf import CheckError, ordinates
from citrus_grade.spectra_table.jcamp import read as read_jcamp

Encoder = Callable[[int, Sequence[int]], list[str]]
A_LINE = 5
SQUEEZED = ("@ABCDEFGHI", "abcdefghi")
DIFFERENCE = ("%JKLMNOPQR", "jklmnopqr")


def coded(value: int, letters: tuple[str, str]) -> str:
    digits = str(abs(value))
    return (letters[0][int(digits[0])] if value >= 0 else letters[1][int(digits[0]) - 1]) + digits[1:]


def affn(x: int, values: Sequence[int]) -> list[str]:
    return [f"{x + k} " + " ".join(map(str, values[k : k + A_LINE])) for k in range(0, len(values), A_LINE)]


def pac(x: int, values: Sequence[int]) -> list[str]:
    return [f"+{x + k}" + "".join(f"{v:+d}" for v in values[k : k + A_LINE]) for k in range(0, len(values), A_LINE)]


def sqz(x: int, values: Sequence[int]) -> list[str]:
    return [f"{x + k}" + "".join(coded(v, SQUEEZED) for v in values[k : k + A_LINE]) for k in range(0, len(values), A_LINE)]


def dif(x: int, values: Sequence[int]) -> list[str]:
    """Each line but the first begins with the last value again; the last line is that check alone."""
    lines, at = [], 0
    while at < len(values) - 1:
        own = values[at : at + A_LINE]
        lines.append(f"{x + at}" + coded(own[0], SQUEEZED) + "".join(coded(d, DIFFERENCE) for d in np.diff(own).tolist()))
        at += len(own) - 1
    return [*lines, f"{x + at}{coded(values[at], SQUEEZED)}"]


def difdup(x: int, values: Sequence[int]) -> list[str]:
    """As `dif`, with runs of one difference told by how often it stands."""
    return [squeezed_runs(line) for line in dif(x, values)]


def squeezed_runs(line: str) -> str:
    letters = "".join(SQUEEZED) + "".join(DIFFERENCE)
    starts = [k for k, c in enumerate(line) if c in letters] + [len(line)]
    tokens = [line[a:b] for a, b in pairwise(starts)]
    out, k = line[: starts[0]], 0
    while k < len(tokens):
        run = next((n for n in range(len(tokens) - k, 0, -1) if set(tokens[k : k + n]) == {tokens[k]}), 1)
        out += tokens[k] + ("STUVWXYZs"[run - 1] if run > 1 else "")
        k += run
    return out


ENCODERS: dict[str, Encoder] = {"affn": affn, "pac": pac, "sqz": sqz, "dif": dif, "difdup": difdup}


def block(lines: Sequence[str], n: int, title: str = "fruit 1", **labels: str) -> str:
    own = {"XUNITS": "NANOMETERS", "YUNITS": "ABSORBANCE", "FIRSTX": "700", "LASTX": f"{700 + n - 1}", "DELTAX": "1"}
    own |= {"XFACTOR": "1", "YFACTOR": "0.001", "NPOINTS": f"{n}"} | labels
    head = "".join(f"##{name}= {value}\n" for name, value in own.items())
    return f"##TITLE= {title}\n##JCAMP-DX= 4.24 $$ by hand\n{head}##XYDATA= (X++(Y..Y))\n" + "\n".join(lines) + "\n##END=\n"


def saved(folder: Path, text: str, name: str = "one.jdx") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ENCODERS)
@given(values=st.lists(st.integers(-99_999, 99_999) | st.integers(-3, 3), min_size=2, max_size=40))
def test_every_form_of_ordinates_reads_as_it_was_written(form: str, values: list[int]) -> None:
    text = block(ENCODERS[form](700, values), len(values))
    table = read_jcamp(Path("one.jdx"), text.split("\n"))
    assert np.array_equal(table.spectra[0], np.array(values, np.float64) * 0.001)
    assert np.array_equal(table.wavelength_nm, np.arange(700.0, 700 + len(values)))


def test_the_standard_s_words_for_a_difference_and_a_repeat() -> None:
    (line,) = ordinates([(1, "599+3A2Jj5TUb3 1.5E+2")])
    assert line.x == 599
    assert line.values == [3, 12, 13, -2, -17, -32, -47, -23, 150]


def test_a_wrong_check_value_is_named_with_its_line(tmp_path: Path) -> None:
    lines = dif(700, [10, 12, 15, 11, 13, 14, 18, 19, 20])
    with pytest.raises(CheckError):
        ordinates([(1, lines[0]), (2, lines[1].replace("A3", "A4"))])
    path = saved(tmp_path, block([lines[0], lines[1].replace("A3", "A4"), *lines[2:]], 9))
    with pytest.raises(SpectraTableError, match=r"one\.jdx: line 13 begins with 14 where the line before ended at 13"):
        read(path)


def test_a_lost_line_a_cut_and_a_line_of_words_are_told_apart(tmp_path: Path) -> None:
    values = list(range(10, 40))
    lines = affn(700, values)
    with pytest.raises(SpectraTableError, match="line 13 begins at 710 where 705 is due"):
        read(saved(tmp_path, block([*lines[:1], *lines[2:]], 30)))
    with pytest.raises(SpectraTableError, match="holds 25 points where NPOINTS says 30"):
        read(saved(tmp_path, block(lines[:-1], 30)))
    with pytest.raises(SpectraTableError, match="holds 0 points where NPOINTS says 30"):
        read(saved(tmp_path, block([], 30)))
    with pytest.raises(SpectraTableError, match="line 13 is no line of numbers: 'shutter closed'"):
        read(saved(tmp_path, block([lines[0], "shutter closed", *lines[1:]], 30)))


def test_linked_blocks_are_rows_with_what_they_say(tmp_path: Path) -> None:
    inner = [
        block(affn(700, [10, 20, 30]), 3, f"fruit {k}", **{"$BRIX": f"{11 + k}", "CONCENTRATIONS": f"(NCU)\n(acid, 0.{k}, %)"})
        for k in (1, 2)
    ]
    path = saved(tmp_path, "##TITLE= all\n##DATA TYPE= LINK\n##BLOCKS= 2\n" + "".join(inner) + "##END=\n")
    table = read(path)
    assert table.kind == "absorbance"
    assert table.column("title").tolist() == ["fruit 1", "fruit 2"]
    assert table.numbers("BRIX").tolist() == [12.0, 13.0]
    assert table.numbers("acid").tolist() == [0.1, 0.2]


def test_wavenumbers_and_falling_axes_rise_in_nm(tmp_path: Path) -> None:
    labels = {"XUNITS": "1/CM", "FIRSTX": "10000", "LASTX": "8000", "DELTAX": "-1000", "YUNITS": "% REFLECTANCE"}
    table = read(saved(tmp_path, block(["10000 1 2 3"], 3, **labels)))
    assert np.allclose(table.wavelength_nm, [1000.0, 1e7 / 9000, 1250.0])
    assert table.spectra.tolist() == [[0.001, 0.002, 0.003]]
    assert table.kind == "reflectance"
    falling = read(saved(tmp_path, block(["702 1 2 3"], 3, FIRSTX="702", LASTX="700", DELTAX="-1")))
    assert falling.spectra.tolist() == [[0.003, 0.002, 0.001]]


def test_pairs_of_points_are_read_and_an_unknown_unit_refused(tmp_path: Path) -> None:
    head = "##TITLE= p\n##XUNITS= NM\n##YUNITS= REFLECTANCE\n##NPOINTS= 3\n##XYPOINTS= (XY..XY)\n"
    assert read(saved(tmp_path, head + "700, 0.1; 701.5, 0.2\n703 3E-1\n##END=\n")).spectra.tolist() == [[0.1, 0.2, 0.3]]
    with pytest.raises(SpectraTableError, match="XUNITS is 'HZ'"):
        read(saved(tmp_path, block(affn(700, [1, 2]), 2, XUNITS="HZ")))
    with pytest.raises(SpectraTableError, match="FIRSTX is 'first'"):
        read(saved(tmp_path, block(affn(700, [1, 2]), 2, FIRSTX="first")))
    with pytest.raises(SpectraTableError, match="holds no XYDATA"):
        read(saved(tmp_path, "##TITLE= empty\n##END=\n"))


def test_blocks_on_another_axis_are_named(tmp_path: Path) -> None:
    text = block(affn(700, [1, 2, 3]), 3) + block(affn(700, [1, 2]), 2)
    with pytest.raises(SpectraTableError, match=r"block at line 14: holds 2 points, 700-701 nm, where .* holds 3, 700-702 nm"):
        read(saved(tmp_path, text))


ENVI = """ENVI ASCII Plot File [Thu Apr 13 22:39:42 2017]
Column 1: Wavelength
Column 2: fruit one~~2##255,0,0
Column 3: fruit two~~3##0,128,0
   0.700000  0.100000  0.400000
   0.800000  0.200000  0.500000
   0.900000  0.300000  0.600000
"""


def test_an_envi_plot_file_holds_a_spectrum_a_column(tmp_path: Path) -> None:
    table = read(saved(tmp_path, ENVI, "plot.txt"))
    assert np.allclose(table.wavelength_nm, [700.0, 800.0, 900.0])
    assert table.spectra.tolist() == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    assert table.column("id").tolist() == ["fruit one", "fruit two"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.800000  0.200000  0.500000", "0.800000  0.200000", "line 6: 2 cells where the header has 3"),
        ("0.200000", "wet", r"line 6: column 'fruit one' holds text, 'wet'"),
        ("0.800000", "0.950000", r"column 'fruit one': the wavelengths turn back at point 3, from 950 to 900 nm"),
    ],
)
def test_an_envi_plot_file_that_cannot_be_used_names_the_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(SpectraTableError, match=said):
        read(saved(tmp_path, ENVI.replace(old, new), "plot.txt"))


def test_a_table_whose_first_column_is_the_wavelength_is_turned(tmp_path: Path) -> None:
    table = read(saved(tmp_path, "Wavelength (nm);a;b\n702;0,3;0,6\n701;0,2;0,5\n700;0,1;0,4\n", "turned.csv"))
    assert table.wavelength_nm.tolist() == [700.0, 701.0, 702.0]
    assert table.spectra.tolist() == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]


def test_unscrambler_text_names_its_samples_in_the_first_column(tmp_path: Path) -> None:
    table = read(saved(tmp_path, "\tBrix\t700\t701\nfruit 1\t11.5\t0.1\t0.2\nfruit 2\tm\t0.3\t0.4\n", "u.asc"))
    assert table.spectra.tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert np.array_equal(table.numbers("Brix"), [11.5, np.nan], equal_nan=True)
    assert "fruit 1" in next(iter(table.columns.values())).tolist()


def ocean(values: Sequence[float], decimal: str = ".", end: bool = True) -> str:
    pixels = "\n".join(f"{700.5 + k}\t{value}" for k, value in enumerate(values)).replace(".", decimal)
    head = "SpectraSuite Data File\n++++++++++++++++\nDate: Fri Jan 05 10:00:00 CST 2018\nIntegration Time (usec): 100000\n"
    tail = "\n>>>>>End Processed Spectral Data<<<<<\n" if end else "\n"
    return f"{head}Number of Pixels in Processed Spectrum: {len(values)}\n>>>>>Begin Spectral Data<<<<<\n{pixels}{tail}"


def test_a_folder_of_ocean_optics_files_is_one_table(tmp_path: Path) -> None:
    saved(tmp_path, ocean([1.5, 2.5, 3.5]), "b.txt")
    saved(tmp_path, ocean([4.5, 5.5, 6.5], ",", end=False), "a.txt")
    table = read(tmp_path)
    assert table.column("id").tolist() == ["a", "b"]
    assert table.wavelength_nm.tolist() == [700.5, 701.5, 702.5]
    assert table.spectra.tolist() == [[4.5, 5.5, 6.5], [1.5, 2.5, 3.5]]
    assert table.numbers("Integration Time (usec)").tolist() == [100000.0, 100000.0]


def test_a_file_of_a_folder_that_does_not_fit_is_named(tmp_path: Path) -> None:
    saved(tmp_path, ocean([1.5, 2.5, 3.5]), "a.txt")
    saved(tmp_path, ocean([1.5, 2.5]), "b.txt")
    with pytest.raises(SpectraTableError, match=r"b\.txt: holds 2 points, .* where a\.txt holds 3"):
        read(tmp_path)
    saved(tmp_path, ocean([1.5, 2.5, 3.5]).replace("701.5\t2.5", "701.5\tshut"), "b.txt")
    with pytest.raises(SpectraTableError, match=r"b\.txt: line 8: '701.5 shut' is not a wavelength and a value"):
        read(tmp_path)


def test_two_bare_columns_are_one_spectrum(tmp_path: Path) -> None:
    text = "lambda, counts\n" + "".join(f"{700 + k}, {k}\n" for k in range(10))
    for own in (text, text.split("\n", 1)[1]):
        table = read(saved(tmp_path, own, "bare.txt"))
        assert table.spectra.tolist() == [[float(k) for k in range(10)]]
        assert table.column("id").tolist() == ["bare"]


def test_an_empty_folder_says_what_it_looks_for(tmp_path: Path) -> None:
    with pytest.raises(SpectraTableError, match=r"holds no files of spectra \(\.csv"):
        read(tmp_path)
