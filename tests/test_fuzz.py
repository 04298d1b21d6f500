"""Any bytes at all end a driver's use and nothing else; and what finds drivers that do more does find them."""

from contextlib import suppress

import pytest

from benchmarks.fuzz import Fuzzed, case
from benchmarks.fuzz_targets import TARGETS
from citrus_grade.drivers.scale_formats import FORMATS
from citrus_grade.ports import DeviceError, DeviceGone

INPUTS = 120
LIBRARIES = {"s7": "snap7", "gentl camera": "harvesters", "gige camera": "viva_genicam"}


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_do_more_than_end_a_drivers_use(name: str) -> None:
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name], reason=f"the library of the {name} is not installed")
    with TARGETS[name]() as target:
        for number in range(INPUTS):
            fed = case(name, target, 5, number)
            with suppress(DeviceError, DeviceGone):
                target.feed(fed.pieces, fed.silent)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "s7"])
def test_a_sound_device_is_used_to_the_end(name: str) -> None:
    """The program of the S7 whose answers are kept takes no ejections."""
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name], reason=f"the library of the {name} is not installed")
    with TARGETS[name]() as target:
        target.feed(list(target.transcripts[0]), False)


@pytest.mark.parametrize(("name", "escapes", "hangs"), [("gone", 0, 0), ("escapes", 1, 0), ("hangs", 0, 1), ("dies", 1, 0)])
def test_what_escapes_hangs_or_dies_is_counted_and_the_rest_is_fed(name: str, escapes: int, hangs: int) -> None:
    fuzzed = Fuzzed(name, 1, "tests.fuzz_targets")
    fuzzed.feed(900)
    assert fuzzed.fed >= 900
    assert (fuzzed.escapes, fuzzed.hangs) == (escapes, hangs)


def test_the_same_seed_gives_the_same_bytes() -> None:
    with TARGETS["scale xor"]() as target:
        assert [case("scale xor", target, 3, n) for n in range(9)] == [case("scale xor", target, 3, n) for n in range(9)]
        assert case("scale xor", target, 3, 1) != case("scale xor", target, 4, 1)


def test_a_reading_of_endless_digits_is_none() -> None:
    assert FORMATS["st,gs"].frame.search(b"ST,GS,+" + b"9" * 400 + b"kg\r\n") is None


def test_a_camera_whose_width_is_no_number_is_refused_by_its_name() -> None:
    pytest.importorskip("viva_genicam", reason="viva-genicam of the extra 'gige' is not installed")
    pieces = [b"", b"Continuous", b"FrameStart", b"On", b"Line1", b"RisingEdge", b"BayerRG8", b"wide", b"4"]
    with TARGETS["gige camera"]() as target, pytest.raises(DeviceError, match="width_px = 8, but the camera sends 'wide'"):
        target.feed(pieces, False)
