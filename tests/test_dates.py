"""Dates as people, spreadsheets and instruments write them, in columns of lots and of times."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.cli.main import main
from citrus_grade.models.batch import lots_of
from citrus_grade.spectra_table.dates import DateError, moments

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC).timestamp()
DAY = datetime(2026, 11, 5, tzinfo=UTC).timestamp()
NM = np.arange(700, 961, 4)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2026-11-05", DAY), ("2026/11/5", DAY), ("2026.11.05", DAY), ("2026年11月5日", DAY), ("05.11.2026", DAY),
        ("5.11.26", DAY), ("5 Nov 2026", DAY), ("5-Nov-26", DAY), ("2026-11-05 12:00", NOON), ("2026-11-05T12:00:00Z", NOON),
        ("2026/11/5 12:00:00", NOON), ("05.11.2026 12:00", NOON), ("5.11.2026, 12:00", NOON), ("5.11.2026 12:00 PM", NOON),
        ("46331", DAY), ("46331.5", NOON),
    ],
)  # fmt: skip
def test_a_date_is_read_however_it_is_written(cell: str, seconds: float) -> None:
    assert moments(np.array([cell, "31.12.2026", ""]), "date")[0] == seconds


@pytest.mark.parametrize(
    ("column", "seconds"),
    [([46331, 46331.5], [DAY, NOON]), ([20261105, 20261106], [DAY, DAY + 86400]), ([DAY * 1e3] * 2, [DAY] * 2)],
)
def test_numbers_are_dates_only_where_the_header_says_so(column: list[float], seconds: list[float]) -> None:
    assert moments(np.array(column), "harvest date").tolist() == seconds
    assert moments(np.array(column), "tick").tolist() == column


def test_another_cell_tells_day_from_month_or_nobody() -> None:
    assert moments(np.array(["5/11/2026", "13/11/2026"]), "date")[0] == DAY
    assert moments(np.array(["11/5/2026", "11/13/2026"]), "date")[0] == DAY
    with pytest.raises(DateError, match="of '5/11/2026' nobody can tell day from month") as caught:
        moments(np.array(["", "5/11/2026", "6/11/2026"]), "date")
    assert caught.value.row == 1


@pytest.mark.parametrize("cell", ["soon", "32.1.2026", "5.13.2026", "2026-02-30", "5.11.2026 25:00"])
def test_what_is_no_date_is_named(cell: str) -> None:
    with pytest.raises(DateError, match="is no date or time; write it as 2026-11-05"):
        moments(np.array(["2026-11-05", cell]), "date")


@pytest.mark.parametrize(
    "column",
    [
        np.array(["2026-11-05 08:15", "2026-11-05 09:30", "2026-11-06 08:00"]),
        np.array(["5/11/2026 08:15", "5/11/2026 09:30", "6/11/2026 08:00"]),
        np.array([46331.25, 46331.5, 46332.1]),
        np.array(["05.11.2026", "2026-11-05", "6.11.2026"]),
    ],
)
def test_rows_of_one_day_are_one_lot(column: np.ndarray) -> None:
    assert lots_of(column, "date").tolist() == ["2026-11-05", "2026-11-05", "2026-11-06"]


@pytest.mark.parametrize(
    "column", [["a 08:15", "a", "b"], ["1", "2", "3"], ["1-2-22", "1-2-23", "3"], ["2026-11-05", "2026-11-06", ""]]
)
def test_other_lots_keep_their_names(column: list[str]) -> None:
    assert lots_of(np.array(column), "date").tolist() == column


def table(path: Path, n: int, seed: int, **columns: list[str]) -> Path:
    rng = np.random.default_rng(seed)
    brix = 11.0 + 1.2 * rng.standard_normal(n)
    band, water = np.exp(-0.5 * ((NM - 910) / 18) ** 2), np.exp(-0.5 * ((NM - 960) / 40) ** 2)
    spectra = (1.0 + 0.05 * rng.standard_normal((n, 1))) * (1.5 + water + 0.01 * np.outer(brix, band))
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", *columns, "brix", *NM])
        for k, row in enumerate(spectra + 2e-4 * rng.standard_normal(spectra.shape)):
            out.writerow([f"f{k}", *(own[k] for own in columns.values()), round(brix[k], 3), *row.round(6)])
    return path


def test_a_chart_follows_dates_and_says_why_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = [f"{1 + k % 8}.11.2026 {8 + k % 10}:30" for k in range(80)]
    fruit = table(tmp_path / "fruit.csv", 80, 1, date=times)
    model = str(tmp_path / "model")
    call = ["train", "spectra", str(fruit), "--target", "brix", "--group", "date", "--family", "pls", "--out", model, "--json"]
    assert main(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_groups"] == 8
    assert "rows of one day are one group, 8 in all" in told["notes"][-1]
    check = ["control", model, "", "--target", "brix", "--json"]
    check[2] = str(table(tmp_path / "a.csv", 12, 2, date=[f"{12 - k}.11.2026" for k in range(12)]))
    assert main(check) in (0, 1)
    assert json.loads(capsys.readouterr().out)["in_time"] is True
    check[2] = str(table(tmp_path / "b.csv", 12, 2, date=[f"{1 + k}/11/2026" for k in range(12)]))
    assert main(check) in (0, 1)
    told = json.loads(capsys.readouterr().out)
    assert told["in_time"] is False
    assert "line 2: column 'date' was not read as times: of '1/11/2026' nobody can tell" in told["notes"][0]
    assert main([*check, "--time", "date"]) == 2
    assert "line 2: column 'date'" in capsys.readouterr().out
    assert main([*check, "--time", "dates"]) == 2
    assert "no column 'dates'; did you mean 'date'" in capsys.readouterr().out
