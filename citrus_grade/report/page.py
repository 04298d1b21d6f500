"""The report of a run: one page that needs nothing else, to read in a browser or print on A4."""

import base64
import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from citrus_grade import __version__
from citrus_grade.report import charts, pictures, sheet, style
from citrus_grade.report.labels import label, remedy
from citrus_grade.report.rundata import Run, not_graded, of_grade, packout, read
from citrus_grade.report.sample import sample, sample_picture
from citrus_grade.report.seen import look_up
from citrus_grade.report.sheet import SIMULATED, escaped
from citrus_grade.report.sureness import conditions
from citrus_grade.runtime.session import RunSummary
from citrus_grade.words import _

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88]


def write(run_dir: Path, summary: dict[str, Any] | None = None) -> Path:
    """Write ``run_dir/report.html`` and its pictures; return the page's path.

    Parameters
    ----------
    summary : `RunSummary.to_dict` of the run, if it was just made: adds how fast it ran.

    Raises
    ------
    LogError : if the folder is no run or no fruit was decided in it.
    """
    return _write(run_dir, summary)[0]


def with_report(summary: RunSummary) -> RunSummary:
    """Write the report of a run that has just ended; return its summary with the paths of page and pictures."""
    path, made = _write(Path(summary.run_dir), summary.to_dict())
    return dataclasses.replace(summary, report=str(path), pictures=[str(picture) for picture in made])


def _write(run_dir: Path, summary: dict[str, Any] | None) -> tuple[Path, list[Path]]:
    run = read(run_dir, summary)
    album = _Album(run)
    text = sheet.filled(
        "report.html",
        _("Run {name}").format(name=run_dir.resolve().name),
        badge=_badge(run),
        body="\n".join(_sections(run, album)),
        foot=escaped(_("written by citrus-grade {version}").format(version=__version__)),
    )
    path = run_dir / "report.html"
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path, album.made


@dataclasses.dataclass(slots=True)
class _Album:
    """Draws pictures, keeps them as PNG beside the page and hands them out to be put into it."""

    run: Run
    made: list[Path] = dataclasses.field(default_factory=list)

    def chart(self, name: str, draw: Callable[[], Figure], caption: str) -> str:
        svg = style.save_as_svg_too(lambda: style.stamped(draw(), self.run.simulated), self._path(name))
        return _figure("data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode(), caption)

    def photo(self, name: str, draw: Callable[[], Figure], caption: str) -> str:
        path = self._path(name)
        style.save(lambda: style.stamped(draw(), self.run.simulated), path)
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        _done, jpeg = cv2.imencode(".jpg", picture, _JPEG)
        return _figure("data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode(), caption)

    def _path(self, name: str) -> Path:
        self.made.append(self.run.run_dir / "pictures" / f"{name}.png")
        return self.made[-1]


def _sections(run: Run, album: _Album) -> Iterable[str]:
    yield _head(run)
    yield _packout(run, album)
    yield sheet.section(_("Why fruit was not graded"), _reasons(run))
    if run.loaded.plan.chances:
        yield sheet.section(_("How sure a grade is"), _sureness(run))
    yield _sample(run, album)
    caption = _("Equatorial diameter of each fruit; dashed: limits of the classes.")
    yield sheet.section(_("Size"), album.chart("diameter", lambda: charts.diameter_chart(run), caption))
    if run.targets:
        caption = _("What the spectra say of each fruit; dashed: the plan's cuts, guard bands included.")
        yield sheet.section(_("Inside"), album.chart("traits", lambda: charts.trait_chart(run), caption))
    caption = _("Shares of named colours over all skin, green skin and blemish a fruit; dashed: the plan's cuts.")
    yield sheet.section(_("Skin"), album.chart("skin", lambda: charts.skin_chart(run), caption))
    yield sheet.section(_("Lanes"), _lanes(run, album))
    if run.accuracy is not None and run.truth is not None:
        yield _accuracy(run, album)
    yield sheet.section(_("Alarms"), _alarms(run))
    yield _one_fruit(run, album)


def _head(run: Run) -> str:
    loaded, start, rates = run.loaded, run.start, run.rates
    fruit = len(run.fruit["lane"])
    tiles = [
        (f"{fruit:,}", _("fruit")),
        (f"{run.cups:,}", _("cups")),
        (f"{np.nansum(run.fruit['mass_g']) / 1000:,.1f} kg", _("mass, estimated")),
        (f"{rates['line_s']:,.1f} s", _("time of the line")),
        (f"{fruit / max(rates['line_s'], 1e-9):,.1f}", _("fruit a second of line time")),
    ]
    if "x_realtime" in rates:
        tiles.append((f"{rates['x_realtime']:.1f} x", _("real time, as computed")))
    told = [
        (_("line"), loaded.config.line.name),
        (_("lot"), ", ".join(_lots(run))),
        (_("sort plan"), f"{loaded.plan.name} ({start['plan']})"),
        (_("spectral model"), start["model"] or _("none: no sugar and no acid is known")),
        (_("calibration"), start["calibration"]),
        (_("software"), f"citrus-grade {start['software']}"),
        (_("log"), start["profile"]),
    ]
    boxes = "".join(f'<div class="tile"><b>{escaped(value)}</b>{escaped(what)}</div>' for value, what in tiles)
    return f'<div class="tiles">{boxes}</div><table class="facts">{sheet.facts(told)}</table>'


def _lots(run: Run) -> list[str]:
    lots, counts = np.unique(run.fruit["lot"], return_counts=True)
    return [_("{lot} ({n:,} fruit)").format(lot=lot, n=n) for lot, n in zip(lots.tolist(), counts.tolist(), strict=True)]


def _packout(run: Run, album: _Album) -> str:
    rows = packout(run)
    cells = [(label(r["grade"]), label(r["outlet"]), f"{r['n']:,}", f"{r['pct']:.2f}", f"{r['kg']:,.2f}") for r in rows]
    total = (_("total"), "", f"{sum(r['n'] for r in rows):,}", "100.00", f"{sum(r['kg'] for r in rows):,.2f}")
    caption = _("Share of all fruit by grade and outlet. Masses are estimated from size and the variety's density.")
    table = sheet.table((_("grade"), _("outlet"), _("n"), _("fruit, %"), "kg"), cells, left=2, total=total)
    return sheet.section(_("Packout"), album.chart("packout", lambda: charts.packout_chart(run), caption) + table)


def _reasons(run: Run) -> str:
    n, reasons = len(run.fruit["lane"]), not_graded(run)
    if not reasons:
        return _paragraph(_("Every fruit was graded."))
    cells = [(label(reason), f"{count:,}", f"{100 * count / n:.2f}") for reason, count in reasons.items()]
    total = (_("total"), f"{sum(reasons.values()):,}", f"{100 * sum(reasons.values()) / n:.2f}")
    return sheet.table((_("reason"), _("n"), _("fruit, %")), cells, left=1, total=total)


def _sureness(run: Run) -> str:
    missed, n = np.unique(run.fruit["missed_grade"], return_counts=True)
    counts = dict(zip(missed.tolist(), n.tolist(), strict=True))
    got = {grade: int(of_grade(run, grade).sum()) for grade in run.grades}
    rows = [
        (label(grade), what, reads, f"{got[grade]:,}", f"{counts.get(grade, 0):,}")
        for grade, what, reads in conditions(run.loaded.plan, run.loaded.residuals)
    ]
    head = (_("grade"), _("condition"), _("met by readings"), _("fruit"), _("missed by this alone"))
    note = _("From the model's errors at fruit it had not seen. A fruit that missed a grade met its other conditions.")
    return sheet.table(head, rows, left=3) + _paragraph(note)


def _sample(run: Run, album: _Album) -> str:
    seen = sample(run)
    if seen is None:
        return ""
    kind = _("as recorded") if run.start["profile"] == "full" else _("made again by the driver, not recorded")
    caption = _("One frame ({kind}), camera 0, frame {seq}.").format(kind=kind, seq=seen.frame.seq)
    return sheet.section(
        _("The line as the camera sees it"), album.photo("sample_frame", lambda: sample_picture(run, seen), caption)
    )


def _lanes(run: Run, album: _Album) -> str:
    caption = _("Median of each lane with its interval of 95 %; grey: all lanes. Lanes get the same fruit, so they must agree.")
    names = ("diameter_mm", *run.targets)
    by_lane: dict[int, list[str]] = {}
    for name in names:
        for row in charts.lane_medians(run, name):
            cells = by_lane.setdefault(row["lane"], [str(row["lane"]), f"{int((run.fruit['lane'] == row['lane']).sum()):,}"])
            cells.append(f"{row['median']:.2f} ± {row['half_95']:.2f}")
    table = sheet.table((_("lane"), _("fruit"), *(label(name) for name in names)), list(by_lane.values()), left=1)
    return album.chart("lanes", lambda: charts.lane_chart(run), caption) + table


def _accuracy(run: Run, album: _Album) -> str:
    facts = run.accuracy or {}
    confusion = charts.size_confusion(run)
    steps = np.abs(np.subtract.outer(np.arange(len(confusion)), np.arange(len(confusion))))
    n = max(int(confusion.sum()), 1)
    diameter = f"{facts['diameter_rmse_mm']:.2f} / {facts['diameter_bias_mm']:+.2f}"
    rows = [
        (_("diameter, mm: RMSE / bias"), diameter, f"{facts['n']:,}"),
        *((_("{trait}: RMSE / bias").format(trait=label(name)), f"{t['rmsep']:.2f} / {t['bias']:+.2f}", f"{t['n']:,}")
          for name, t in facts["traits"].items()),
        (_("size class: same, %"), f"{100 * confusion[steps == 0].sum() / n:.2f}", f"{n:,}"),
        (_("size class: one off, %"), f"{100 * confusion[steps == 1].sum() / n:.2f}", f"{n:,}"),
        (_("size class: two or more off, %"), f"{100 * confusion[steps > 1].sum() / n:.2f}", f"{n:,}"),
        (_("fruit that fell where ordered, %"), f"{100 * facts['delivery']:.2f}", ""),
        (_("empty cups told from full ones, %"), f"{100 * facts['empties_exact']:.2f}", f"{run.cups:,}"),
    ]  # fmt: skip
    if facts["mass_rmse_g"] is not None:
        rows.insert(1, (_("mass, g: RMSE"), f"{facts['mass_rmse_g']:.1f}", f"{facts['n']:,}"))
    if facts["doubles_caught"] is not None:
        rows.append((_("cups with two fruit that were caught, %"), f"{100 * facts['doubles_caught']:.2f}", ""))
    scatter = album.chart("truth", lambda: charts.truth_chart(run), _("Measured against true values; the line: equal."))
    confused = album.chart("size_classes", lambda: charts.confusion_chart(run), _("Size classes, in fruit."))
    table = sheet.table((_("what"), _("value"), _("n")), rows, left=1)
    title = escaped(_("Accuracy"))
    note = _("Skin, shape and spectra are real. The scale of the pictures and which spectrum goes with which fruit are assumed.")
    badge, kind = "", ""
    if run.simulated:
        note = _("The fruit, the light and the sensors are computed. Real fruit will give other errors.")
        badge, kind = f' <span class="badge">{SIMULATED}</span>', ' class="simulated"'
    return f'<section{kind}><h2>{title}{badge}</h2>{_paragraph(note)}{scatter}<div class="two">{confused}{table}</div></section>'


def _alarms(run: Run) -> str:
    if not run.alarms:
        return _paragraph(_("No alarm."))
    cells = [(label(kind), kind, f"{count:,}") for kind, count in sorted(run.alarms.items(), key=lambda item: -item[1])]
    advice = (
        remedy(kind, place, run.loaded.config.outlet_names) for kind, places in run.alarm_places.items() for place in places
    )
    table = sheet.table((_("alarm"), _("word in the log"), _("times")), cells, left=2)
    return table + "".join(_paragraph(text) for text in advice if text)


def _one_fruit(run: Run, album: _Album) -> str:
    chosen = pictures.example(run) if run.start["profile"] != "off" else None
    if chosen is None:
        return ""
    seen = look_up(run.run_dir, run.loaded, *chosen)
    caption = _("All that was recorded of one fruit. For another: citrus-grade show RUN LANE CUP.")
    return sheet.section(_("One fruit"), album.photo("one_fruit", lambda: pictures.contact_sheet(seen, run.loaded), caption))


def _badge(run: Run) -> str:
    if not run.simulated:
        return ""
    text = _("No real fruit was on this line: every figure is computed.")
    return f'<p class="banner"><span class="badge">{SIMULATED}</span> {escaped(text)}</p>'


def _paragraph(text: str) -> str:
    return f"<p>{escaped(text)}</p>"


def _figure(source: str, caption: str) -> str:
    return f'<figure><img src="{source}" alt="{escaped(caption)}"><figcaption>{escaped(caption)}</figcaption></figure>'
