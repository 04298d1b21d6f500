"""What may import what, and what may lie in the tree."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = (
    "line",
    "imaging",
    "spectra",
    "grading",
    "geometry",
    "messages",
    "tables",
    "ports",
    "config",
    "calibration_set",
    "replay",
    "runlog",
)
HOT_PATH = "import citrus_grade.line, citrus_grade.imaging, citrus_grade.spectra, citrus_grade.grading"
HEAVY = ("sklearn", "pandas", "joblib", "matplotlib", "pyarrow", "cv2", "onnxruntime")
SOURCES = [ROOT / name for name in ("citrus_grade", "drivers", "models", "calibration", "benchmarks", "tests")]
FOREIGN = (".js", ".css", ".c", ".h", ".cpp", ".so", ".dll", ".whl", ".jar", ".ttf", ".otf", ".woff", ".woff2", ".pkl", ".joblib")
OWN = ("drivers/emulate/camera.c", "tests/failing_disk.c", "tests/wall_clock.c")
"""What of such kinds is ours: the emulated camera, for which its library has no other door, and two faults put before libc."""


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules a fresh interpreter has loaded after ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


def python_files(*folders: Path) -> list[Path]:
    return [
        path for folder in folders for path in folder.rglob("*.py") if not any(part.startswith(".") for part in path.parts[1:])
    ]


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def test_nothing_imports_upward() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_hot_path_loads_nothing_heavy() -> None:
    assert loaded_by(HOT_PATH).isdisjoint(HEAVY)


def test_no_source_of_ours_reads_or_writes_pickles() -> None:
    guilty = {
        path.name
        for path in python_files(*SOURCES)
        if imports_of(path) & {"pickle", "cPickle", "dill", "cloudpickle", "joblib.dump"}
    }
    assert guilty == set()


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_no_training_and_no_device(name: str) -> None:
    target = ROOT / "citrus_grade" / name
    files = python_files(target) if target.is_dir() else [target.with_suffix(".py")]
    for path in files:
        assert path.exists()
        heads = {module.partition(".")[0] for module in imports_of(path)}
        assert heads.isdisjoint({"sklearn", "pandas", "serial", "matplotlib"}), path


def test_simulated_physics_knows_nothing_of_how_it_is_measured() -> None:
    for path in python_files(ROOT / "drivers" / "sim"):
        assert not any(module.startswith(("citrus_grade.imaging", "citrus_grade.spectra")) for module in imports_of(path)), path


def test_no_third_party_source_lies_in_the_tree() -> None:
    folders = [folder for folder in (*SOURCES, ROOT / "docs", ROOT / "examples") if folder.exists()]
    foreign = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in FOREIGN and "__pycache__" not in path.parts
    ]
    assert [path for path in foreign if path.relative_to(ROOT).as_posix() not in OWN] == []


def test_the_code_folders_are_reached_by_relative_links() -> None:
    for name in ("drivers", "models", "calibration"):
        link = ROOT / "citrus_grade" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name
