"""The program as people and scripts meet it: help, language, exit codes, JSON, errors without tracebacks."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from citrus_grade import config
from citrus_grade.cli import alarms, errors, main, newrun, summary
from citrus_grade.messages import Alarm
from citrus_grade.templates import LINE, PLAN
from citrus_grade.words import set_language

ROOT = Path(__file__).parents[1]
VERBS = ("demo", "init", "simulate", "run", "replay", "log", "show", "doctor", "version")
PAGES = [[verb] for verb in VERBS] + [["log", verb] for verb in ("info", "recover", "export")]
PAGES += [["models", verb] for verb in ("list", "show", "import", "export", "compare", "promote", "rollback")]
PAGES += [["harmony"], ["control"], ["upkeep"], ["transfer"], ["predict"], ["train", "spectra"]]
HEAVY = {"numpy", "scipy", "cv2", "numba", "pydantic", "sklearn", "pyarrow", "matplotlib", "mcap"}
LIGHT = {
    "citrus_grade",
    "typer",
    "rich",
    "markdown_it",
    "mdurl",
    "pygments",
    "shellingham",
    "annotated_doc",
    "click",
    "typing_extensions",
}


def program(*args: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a process of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "LC_ALL": "C.UTF-8", "COLUMNS": "100", **environment}
    command = [sys.executable, "-m", "citrus_grade.cli", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env, encoding="utf-8")


def here(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run the program in this process."""
    code = main.main(args)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start each test in English and leave it in English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    set_language("en")
    yield
    set_language("en")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, builtins; from citrus_grade.cli.main import main; main(['--help']); main(['replay', '--help']);"
        "print(*{n.partition('.')[0] for n in sys.modules} - sys.stdlib_module_names)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name for name in done.stdout.splitlines()[-1].split() if not name.startswith(("_", "distutils"))}
    assert not loaded & HEAVY
    assert loaded <= LIGHT | {"sitecustomize", "usercustomize"}


def test_what_finds_no_room_aside_ends_nothing() -> None:
    """A full disk, or a pipe whose other end is gone."""
    read, broken = os.pipe()
    os.close(read)
    told = "from citrus_grade.cli import out; out.errors(['a lens is dirty']); out.note('it goes on'); print('ended')"
    for aside in (os.open("/dev/full", os.O_WRONLY), broken):
        done = subprocess.run([sys.executable, "-c", told], stdout=subprocess.PIPE, stderr=aside, check=False, cwd=ROOT)
        os.close(aside)
        assert done.stdout == b"ended\n"


def test_help_names_every_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _error = here(capsys, "--help")
    assert code == 0
    for word in (*VERBS, "Usage", "Exit codes", "Examples"):
        assert word in text
    assert here(capsys)[1] == text, "no arguments at all show the same page"


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_every_verb_has_help_in_both_languages(page: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, english, _error = here(capsys, *page, "--help", "--lang", "en")
    assert code == 0
    assert "Usage: citrus-grade " + " ".join(page) in english
    assert "--lang" in english
    assert "--json" in english or page == ["log"]
    code, chinese, _error = here(capsys, "--lang", "zh", *page, "--help")
    assert code == 0
    assert "用法: citrus-grade " + " ".join(page) in chinese
    assert "显示本页" in chinese
    assert "Show" not in chinese


def test_the_language_follows_the_locale() -> None:
    assert "用法" in program("--help", LC_ALL="zh_CN.UTF-8").stdout
    assert "Usage" in program("--help", LC_ALL="de_DE.UTF-8").stdout
    assert "Usage" in program("--help", "--lang", "en", LC_ALL="zh_CN.UTF-8").stdout


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["relpay"], "did you mean 'replay'"),
        (["replay"], "RUN is missing"),
        (["demo", "--sed", "1"], "did you mean '--seed'"),
        (["demo", "--seed"], "'--seed' needs a value"),
        (["demo", "--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["demo", "--seconds", "nan"], "'nan' is not a number above zero"),
        (["run", "x.toml", "--profile", "fat"], "'fat' is none of full, normal, off"),
        (["replay", "x", "--lanes", "a"], "'a' is no list of lanes"),
        (["version", "--lang", "fr"], "'fr' is none of en, zh"),
        (["version", "too", "many"], "too many"),
        (["log", "infos", "x"], "did you mean 'info'"),
        (["show", "x", "3"], "name the cup as well"),
        (["run", "missing.toml"], "missing.toml: cannot be read"),
        (["simulate", "missing.toml"], "missing.toml: cannot be read"),
        (["replay", "missing"], "missing"),
        (["log", "info", "missing"], "missing"),
        (["show", "missing"], "missing"),
        (["log", "recover", "missing.mcap"], "missing.mcap"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_said_to_people(
    args: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, text, error = here(capsys, *args)
    assert code == errors.BAD_INPUT
    assert expected in error
    assert text == ""
    assert "Traceback" not in error


def test_bad_input_leaves_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert here(capsys, "run", "missing.toml")[0] == errors.BAD_INPUT
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_json_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, error = here(capsys, "run", "missing.toml", "--json")
    answer = json.loads(text)
    assert code == answer["exit_code"] == errors.BAD_INPUT
    assert answer["error"] == "config"
    assert answer["problems"][0] in error


def test_a_faulty_configuration_is_told_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = tmp_path / "line.toml"
    line.write_text(
        LINE.read_text(encoding="utf-8").replace("lanes = 6 ", "lanes = 0 ").replace("bits = 32", "bist = 32"), encoding="utf-8"
    )
    code, _text, error = here(capsys, "run", str(line))
    assert code == errors.BAD_INPUT
    assert "line.lanes" in error
    assert "did you mean 'bits'" in error


def test_a_fault_of_ours_is_short_and_kept_in_a_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_path: Path) -> None:
        raise RuntimeError("the sky fell\nin many lines")

    monkeypatch.setattr(config, "load", fail)
    code, _text, error = here(capsys, "simulate", "--lang", "zh")
    assert code == errors.INTERNAL
    assert "RuntimeError: the sky fell" in error
    assert "Traceback" not in error
    written = Path(
        next(word for word in error.replace("；", " ").split() if word.endswith(".txt")).removeprefix("详细信息已写入")
    )
    assert "in many lines" in written.read_text(encoding="utf-8")
    written.unlink()


def test_a_full_disk_is_said_so() -> None:
    failure = errors.explain(OSError(28, "No space left on device", "runs/x"))
    assert failure.code == errors.BAD_INPUT
    assert failure.problems[0].startswith("runs/x: the disk is full")


def test_init_writes_what_the_configuration_loads_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "line"
    code, text, _error = here(capsys, "init", str(folder), "--json")
    assert code == errors.DONE
    assert json.loads(text) == {"written": [str(folder / "line.toml"), str(folder / "plan.toml")]}
    assert config.load(folder / "line.toml") == config.load(LINE)
    (folder / "plan.toml").write_text("mine", encoding="utf-8")
    code, _text, error = here(capsys, "init", str(folder))
    assert code == errors.BAD_INPUT
    assert "nothing is overwritten" in error
    assert (folder / "plan.toml").read_text(encoding="utf-8") == "mine"


def test_the_examples_are_what_init_writes() -> None:
    for template in (LINE, PLAN):
        assert (ROOT / "examples" / template.name).read_text(encoding="utf-8") == template.read_text(encoding="utf-8")


def test_templates_are_commented_in_both_languages() -> None:
    for template in (LINE, PLAN):
        comments = [line for line in template.read_text(encoding="utf-8").splitlines() if "#" in line]
        assert sum(any("\u4e00" <= letter <= "\u9fff" for letter in line) for line in comments) >= 4


def test_doctor_finds_this_machine_fit(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _error = here(capsys, "doctor", "--json")
    answer = json.loads(text)
    assert (code == errors.DONE) == answer["ok"]
    states = {finding["what"]: finding["state"] for finding in answer["findings"]}
    assert {"Python", "packages", "OpenCV", "SQLite", "disk", "clock"} <= states.keys()
    assert states["Python"] == "ok"
    assert all(finding["fix"] for finding in answer["findings"] if finding["state"] != "ok")


def test_doctor_examines_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    here(capsys, "init", str(tmp_path))
    _code, text, _error = here(capsys, "doctor", str(tmp_path / "line.toml"), "--json")
    states = {finding["what"]: finding["state"] for finding in json.loads(text)["findings"]}
    assert states["configuration"] == states["plan and artefacts"] == "ok"
    assert states["model"] == states["calibration"] == "warn"


def test_doctor_names_each_fault_of_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = LINE.read_text(encoding="utf-8").replace('driver = "sim"', 'driver = "simm"')
    (tmp_path / "line.toml").write_text(text, encoding="utf-8")
    (tmp_path / "plan.toml").write_text(PLAN.read_text(encoding="utf-8").replace("diameter_mm", "diametre_mm"), encoding="utf-8")
    code, text, _error = here(capsys, "doctor", str(tmp_path / "line.toml"), "--lang", "zh")
    assert code == errors.FINDINGS
    assert "没有驱动 'simm'" in text
    assert "diametre_mm" in text


def test_a_run_never_overwrites_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept").write_text("", encoding="utf-8")
    code, _text, error = here(capsys, "demo", str(tmp_path))
    assert code == errors.BAD_INPUT
    assert "never overwrites" in error


def test_new_runs_get_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = newrun.new_run(None, "run")
    first.mkdir(parents=True)
    assert newrun.new_run(None, "run") != first


def test_version_names_what_computes(capsys: pytest.CaptureFixture[str]) -> None:
    versions = json.loads(here(capsys, "version", "--json")[1])
    assert {"citrus-grade", "python", "numpy", "numba"} <= versions.keys()


def test_a_simulated_run_is_summarised_replayed_shown_and_changed_by_another_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    code, text, error = here(capsys, "simulate", "--seconds", "3", "--seed", "5", "--run", str(run), "--json")
    assert (code, error) == (errors.DONE, "")
    summary = json.loads(text)
    assert summary["fruit"] > 100
    assert sum(row["n"] for row in summary["packout"]) == summary["fruit"]

    code, text, _error = here(capsys, "replay", str(run))
    assert code == errors.DONE
    assert "0 fields differ" in text
    code, _text, error = here(capsys, "replay", str(run), "--lanes", "77")
    assert code == errors.BAD_INPUT
    assert "77" in error

    plan = tmp_path / "plan.toml"
    plan.write_text('name = "all"\n[[rule]]\ngrade = "any"\noutlets = ["1"]\n', encoding="utf-8")
    code, text, _error = here(capsys, "replay", str(run), "--plan", str(plan), "--lang", "zh")
    assert code == errors.DONE
    assert "any" in text
    assert "果实的等级改变" in text

    code, text, _error = here(capsys, "log", "info", str(run), "--json")
    assert code == errors.DONE
    assert json.loads(text)["truncated"] is False
    code, text, _error = here(capsys, "log", "export", str(run), "--to", str(tmp_path / "out.parquet"))
    assert code == errors.DONE
    assert (tmp_path / "out.parquet").exists()


SUMMARY = {
    "run_dir": "runs/x",
    "line_s": 60.0,
    "wall_s": 2.0,
    "fruit": 3000,
    "fruit_per_s": 1500.0,
    "x_realtime": 30.0,
    "packout": [{"grade": "gift", "outlet": "1", "n": 3000, "pct": 100.0, "kg": 300.0}],
    "reasons": {"graded": 3000, "empty": 900},
    "alarms": {"scan_gap": 2, "lens_dirty": 1},
    "alarm_places": {"scan_gap": ["sensors"], "lens_dirty": ["camera 0 lane 3 window 2"]},
    "report": "runs/x/report.html",
    "pictures": ["runs/x/a.png"],
    "accuracy": {
        "simulated": True,
        "diameter_rmse_mm": 0.81,
        "diameter_bias_mm": -0.05,
        "mass_rmse_g": 3.2,
        "size_class_exact": 0.93,
        "delivery": 1.0,
        "empties_exact": 1.0,
        "doubles_caught": None,
        "traits": {"ssc_brix": {"rmsep": 0.55, "bias": 0.02, "n": 2890}},
    },
}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("SIMULATED", "sugar (SSC)", "93.0%", "3,000", "empty cup", "scans missing", "clean the lens of camera 0")),
        ("zh", ("模拟", "糖度", "RMSEP 0.55", "空杯", "缺少扫描", "请清洁相机 0 的镜头；对应通道 3、窗口 2 处最脏")),
    ],
)
def test_a_summary_shows_everything_and_marks_what_is_simulated(
    language: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    set_language(language)
    summary.show(SUMMARY)
    text = capsys.readouterr().out
    for word in (*words, "runs/x/report.html", "runs/x/a.png", "gift"):
        assert word in text


def test_what_to_do_about_an_alarm_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    alarms.telling()(Alarm(0, "no such kind", "sensors"))
    assert capsys.readouterr() == ("", "")
    alarms.telling()(Alarm(0, "lens_dirty", "camera 0 lane 3 window 2"))
    assert "clean the lens of camera 0" in capsys.readouterr().err


def watched(terminal: int) -> str:
    """Read a terminal to its end while the program writes: it holds a few screens only, and on a slow machine more are drawn."""
    parts: list[bytes] = []
    with contextlib.suppress(OSError):  # how Linux says that nobody has the other end open
        while part := os.read(terminal, 65536):
            parts.append(part)
    return b"".join(parts).decode(errors="replace")


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    """Nothing but problems goes to stderr unless somebody watches; stdout is the answer in both cases."""
    assert program("simulate", "--seconds", "1", "--run", str(tmp_path / "quiet"), "--json").stderr == ""
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "TERM": "xterm", "COLUMNS": "100"}
    command = [
        sys.executable,
        "-m",
        "citrus_grade.cli",
        "simulate",
        "--seconds",
        "1",
        "--run",
        str(tmp_path / "watched"),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=env) as process:
        os.close(theirs)
        assert process.stdout is not None
        shown = watched(ours)
        answer = json.loads(process.stdout.read())
    os.close(ours)
    assert answer["fruit"] > 0
    assert "grading simulated fruit" in shown
