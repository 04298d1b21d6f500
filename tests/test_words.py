"""Words for people: everything said in English is said in Chinese too."""

import ast
import string
from io import BytesIO
from pathlib import Path
from typing import TypeGuard

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po

from citrus_grade import words

ROOT = Path(__file__).parents[1]
PO = words.LOCALES / "zh" / "LC_MESSAGES" / "citrus_grade.po"
FOLDERS = ("citrus_grade", "drivers", "models", "calibration")
KEYWORDS = {"_": None, "N_": None}
HINT = "run `make words`, then translate what is empty in " + PO.name


@pytest.fixture(scope="module")
def zh() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file)


def messages() -> set[str]:
    """Return every message of the sources. Babel follows no links, so the linked folders are read at their real place."""
    found = (extract_from_dir(ROOT / folder, keywords=KEYWORDS) for folder in FOLDERS)
    return {str(row[2]) for rows in found for row in rows}


def fields(text: str) -> list[tuple[str, str]]:
    return sorted((name, spec or "") for _text, name, spec, _conversion in string.Formatter().parse(text) if name is not None)


def test_every_message_is_there_in_chinese(zh: Catalog) -> None:
    missing = {message for message in messages() if message not in zh or not zh[message].string}
    assert missing == set(), HINT


def test_the_catalogue_holds_nothing_that_is_no_longer_said(zh: Catalog) -> None:
    assert {str(message.id) for message in zh if message.id} <= messages(), HINT


def test_no_translation_is_a_guess(zh: Catalog) -> None:
    assert [message.id for message in zh if message.id and message.fuzzy] == []


def test_translations_fill_in_the_same_values(zh: Catalog) -> None:
    for message in zh:
        if message.id and message.string:
            assert fields(str(message.id)) == fields(str(message.string)), message.id


def test_the_compiled_catalogue_is_in_step(zh: Catalog) -> None:
    fresh = BytesIO()
    write_mo(fresh, zh)
    fresh.seek(0)
    with PO.with_suffix(".mo").open("rb") as file:
        compiled = read_mo(file)
    assert {m.id: m.string for m in compiled if m.id} == {m.id: m.string for m in read_mo(fresh) if m.id}, HINT


def test_no_message_hides_in_an_f_string() -> None:
    """Not every Python finds what stands inside an f-string, and what is formatted before the look-up is never found."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                inside = isinstance(node, ast.JoinedStr) and any(_is_call(inner) for inner in ast.walk(node))
                formatted = _is_call(node) and isinstance(node.args[0], ast.JoinedStr)
                hidden = inside or formatted
                assert not hidden, f"{path}:{node.lineno}"


def _is_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
    ],
)
def test_the_language_is_that_of_the_locale(environment: dict[str, str], language: str) -> None:
    assert words.language_of(environment) == language


def test_the_language_can_be_changed() -> None:
    try:
        words.set_language("zh")
        assert words._("empty cup") == "空杯"
    finally:
        words.set_language("en")
    assert words._("empty cup") == "empty cup"
