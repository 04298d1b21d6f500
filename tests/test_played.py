"""A simulated or a live line's ``line.toml`` with other devices: what drove it is gone, all else stays."""

import tomllib
from pathlib import Path

import pytest

from citrus_grade.config import load, parse
from citrus_grade.runtime.live.played import Devices, with_devices
from citrus_grade.templates import LINE

DEVICES = Devices([{"driver": "tape", "tape": "x"}], [{"driver": "tape"}] * 6, {"driver": "tape", "t0_ns": 5})
LISTED = """device = [  # one a lane
    { driver = "oceanbinary", url = "socket://[::1]:1", integration_us = 3000 },
    { driver = "ascii", url = "/dev/ttyUSB0", serial = "]" },
]
"""
TABLES = """
[[spectrometer.device]]
driver = "ascii"
[[spectrometer.device]]
driver = "ascii"
"""


def _live(folder: Path, in_spectrometer: str, after: str) -> Path:
    """A line whose devices are written in any of the ways that TOML has."""
    text = LINE.read_text(encoding="utf-8").partition("[source]")[0]
    text = text.replace("[[camera]]\n", '[[camera]]  # above\ndevice = { driver = "genicam", serial = "1" }\ntransit_ms = 25.0\n')
    title, rest = text.split("[spectrometer]", 1)
    first, rest = rest.split("\n", 1)
    path = folder / "line.toml"
    live = f'emulation = "elsewhere"\n{title}[spectrometer]{first}\n{in_spectrometer}{rest}\n[plc]\ndriver = "modbus"\n{after}'
    path.write_text(live, encoding="utf-8")
    tomllib.loads(live)
    return path


@pytest.mark.parametrize(("in_spectrometer", "after"), [(LISTED, ""), ("", TABLES), ("", "\n[plc.more]\nunit = 3\n")])
def test_a_live_line_gets_other_devices_in_place_of_its_own(in_spectrometer: str, after: str, tmp_path: Path) -> None:
    path = _live(tmp_path, in_spectrometer, after)
    config = parse(with_devices(path, DEVICES, cups_per_s=5.0, emulation=tmp_path))
    assert (config.plc, config.camera[0].device) == (DEVICES.plc, DEVICES.cameras[0])
    assert config.spectrometer is not None
    assert list(config.spectrometer.device) == DEVICES.spectrometers
    assert config.camera[0].transit_ms == 10.0
    assert config.emulation == str(tmp_path)
    assert not config.source


def test_all_but_what_drives_a_line_is_kept_with_its_comments() -> None:
    text, before = with_devices(LINE, DEVICES), LINE.read_text(encoding="utf-8")
    lost = [line for line in before.partition("[source]")[0].splitlines() if line not in text.splitlines()]
    assert lost == []
    plain, live = load(LINE), parse(text)
    assert (live.line, live.outlet, live.files, live.encoder) == (plain.line, plain.outlet, plain.files, plain.encoder)
