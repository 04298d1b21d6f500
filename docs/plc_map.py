"""Writes the tables of the register map into plc.md: ``python docs/plc_map.py``."""

import re
from pathlib import Path

from citrus_grade.drivers.modbus import map as m

PAGE = Path(__file__).with_name("plc.md")
BEGIN, END = "<!-- made by plc_map.py: begin -->", "<!-- made by plc_map.py: end -->"


def tables() -> str:
    """Return the register map as Markdown."""
    return "\n".join(_table(block) for block in m.BLOCKS)


def with_tables(page: str) -> str:
    """Return a page with the tables between its marks."""
    return re.sub(f"{BEGIN}.*{END}", lambda _old: f"{BEGIN}\n{tables()}\n{END}", page, flags=re.DOTALL)


def _table(block: m.Block) -> str:
    title = f"### {block.name.capitalize()}: {_span(block)}, written by the {block.writer}"
    if block.repeat > 1:
        title += f"; {block.repeat} rows of {block.words} word{'s' if block.words > 1 else ''}"
    head = ["| register | name | type | unit | means |", "|---|---|---|---|---|"]
    rows = [
        f"| {block.at(r.name)} | `{r.name}` | {r.kind}{f' x {r.words}' if r.kind == 'text' else ''} | {r.unit} | {r.means} |"
        for r in block.registers
    ]
    return "\n".join([title, "", *head, *rows, ""])


def _span(block: m.Block) -> str:
    return f"{block.address} to {block.address + block.repeat * block.words - 1}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
