"""The built wheel, in a clean environment, away from the sources."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "site", "runs", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build source distribution and wheel from a copy, so that nothing built before gets in."""
    copy, dist = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=NOT_SOURCE)
    subprocess.run([sys.executable, "-m", "build", "--outdir", dist, copy], check=True, capture_output=True)
    return next(dist.glob("*.whl"))


def test_the_wheel_holds_all_code_and_data_once(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "drivers/sim/plant.py", "models/train.py", "calibration/__init__.py", "templates/line.toml", "templates/plan.toml",
        "locale/zh/LC_MESSAGES/citrus_grade.mo", "py.typed", "cli/main.py",
    ):  # fmt: skip
        assert f"citrus_grade/{name}" in names
    assert {name.partition("/")[0] for name in names} == {"citrus_grade", f"citrus_grade-{wheel.name.split('-')[1]}.dist-info"}
    assert not [name for name in names if "test" in name or name.endswith((".nbi", ".nbc", ".pyc"))]


def test_the_demo_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "NUMBA_CACHE_DIR")}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, env=environment)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [scripts / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, wheel], check=True, env=environment, capture_output=True)
    demo = subprocess.run(
        [scripts / "citrus-grade", "demo", "--seconds", "5", "--json"],
        check=False, env=environment, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert demo.returncode == 0, demo.stderr
    summary = json.loads(demo.stdout)
    assert summary["fruit"] > 100
    assert summary["accuracy"]["simulated"] is True
    run = tmp_path / summary["run_dir"]
    replay = subprocess.run(
        [scripts / "citrus-grade", "replay", run, "--json"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert replay.returncode == 0, replay.stderr
    assert json.loads(replay.stdout)["diff_fields"] == 0
