"""What the pages are made of: a common head, sections, tables, and the mark of what was simulated."""

import html
from collections.abc import Iterable, Sequence
from string import Template
from typing import Any, Final

from citrus_grade.templates import FOLDER
from citrus_grade.words import _

SIMULATED: Final = "SIMULATED / 模拟"


def filled(name: str, title: str, **parts: str) -> str:
    """Return a page of the templates with the head that all pages share.

    Parameters
    ----------
    name : of the template. title : plain text. parts : HTML, by the template's names.
    """
    text = "".join((FOLDER / part).read_text(encoding="utf-8") for part in ("head.html", name))
    # The catalogue translates "en" with its own language's code.
    return Template(text).substitute(parts, lang=_("en"), title=escaped(title))


def escaped(text: Any) -> str:
    """Return plain text as HTML."""
    return html.escape(str(text))


def section(title: str, body: str) -> str:
    """Return HTML under a title of its own."""
    return f"<section><h2>{escaped(title)}</h2>{body}</section>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return rows of a table, each what it is and its value."""
    return "".join(f"<tr><th>{escaped(what)}</th><td>{escaped(value)}</td></tr>" for what, value in rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int, total: Sequence[str] = ()) -> str:
    """Return a table; the first ``left`` columns are words, the others numbers."""

    def line(cells: Sequence[str], tag: str = "td") -> str:
        marked = (f"<{tag}{'' if k < left else ' class=n'}>{escaped(cell)}</{tag}>" for k, cell in enumerate(cells))
        return f"<tr>{''.join(marked)}</tr>"

    foot = f"<tfoot>{line(total)}</tfoot>" if total else ""
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{''.join(map(line, rows))}</tbody>{foot}</table>"
