"""The table of faults, the page made from it, and the tests of faults say the same."""

import ast
from pathlib import Path

import pytest

from benchmarks import fault_page
from benchmarks.fault_page import Fault

TESTS = Path(__file__).parent
FAULTS, NOT_HELD = fault_page.read()
COUNTED = {*range(1, 23), 25, 28, 29, 30}


def _tests() -> dict[str, list[ast.FunctionDef]]:
    return {
        path.name: [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)]
        for path in TESTS.glob("test_*.py")
    }


def test_the_page_is_what_the_table_makes_of_it() -> None:
    assert fault_page.PAGE.read_text(encoding="utf-8") == fault_page.page(), "run: python -m benchmarks.fault_page"


def test_every_number_is_there_once() -> None:
    numbers = [fault.number for fault in FAULTS if fault.number]
    assert sorted(numbers) == sorted(COUNTED)


def test_every_test_the_table_names_is_there() -> None:
    tests = {name: {test.name for test in found} for name, found in _tests().items()}
    for fault in FAULTS:
        for named in fault.tests:
            file, _, test = named.partition("::")
            assert file in tests, f"{fault.title}: tests/{file} is not there"
            assert not test or test in tests[file], f"{fault.title}: {test} is not in {file}"


def test_every_fault_under_test_is_in_the_table() -> None:
    marked = [
        f"{file}::{test.name}"
        for file, found in _tests().items()
        for test in found
        if any("mark.fault" in ast.unparse(decorator) for decorator in test.decorator_list)
    ]
    named = {test for fault in FAULTS for test in fault.tests}
    assert len(marked) >= 20
    assert [test for test in marked if test not in named] == []


BOTH = {"test_a.py::test_one[1]": "passed", "test_b.py::test_x": "passed"}


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        (BOTH, ""),
        (BOTH | {"test_a.py::test_one[2]": "failed"}, "test_one[2] failed"),
        (BOTH | {"test_b.py::test_y": "skipped"}, "test_y skipped"),
        ({"test_a.py::test_one_more": "passed", "test_b.py::test_x": "passed"}, "test_one did not run"),
        ({"test_a.py::test_one": "passed"}, "test_b.py did not run"),
    ],
)
def test_a_fault_is_held_where_all_its_tests_ran_and_passed(outcomes: dict[str, str], why: str) -> None:
    fault = Fault("Processes", "killed", "SIGKILL", "nothing", ("test_a.py::test_one", "test_b.py"), number=1)
    assert fault_page.failed(fault, outcomes).endswith(why)
    assert bool(fault_page.failed(fault, outcomes)) == bool(why)


def test_faults_are_counted_by_tests_that_really_run() -> None:
    held = Fault("All", "held", "", "", ("test_faults_page.py::test_every_number_is_there_once",), number=1)
    missing = Fault("All", "without", "", "", (), number=2)
    uncounted = Fault("All", "other", "", "", ("test_faults_page.py::test_every_number_is_there_once",))
    assert fault_page.held([held, missing, uncounted]) == {"held": 1, "of": 2, "failed": ["2 without: no test"]}
