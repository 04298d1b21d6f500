"""The register map: nothing overlaps, every block fits a request, and words become numbers and back."""

import re
import runpy
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.drivers.modbus import map as m

DOCS = Path(__file__).parents[1] / "docs"


def test_blocks_follow_one_another_without_overlap() -> None:
    for before, after in pairwise(m.BLOCKS):
        assert before.address + before.repeat * before.words <= after.address


def test_every_request_fits_the_limits_of_the_protocol() -> None:
    assert m.IDENTITY.words <= m.READ_WORDS
    assert m.STATUS.words + m.JAMMED.repeat * m.JAMMED.words <= m.READ_WORDS
    assert m.JAMMED.address == m.STATUS.address + m.STATUS.words
    assert m.QUEUE.words + m.QUEUE_ENTRY.repeat * m.QUEUE_ENTRY.words + 1 <= m.WRITE_WORDS
    assert m.LATENCY.repeat * m.LATENCY.words <= m.WRITE_WORDS


def test_the_ring_keeps_its_place_where_numbers_turn_over() -> None:
    assert 65536 % m.REPORT_RING == 0


@pytest.mark.parametrize("block", m.BLOCKS, ids=lambda block: block.name)
def test_names_of_a_block_are_its_own(block: m.Block) -> None:
    names = [register.name for register in block.registers]
    assert len(set(names)) == len(names)


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_numbers_survive_their_words(value: int) -> None:
    assert m.join(m.split(value, 2), signed=True) == value
    assert m.join(m.split(value, 2)) == value % (1 << 32)


def test_the_high_word_comes_first() -> None:
    assert m.split(0x12345678, 2) == [0x1234, 0x5678]


@given(st.lists(st.integers(0, 0xFFFF), min_size=m.ENTRY_WORDS, max_size=m.ENTRY_WORDS))
def test_a_row_survives_its_numbers(words: list[int]) -> None:
    assert m.pack(m.ENTRY, **m.unpack(m.ENTRY, words)) == words


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=2 * m.NAME_WORDS))
def test_ascii_survives_its_words(text: str) -> None:
    assert m.unpack_text(m.pack_text(text, m.NAME_WORDS)) == text


@given(st.lists(st.integers(0, 0xFFFF), min_size=m.NAME_WORDS, max_size=m.NAME_WORDS))
def test_any_words_can_be_shown(words: list[int]) -> None:
    assert m.unpack_text(words).isprintable()


def test_the_page_about_the_plc_shows_this_map() -> None:
    make = runpy.run_path(str(DOCS / "plc_map.py"))
    page = (DOCS / "plc.md").read_text(encoding="utf-8")
    assert make["BEGIN"] in page
    assert make["with_tables"](page) == page, "run: python docs/plc_map.py"


def test_the_example_names_registers_of_this_map() -> None:
    page = (DOCS / "plc.md").read_text(encoding="utf-8")
    used = {int(found) for found in re.findall(r"R\[(\d+)", page)} | {int(found) for found in re.findall(r"at := (\d+)", page)}
    status = (
        "count",
        "speed",
        "state",
        "heartbeat",
        "boot",
        "queue_ack",
        "queue_taken",
        "queue_free",
        "report_head",
        "count_copy",
    )
    named = {m.STATUS.at(name) for name in status} | {m.STATUS.at(name) + 1 for name in ("count", "speed", "count_copy")}
    named |= {m.QUEUE.at("sequence"), m.QUEUE.at("entries"), m.QUEUE_ENTRY.address, m.REPORT.address, m.LATENCY.address}
    named |= {m.SHUTTER.address, m.SHUTTER_AT.address}
    named |= {m.STATUS.at(name) + word for name in ("pitches", "full") for word in (0, 1)}
    named |= {m.JAMMED.address, m.JAMMED.address + 1}
    speed = m.COMMAND.at("speed_setpoint")
    assert used == named | {m.COMMAND.at("heartbeat"), m.COMMAND.at("run"), speed, speed + 1}
