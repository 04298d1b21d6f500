"""The report of a run and the contact sheet of a fruit."""

import base64
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from citrus_grade.imaging.imager import Imager
from citrus_grade.report import charts, pictures, style
from citrus_grade.report.geometry import outline, place_of, widest
from citrus_grade.report.page import with_report, write
from citrus_grade.report.rundata import not_graded, packout, read
from citrus_grade.report.sample import sample
from citrus_grade.report.seen import absorbance, look_up
from citrus_grade.report.sheet import SIMULATED
from citrus_grade.rundir import Loaded
from citrus_grade.runlog import LogError
from citrus_grade.runtime.session import run_line
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.tables import COLOURS, FRUIT_SEEN
from citrus_grade.templates import LINE, PLAN
from citrus_grade.words import set_language
from tests.conftest import Run


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    yield
    set_language("en")


@pytest.fixture(scope="module")
def shown(normal_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a run with its report."""
    folder = normal_run.copy(tmp_path_factory.mktemp("shown") / "run")
    assert write(folder) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def camera_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a line without a model whose truth nobody knows."""
    folder = tmp_path_factory.mktemp("camera")
    shutil.copy(LINE, folder / "line.toml")
    shutil.copy(PLAN, folder / "plan.toml")
    run_line(folder / "line.toml", folder / "run", seconds=2, seed=2)
    (folder / "run" / "truth.parquet").unlink()
    return folder / "run"


class Page(HTMLParser):
    """A page's pictures, words and every address it names."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.sources += [str(named["src"])] if "src" in named else []
        self.links += [str(named["href"])] if "href" in named else []
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def bright(path: Path) -> Any:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


def test_the_page_needs_nothing_else(shown: Path) -> None:
    page = Page(shown / "report.html")
    assert page.links == []
    assert len(page.sources) >= 8
    assert all(source.startswith(("data:image/svg+xml;base64,", "data:image/jpeg;base64,")) for source in page.sources)
    assert not re.search(r"url\(|@import|<script|<link", page.html)


def test_every_picture_in_the_page_can_be_drawn(shown: Path) -> None:
    for source in Page(shown / "report.html").sources:
        kind, data = source.split(";base64,")
        raw = base64.b64decode(data)
        if kind == "data:image/svg+xml":
            assert ElementTree.fromstring(raw).tag.endswith("svg")
            assert not re.search(rb'href="(?!#|data:)', raw), "an SVG fetches nothing either"
        else:
            assert cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) is not None


def test_the_page_says_what_the_run_came_to(shown: Path, normal_run: Run) -> None:
    page = Page(shown / "report.html")
    run = read(shown)
    for row in normal_run.summary.packout:
        assert f"{row['grade']}{row['outlet']}{row['n']:,}" in page.text.replace("default (end of belt)", "default")
    for word in (run.start["plan"], run.start["model"], run.start["calibration"], run.start["software"], "line 1"):
        assert word in page.text
    assert SIMULATED in page.text


def test_the_same_run_gives_the_same_page(shown: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(shown, tmp_path / "run"))
    before = (again / "report.html").read_bytes()
    assert write(again).read_bytes() == before


def test_the_page_speaks_the_language_set(shown: Path, tmp_path: Path) -> None:
    assert 'lang="en"' in Page(shown / "report.html").html
    set_language("zh")
    page = Page(write(Path(shutil.copytree(shown, tmp_path / "run"))))
    assert "分级构成" in page.text
    assert 'lang="zh"' in page.html


def test_a_summary_gets_report_and_pictures(normal_run: Run, tmp_path: Path) -> None:
    folder = normal_run.copy(tmp_path / "run")
    summary = with_report(type(normal_run.summary)(**{**normal_run.summary.to_dict(), "run_dir": str(folder)}))
    assert summary.report == str(folder / "report.html")
    assert "real time, as computed" in Page(folder / "report.html").text
    assert {Path(picture).stem for picture in summary.pictures} >= {
        "packout",
        "diameter",
        "traits",
        "lanes",
        "skin",
        "truth",
        "sample_frame",
    }
    for picture in summary.pictures:
        assert bright(Path(picture)).std() > 5


def test_the_report_counts_as_the_run_did(normal_run: Run) -> None:
    run = read(normal_run.folder)
    rows = [{**row, "pct": round(row["pct"], 2), "kg": round(row["kg"], 3)} for row in packout(run)]
    assert rows == normal_run.summary.packout
    reasons = {reason: n for reason, n in normal_run.summary.reasons.items() if reason not in ("graded", "empty")}
    assert not_graded(run) == reasons
    assert (len(run.fruit["lane"]), run.cups) == (normal_run.summary.fruit, normal_run.summary.cups)
    assert run.alarms == normal_run.summary.alarms
    assert run.accuracy == normal_run.summary.accuracy


def test_a_run_of_which_nothing_was_measured_has_its_pictures(normal_run: Run) -> None:
    run = read(normal_run.folder)
    nothing = run.fruit | {"fruit_views": np.zeros_like(run.fruit["fruit_views"])}
    nothing |= {name: np.full(len(run.fruit["lane"]), np.nan) for name in ("diameter_mm", *run.targets)}
    run = replace(run, fruit=nothing)
    for draw in (charts.packout_chart, charts.diameter_chart, charts.lane_chart, charts.truth_chart, charts.confusion_chart):
        assert draw(run).axes


def test_colours_share_the_whole_skin(normal_run: Run) -> None:
    run = read(normal_run.folder)
    total = np.sum([run.fruit[f"skin_{colour}_pct"] for colour in COLOURS], axis=0)
    assert np.allclose(total[np.isfinite(total)], 100)


def test_size_classes_agree_with_the_accuracy(normal_run: Run) -> None:
    run = read(normal_run.folder)
    table = charts.size_confusion(run)
    assert run.accuracy is not None
    assert table.sum() == run.accuracy["n"]
    assert np.trace(table) / table.sum() == pytest.approx(run.accuracy["size_class_exact"])


def test_a_line_without_model_and_truth_has_its_report_too(camera_run: Path) -> None:
    page = Page(write(camera_run))
    assert "Inside" not in page.text
    assert "Accuracy" not in page.text
    assert "none: no sugar and no acid is known" in page.text
    assert not (camera_run / "pictures" / "traits.png").exists()


def test_a_run_that_was_cut_short_has_its_report_from_the_log(normal_run: Run, tmp_path: Path) -> None:
    folder = normal_run.copy(tmp_path / "run")
    (folder / "fruit.parquet").unlink()
    whole, again = read(normal_run.folder), read(folder)
    assert packout(again) == packout(whole)


def test_a_folder_that_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"no run\.json"):
        write(tmp_path)


def test_a_frame_made_again_is_the_frame_that_was_measured(normal_run: Run, full_run: Run) -> None:
    made, recorded = sample(read(normal_run.folder)), sample(read(full_run.folder))
    assert made is not None
    assert recorded is not None
    assert np.array_equal(made.frame.mosaic, recorded.frame.mosaic)


def test_a_frame_of_another_line_is_not_shown(normal_run: Run, tmp_path: Path) -> None:
    folder = normal_run.copy(tmp_path / "run")
    text = (folder / "line.toml").read_text(encoding="utf-8")
    (folder / "line.toml").write_text(re.sub(r"(?m)^seed = \d+", "seed = 99", text), encoding="utf-8")
    assert sample(read(folder)) is None


def test_outlines_lie_on_the_fruit(full_run: Run, loaded: Loaded) -> None:
    seen = sample(read(full_run.folder))
    assert seen is not None
    imager = Imager.of(loaded.config, loaded.config.camera[0])
    for row in seen.rows[seen.rows["state"] == FRUIT_SEEN]:
        place = place_of(imager, seen.frame.tick, seen.offset, int(row["lane"]), int(row["cup"]))
        centre = np.array([place.x_px + row["x_px"], place.y_px + row["y_px"]])
        points = outline(imager, place, row)
        red = seen.picture[..., 0].astype(int) - seen.picture[..., 2]
        inside, outside = (np.round(centre + share * (points - centre)).astype(int) for share in (0.85, 1.25))
        keep = (outside >= 0).all(1) & (outside < seen.picture.shape[1::-1]).all(1)
        assert np.median(red[inside[:, 1], inside[:, 0]]) > 25
        assert np.median(red[outside[keep, 1], outside[keep, 0]]) < 12
        ends = widest(imager, place, row)
        assert float(np.hypot(*(ends[1] - ends[0]))) == pytest.approx(float(row["major_px"]), rel=0.1)


def test_a_full_run_shows_every_view_of_a_fruit(full_run: Run, loaded: Loaded, tmp_path: Path) -> None:
    chosen = pictures.example(read(full_run.folder))
    assert chosen is not None
    seen = look_up(full_run.folder, loaded, *chosen)
    assert seen.decision is not None
    assert len(seen.views) == loaded.config.n_views
    assert np.median([view.major_px for view in seen.views]) == pytest.approx(float(seen.decision["diameter_px"]))
    full = pictures.show(full_run.folder, *chosen, tmp_path / "sheets" / "full.png")
    assert bright(full).std() > 20


def test_a_normal_run_shows_the_spectrum_and_says_that_no_frame_was_recorded(
    normal_run: Run, loaded: Loaded, tmp_path: Path
) -> None:
    chosen = pictures.example(read(normal_run.folder))
    assert chosen is not None
    seen = look_up(normal_run.folder, loaded, *chosen)
    assert seen.views == []
    assert loaded.config.spectrometer is not None
    assert len(seen.counts) == loaded.config.spectrometer.scans
    with style.drawing():
        drawn = pictures.contact_sheet(seen, loaded)
        words = [text.get_text() for axes in drawn.findobj(lambda artist: hasattr(artist, "texts")) for text in axes.texts]  # type: ignore[attr-defined]  # findobj says Artist
    assert any("frames were not recorded (log profile normal)" in text for text in words)
    assert bright(pictures.show(normal_run.folder, *chosen, tmp_path / "fruit.png")).std() > 5


def test_the_spectrum_shown_is_what_the_model_was_given(normal_run: Run, loaded: Loaded) -> None:
    chosen = pictures.example(read(normal_run.folder))
    assert chosen is not None
    seen = look_up(normal_run.folder, loaded, *chosen)
    spectra, model = absorbance(seen, loaded), loaded.model
    assert spectra is not None
    assert model is not None
    assert seen.decision is not None
    said = predict_absorbance(model, spectra.used[None])["value"][0]
    assert said == pytest.approx(seen.decision["trait"], nan_ok=True)


@pytest.mark.parametrize(
    ("lane", "cup", "said"), [(17, 3, "lanes 0 to 5"), (-1, 3, "lanes 0 to 5"), (0, 99_999, "decides cups 0 to")]
)
def test_an_unknown_fruit_is_said(normal_run: Run, tmp_path: Path, lane: int, cup: int, said: str) -> None:
    with pytest.raises(LogError, match=said):
        pictures.show(normal_run.folder, lane, cup, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_the_packout_is_a_picture_of_its_own(normal_run: Run, tmp_path: Path) -> None:
    assert bright(pictures.packout_picture(normal_run.folder, tmp_path / "packout.png")).std() > 20


def test_drawing_leaves_the_settings_of_others_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with style.drawing():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert dict(matplotlib.rcParams) == before


def test_pictures_speak_chinese_only_where_a_font_can(monkeypatch: pytest.MonkeyPatch) -> None:
    set_language("zh")
    monkeypatch.setattr(style, "fonts", lambda: (None, ("DejaVu Sans",)))
    assert (style.say("wavelength, nm"), style.name("grey")) == ("wavelength, nm", "grey")
    monkeypatch.setattr(style, "fonts", lambda: ("Some Sans SC", ("DejaVu Sans", "Some Sans SC")))
    assert style.name("grey") == "灰色"
