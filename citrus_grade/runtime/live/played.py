"""A simulated line as a live one: its ``line.toml`` with devices that play a tape in place of ``[source]``."""

import json
import re
import time
from pathlib import Path
from typing import Any

from citrus_grade.config import load


def played(line_toml: Path, tape: Path, *, fell: Path | None = None, cups_per_s: float | None = None) -> str:
    """Return the text of a live ``line.toml``: the line of ``line_toml``, driven by a tape that begins to move now.

    ``fell`` is the file into which the simulated PLC writes what dropped where; ``cups_per_s`` the belt's speed, if not the
    line's.
    """
    config = load(line_toml)
    options: dict[str, Any] = {
        "driver": "tape",
        "tape": str(tape.resolve()),
        "t0_ns": time.monotonic_ns(),
        "cups_per_s": float(cups_per_s or config.line.cups_per_s),
    }
    device = _inline(options)
    devices = ", ".join([device] * config.line.lanes)
    text = line_toml.read_text(encoding="utf-8")
    text = re.sub(r"(?ms)^\[source\].*?(?=^\[|\Z)", "", text)
    text = re.sub(r"(?m)^\[\[camera\]\]", lambda found: f"{found[0]}\ndevice = {device}", text)
    text = re.sub(r"(?m)^\[spectrometer\]", lambda found: f"{found[0]}\ndevice = [{devices}]", text)
    if cups_per_s:
        text = re.sub(r"(?m)^cups_per_s = .*$", f"cups_per_s = {float(cups_per_s)}", text)
    plc = options | ({"fell": str(fell)} if fell else {})
    return text.rstrip() + "\n\n[plc]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in plc.items()) + "\n"


def _inline(options: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items()) + " }"
