"""Box labels: what is sent to the printer, read back; what the printer says; and what a box is said to hold."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade import templates
from citrus_grade.cli.main import main
from citrus_grade.config import ConfigError, load
from citrus_grade.drivers.label_printer import BoxLabel, PrinterOptions, look, open_printer, troubles_in, zpl
from citrus_grade.messages import Reason
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live import boxes, health
from citrus_grade.runtime.live.store import Store
from citrus_grade.tables import DECISION, empty

LABEL = BoxLabel(("L", "net 10.25 kg", "61 fruit", "lot 7", "line 1 2026-03-02 07:14", "box 12"), "monday/12")
WELL = b"\x02030,0,0,0480,000,0,0,0,000,0,0,0\x03\r\n\x02000,0,0,0,0,2,4,0,00000000,1,000\x03\r\n\x021234,0\x03\r\n"
OUTLETS = load(templates.LINE).outlet_names


def fields(data: bytes) -> list[tuple[int, int, str, str]]:
    """Return the fields of a ZPL program: where each stands in dots, its font or symbol, and its data."""
    text = data.decode()
    assert text.startswith("^XA\n^CI28\n")
    assert text.endswith("^XZ\n")
    assert (text.count("^XA"), text.count("^XZ"), text.count("~")) == (1, 1, 0)
    found = re.findall(r"\^FO(\d+),(\d+)\^(A|BQ)([^^]*)\^FH\^FD([^^]*)\^FS\n", text)
    assert len(found) == text.count("^FO") == text.count("^FD")
    return [(int(x), int(y), kind + how, _unescaped(value)) for x, y, kind, how, value in found]


def _unescaped(value: str) -> str:
    return re.sub("_([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), value)


@contextmanager
def printer(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A printer on a network: its url, and what it was sent."""
    sent: list[bytes] = []

    def serve() -> None:
        came, _address = listener.accept()
        with came:
            while data := came.recv(4096):
                sent.append(data)
                if b"~HS" in data:
                    came.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}", sent
        thread.join(10.0)


@pytest.mark.parametrize("dots_mm", [6, 8, 12, 24])
def test_a_label_says_all_it_was_given_each_in_its_place(dots_mm: int) -> None:
    options = PrinterOptions.model_validate({"url": "", "dots_mm": dots_mm, "height_mm": 55})
    found = fields(zpl(LABEL, options))
    assert [value for *_place, value in found] == [*LABEL.lines, "MA,monday/12"]
    assert [how[0] for _x, _y, how, _value in found] == ["A"] * 6 + ["B"]
    below = [y + int(how.split(",")[1]) for _x, y, how, _value in found[:-1]]
    assert all(y >= end for (_x, y, *_), end in zip(found[1:-1], below, strict=False))
    assert below[-1] <= options.height_mm * dots_mm
    side = 29 * int(found[-1][2].split(",")[2])  # modules of a QR symbol of version 3
    assert found[-1][0] + side <= options.width_mm * dots_mm
    assert found[-1][1] + side <= options.height_mm * dots_mm


def test_chinese_needs_a_font_that_is_stored_in_the_printer() -> None:
    label = BoxLabel(("特级果", "净重 10.25 公斤"), "周一/12")
    options = PrinterOptions(url="", font="E:SIMSUN.TTF")
    assert [value for *_place, value in fields(zpl(label, options))] == ["特级果", "净重 10.25 公斤", "MA,周一/12"]
    assert b"^A@N,56,56,E:SIMSUN.TTF^FH^FD" + "特级果".encode() in zpl(label, options)
    with pytest.raises(DeviceError, match="the built-in font 0 has no letters for '特级果"):
        zpl(label, PrinterOptions(url=""))


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_text_is_a_command(text: str) -> None:
    options = PrinterOptions(url="", font="E:SIMSUN.TTF")
    first, code = fields(zpl(BoxLabel((text,), text), options))
    assert first[3] == "".join(c for c in text if c.isprintable())
    assert code[3] == f"MA,{first[3]}"


def test_a_printer_that_is_well_prints() -> None:
    with printer(WELL) as (url, sent):
        ours = open_printer({"driver": "zpl", "url": url})
        ours.print(LABEL)
        ours.close()
    assert b"".join(sent) == b"~HS\r\n" + zpl(LABEL, PrinterOptions(url=url))


def test_a_printer_without_paper_is_told_and_sent_nothing() -> None:
    answer = WELL.replace(b"030,0,0", b"030,1,0").replace(b"000,0,0,0,0,2", b"000,0,1,0,0,2")
    with printer(answer) as (url, sent):
        ours = open_printer({"driver": "zpl", "url": url})
        with pytest.raises(DeviceError, match="paper is out: put in a roll; its head is open: close it"):
            ours.print(LABEL)
        ours.close()
    assert b"".join(sent) == b"~HS\r\n"


def test_the_doctors_look_says_how_a_printer_is() -> None:
    with printer(WELL.replace(b"030,0,0", b"030,0,1")) as (url, _sent):
        assert look({"driver": "zpl", "url": url}) == (f"{url}, ZPL", ("it is paused: press its pause key",), frozenset())
    with printer(b"") as (url, _sent):
        assert "does not say how it is" in look({"driver": "zpl", "url": url}).cautions[0]
    with pytest.raises(ConfigError, match="font"):
        look({"driver": "zpl", "url": url, "font": "E:宋体"})


@given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from([WELL, b"\x02", b"\x03", b",1", b"\xff"])).map(b"".join)))
def test_any_answer_is_a_status_or_none(answer: bytes) -> None:
    found = troubles_in(answer)
    assert found is None or len(found) <= 4


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with a weight on its scale: of each lane 4 fruit of lot 3 and 6 of lot 5 went to the second outlet."""
    run = tmp_path / "monday"
    run.mkdir()
    (run / "line.toml").write_text(templates.LINE.read_text(encoding="utf-8"), encoding="utf-8")
    (run / health.NAME).write_text(
        json.dumps({"supervisor_pid": 1, "running": True, "scale": {"mass_g": 10250.0, "at_utc_s": time.time()}}),
        encoding="utf-8",
    )
    _decide(run, 0, 10, lot_from=4)
    return run


def _decide(run: Path, first: int, cups: int, lot_from: int = 0) -> None:
    rows = empty(DECISION, 12 * cups)
    rows["cup"], rows["lane"] = first + np.arange(12 * cups) // 12, np.arange(12 * cups) % 12
    rows["lot"] = np.where(rows["cup"] - first < lot_from, 3, 5)
    rows["outlet"], rows["reason"] = 1, np.where(rows["lane"] < 6, Reason.GRADED, Reason.EMPTY)
    store = Store(run)
    store.add(rows)
    store.close()


def _labelled(run: Path, *words: str) -> int:
    return main(["label", str(run), "--outlet", OUTLETS[1], *words])


def test_a_box_holds_what_was_sent_there_since_the_last_label(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _labelled(run, "--to", str(run / "1.zpl")) == 0
    _decide(run, 10, 5)
    assert _labelled(run, "--to", str(run / "2.zpl"), "--kg", "7.5") == 0
    first, second = boxes.labelled(run)
    assert (first.number, first.outlet, first.lot, first.count, first.mass_g, first.up_to_cup) == (
        1,
        OUTLETS[1],
        5,
        36,
        10250.0,
        9,
    )
    assert (second.number, second.count, second.mass_g, second.up_to_cup) == (2, 30, 7500.0, 14)
    said = [value for *_place, value in fields((run / "2.zpl").read_bytes())]
    assert said[:4] == [OUTLETS[1], "net 7.50 kg", "30 fruit", "lot 5"]
    assert said[-2:] == ["box 2", "MA,monday/2"]
    assert "net 7.50 kg" in capsys.readouterr().out


def test_a_label_is_refused_with_what_to_do(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", str(run), "--outlet", "nowhere", "--to", str(run / "x.zpl")]) != 0
    assert "there is no 'nowhere'; write one of" in capsys.readouterr().err
    assert main(["label", str(run), "--outlet", OUTLETS[0], "--to", str(run / "x.zpl")]) != 0
    assert "nothing was sent there since its last label" in capsys.readouterr().err
    assert _labelled(run) != 0
    assert "has no [printer]; give --to" in capsys.readouterr().err
    state = json.loads((run / health.NAME).read_text(encoding="utf-8")) | {
        "scale": {"mass_g": 1.0, "at_utc_s": time.time() - 600}
    }
    (run / health.NAME).write_text(json.dumps(state), encoding="utf-8")
    assert _labelled(run, "--to", str(run / "x.zpl")) != 0
    assert "no weight has come to rest on the scale in the last 60 s" in capsys.readouterr().err
    assert not (run / "x.zpl").exists()
    assert boxes.labelled(run) == []
