"""line.toml: whatever is wrong is said at once, with file, key, value and remedy."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from citrus_grade import config
from citrus_grade.config import ConfigError, LineConfig
from citrus_grade.grading import plan
from citrus_grade.runtime.live.played import Devices, with_devices
from citrus_grade.templates import LINE

TEMPLATE = LINE.read_text(encoding="utf-8")


def changed(*pairs: tuple[str, str]) -> str:
    text = TEMPLATE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def problems(*pairs: tuple[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(changed(*pairs), "line.toml")
    return caught.value.problems


def test_the_template_describes_the_line_of_the_handbook() -> None:
    line = config.load(LINE)
    assert (line.line.lanes, line.line.cups_per_s, line.line.pitch_mm) == (6, 12.0, 100.0)
    assert line.encoder.ratio == Fraction(4096)
    assert line.outlet_names == ("1", "2", "3", "4", "5", "6", "default")
    assert line.line.decision_station >= config.least_decision_station(line)


def test_the_template_plan_needs_no_model_and_fits_the_template_line() -> None:
    line = config.load(LINE)
    made = plan.load(LINE.with_name("plan.toml"), (), line.outlet_names[:-1])
    assert made.grades[0] == "gift"
    assert not made.asks_inside


def test_the_template_plan_takes_its_sugar_rules_once_there_is_a_model() -> None:
    text = LINE.with_name("plan.toml").read_text(encoding="utf-8")
    for name in ("ssc_brix", "ta_pct", "maturity_index", "guard"):
        text = text.replace(f"# {name} =", f"{name} =", 1)
    made = plan.parse(text, ("ssc_brix", "ta_pct"), ("1", "2", "3", "4", "5", "6"))
    assert made.asks_inside
    assert made.low[0, made.features.index("ssc_brix")] == pytest.approx(12.3)


def test_five_faults_are_all_named_with_key_value_and_nearest_key() -> None:
    found = problems(
        ("pitch_mm = 100.0", "pitch_mm = 4.0"),
        ("roller_ratio = 0.32", "roller_ration = 0.32"),
        ("cups_per_s = 12.0", 'cups_per_s = "fast"'),
        ("bits = 32", "bits = 12"),
        ("ticks_per_cup = 4096 ", 'ticks_per_cup = "4096/0" '),
    )
    assert len(found) == 5
    for key, value in (
        ("line.pitch_mm", "4.0"),
        ("line.cups_per_s", "'fast'"),
        ("encoder.bits", "12"),
        ("encoder.ticks_per_cup", "4096/0"),
    ):
        assert any(problem.startswith(f"{key}: ") and value in problem for problem in found), key
    assert "line.roller_ration: unknown key; did you mean 'roller_ratio'?" in found


def test_problems_name_the_file_in_every_line() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(changed(("lanes = 6 ", "lanes = 0 "), ("bits = 32", "bits = 12")), "north/line.toml")
    assert all(line.startswith("north/line.toml: ") for line in str(caught.value).splitlines())


GEOMETRY = {
    "phases not one a lane": (("# lane_phase_cups = [0.0, ", "lane_phase_cups = ["), "line.lane_phase_cups"),
    "a phase of half a pitch": (("# lane_phase_cups = [0.0,", "lane_phase_cups = [0.5,"), "line.lane_phase_cups"),
    "more windows than the frame is wide": (("windows = 8 ", "windows = 9 "), "camera.0 (top).windows"),
    "windows that leave the frame upstream": (("window_x_px = 64", "window_x_px = 32"), "camera.0 (top).windows"),
    "a lane too few in the camera": (("448, 576, 704]", "448, 576]"), "camera.0 (top).lane_y_px"),
    "a lane outside the frame": (("576, 704]", "576, 760]"), "camera.0 (top).lane_y_px"),
    "two lanes on one another": (("576, 704]", "690, 704]"), "lanes 4 and 5"),
    "a fruit that does not turn round": (("largest_fruit_mm = 80.0", "largest_fruit_mm = 90.0"), "line.roller_ratio"),
    "a decision before the last datum": (("decision_station = 17", "decision_station = 15"), "at least 16"),
    "an outlet before the decision": (("station = 24", "station = 18"), "outlet.0 (1).station"),
    "a station behind the loading point": (("station = 4 ", "station = -1 "), "camera.0.station"),
    "a station finer than thousandths": (("station = 14\n", "station = 14.0005\n"), "spectrometer.station"),
    "falling wavelengths": (("[650, 1010]", "[1010, 650]"), "spectrometer.wavelength_nm"),
    "two outlets of one name": (('name = "2"', 'name = "1"'), "outlet: the name '1'"),
    "an outlet named as the default one": (('name = "2"', 'name = "default"'), "outlet: the name 'default'"),
}


@pytest.mark.parametrize(("change", "expected"), GEOMETRY.values(), ids=GEOMETRY.keys())
def test_geometry_that_cannot_work_is_refused(change: tuple[str, str], expected: str) -> None:
    found = problems(change)
    assert any(expected in problem for problem in found), found
    assert max(map(len, found)) < 250, "a problem is one line for people"


def test_a_second_camera_that_cannot_be_joined_is_refused() -> None:
    text = LINE.read_text(encoding="utf-8")
    begin = text.index("[[camera]]")
    section = text[begin : text.index("[spectrometer]")]
    second = section.replace("px_per_mm = 1.28", "px_per_mm = 1.20")
    with pytest.raises(ConfigError) as caught:
        config.parse(text[:begin] + section + second + text[begin + len(section) :])
    assert any("first_view" in problem and "begin at 8" in problem for problem in caught.value.problems)
    assert any("px_per_mm" in problem and "must agree" in problem for problem in caught.value.problems)


def test_several_impossibilities_are_named_at_once() -> None:
    assert (
        len(
            problems(
                ("windows = 8 ", "windows = 9 "), ("decision_station = 17", "decision_station = 5"), ('name = "2"', 'name = "1"')
            )
        )
        == 3
    )


def test_a_file_that_is_no_toml_or_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.parse("[line\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "line.toml")


def test_ticks_a_cup_may_be_an_exact_ratio() -> None:
    line: LineConfig = config.parse(changed(("ticks_per_cup = 4096 ", 'ticks_per_cup = "4096/7" ')))
    assert line.encoder.ratio == Fraction(4096, 7)


@pytest.mark.parametrize("value", ["nan", "inf", "-12.0", "true", "0"])
def test_a_speed_must_be_a_plain_positive_number(value: str) -> None:
    assert any(problem.startswith("line.cups_per_s") for problem in problems(("cups_per_s = 12.0", f"cups_per_s = {value}")))


def live(*changes: tuple[str, str]) -> str:
    """The template's line with devices of its own, changed."""
    text = with_devices(LINE, Devices([{"driver": "x"}], [{"driver": "x"}] * 6, {"driver": "x"}))
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ((("transit_ms = 10.0", ""), ("cups_per_s = 12.0", "cups_per_s = 18.0")), "camera.0 (top).transit_ms: .* 0 and 30 ms"),
        ((("latency_ms = 30.0", "latency_ms = 60.0"),), "camera.0 (top).transit_ms: .* half a pitch is 41.7 ms"),
        ((("transit_ms = 10.0", "transit_ms = 31.0"),), "camera.0 (top).transit_ms: .* 31 and 30 ms"),
        ((("latency_ms = 20.0", "latency_ms = 50.0"),), "spectrometer.transit_ms: .* 0 and 50 ms"),
    ],
)
def test_what_may_come_half_a_pitch_late_is_refused_on_a_live_line(changes: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said).replace(r"\.\*", ".*")):
        config.parse(live(*changes))


def test_a_camera_that_nothing_triggers_is_refused_on_a_live_line() -> None:
    with pytest.raises(ConfigError, match=r'camera.0 \(top\).device.trigger: "free" is for trying'):
        config.parse(live(('device = { driver = "x" }', 'device = { driver = "x", trigger = "free" }')))


def test_what_is_known_to_come_late_is_no_fault_however_late() -> None:
    late = config.parse(live(("transit_ms = 10.0", "transit_ms = 60.0"), ("latency_ms = 30.0", "latency_ms = 90.0")))
    assert (late.camera[0].transit_ms, late.camera[0].latency_ms) == (60.0, 90.0)
    assert config.parse(changed(("latency_ms = 30.0", "latency_ms = 45.0"))).camera[0].transit_ms is None  # a simulated line
