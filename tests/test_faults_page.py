"""The page of faults and the tests of faults say the same."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def _tests() -> dict[str, list[ast.FunctionDef]]:
    return {
        path.name: [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)]
        for path in (ROOT / "tests").glob("test_*.py")
    }


def test_every_test_the_page_names_is_there() -> None:
    tests = {name: {test.name for test in found} for name, found in _tests().items()}
    file = ""
    named = re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", PAGE)
    assert len(named) > 20
    for given, test in named:
        file = given or file
        assert file in tests, f"docs/faults.md names tests/{file}, which is not there"
        assert not test or test in tests[file], f"docs/faults.md names {test}, which is not in {file}"


def test_every_fault_under_test_is_on_the_page() -> None:
    marked = [
        test.name
        for found in _tests().values()
        for test in found
        if any("mark.fault" in ast.unparse(decorator) for decorator in test.decorator_list)
    ]
    assert len(marked) >= 15
    assert [name for name in marked if name not in PAGE] == []
