"""Fruit table and packout: what people read of a run."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.lots import ROWS_A_GROUP, UNGRADED, FruitTable, Packout, columns
from citrus_grade.messages import Reason
from citrus_grade.tables import COLOURS, DECISION, empty

TARGETS, GRADES, OUTLETS = ("ssc_brix", "ta_pct"), ("gift", "juice"), ("1", "2", "default")


def decisions(n, seed=0):
    rng = np.random.default_rng(seed)
    rows = empty(DECISION, n)
    rows["lane"], rows["cup"] = np.arange(n) % 6, np.arange(n) // 6
    rows["rule"], rows["outlet"] = rng.integers(-1, 2, n), rng.integers(0, 3, n)
    rows["reason"] = rng.choice([int(Reason.GRADED), int(Reason.EMPTY), int(Reason.DOUBLE), int(Reason.LATE)], n)
    rows["mass_g"] = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(40, 200, n))
    rows["trait"], rows["trait_sigma"] = rng.uniform(8, 14, (n, 2)), 0.4
    rows["colour_pct"] = rng.uniform(0, 100, (n, len(COLOURS)))
    rows["plan_id"], rows["model_id"] = 0xFEDCBA9876543210, 0x1F
    return rows


def table(path):
    return FruitTable(path, TARGETS, GRADES, OUTLETS)


def test_columns_have_names_for_people():
    rows = decisions(60)
    named = columns(rows, TARGETS, GRADES, OUTLETS)
    assert set(named) >= {"lane", "cup", "lot", "diameter_mm", "mass_g", "grade", "outlet", "reason", "ta_pct", "ssc_brix_sigma"}
    assert {f"skin_{colour}_pct" for colour in COLOURS} <= set(named)
    assert not {"trait", "trait_sigma", "colour_pct", "rule"} & set(named)
    assert np.array_equal(named["ta_pct"], rows["trait"][:, 1])
    assert np.array_equal(named["skin_orange_pct"], rows["colour_pct"][:, COLOURS.index("orange")])
    assert list(named["grade"]) == [(*GRADES, UNGRADED)[rule] for rule in rows["rule"]]
    assert list(named["outlet"]) == [OUTLETS[outlet] for outlet in rows["outlet"]]
    assert named["reason"][0] == Reason(int(rows["reason"][0])).name.lower()
    assert set(named["plan_id"]) == {"fedcba9876543210"}
    assert set(named["model_id"]) == {"000000000000001f"}
    assert all(len(column) == 60 for column in named.values())


def test_a_line_without_a_model_has_no_traits_columns():
    assert not [name for name in columns(decisions(6), (), GRADES, OUTLETS) if "brix" in name or "trait" in name]


@pytest.mark.parametrize("n", [1, 6, ROWS_A_GROUP, ROWS_A_GROUP + 7, 2 * ROWS_A_GROUP + 1])
def test_every_row_is_on_disk_in_order(tmp_path, n):
    rows, path = decisions(n), tmp_path / "fruit.parquet"
    fruit = table(path)
    for start in range(0, n, 500):
        fruit.add(rows[start : start + 500])
        assert not path.exists()
    fruit.close()
    back = pq.read_table(path)
    assert back.num_rows == n
    assert np.array_equal(back["mass_g"].to_numpy(), rows["mass_g"], equal_nan=True)
    assert back["cup"].to_pylist() == rows["cup"].tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == ["fruit.parquet"]


def test_a_table_without_a_row_is_not_written(tmp_path):
    table(tmp_path / "fruit.parquet").close()
    assert list(tmp_path.iterdir()) == []


def test_an_old_table_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "fruit.parquet"
    first = table(path)
    first.add(decisions(6))
    first.close()
    second = table(path)
    second.add(decisions(ROWS_A_GROUP, seed=1))
    assert pq.read_table(path).num_rows == 6
    second.close()
    assert pq.read_table(path).num_rows == ROWS_A_GROUP


def test_a_runs_fruit_table_holds_its_decisions(normal_run):
    fruit = pq.read_table(normal_run.folder / "fruit.parquet")
    assert fruit.num_rows == normal_run.summary.cups
    assert list(normal_run.folder.glob("*.part")) == []
    full = [reason for reason in fruit["reason"].to_pylist() if reason != "empty"]
    assert len(full) == normal_run.summary.fruit


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 2**32 - 1))
def test_packout_sums_are_those_of_the_rows(sizes, seed):
    packout, parts = Packout(GRADES, OUTLETS), [decisions(n, seed + k) for k, n in enumerate(sizes)]
    for part in parts:
        packout.add(part)
    rows = np.concatenate([decisions(0), *parts])
    fruit = rows[rows["reason"] != Reason.EMPTY]
    entries = packout.table()
    assert packout.cups == len(rows)
    assert packout.fruit == sum(entry["n"] for entry in entries) == len(fruit)
    kg = np.nansum(fruit["mass_g"]) / 1000
    assert sum(entry["kg"] for entry in entries) == pytest.approx(kg, abs=0.0006 * max(len(entries), 1))
    if len(fruit):
        assert sum(entry["pct"] for entry in entries) == pytest.approx(100, abs=0.005 * len(entries) + 1e-9)
    for entry in entries:
        rule = (*GRADES, UNGRADED).index(entry["grade"])
        wanted = (fruit["rule"] == (rule if rule < 2 else -1)) & (fruit["outlet"] == OUTLETS.index(entry["outlet"]))
        assert entry["n"] == wanted.sum()
    assert sum(packout.reasons().values()) == len(rows)
    for reason, n in packout.reasons().items():
        assert n == (rows["reason"] == Reason[reason.upper()]).sum()


def test_ungraded_fruit_comes_last():
    packout = Packout(GRADES, OUTLETS)
    packout.add(decisions(600))
    grades = [entry["grade"] for entry in packout.table()]
    assert grades == sorted(grades, key=(*GRADES, UNGRADED).index)
