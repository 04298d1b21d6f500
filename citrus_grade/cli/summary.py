"""What people see of a run that has ended."""

from pathlib import Path
from typing import Any

from citrus_grade.cli import alarms, out
from citrus_grade.report.labels import label
from citrus_grade.words import _


def show(summary: dict[str, Any]) -> None:
    """Print packout, reasons, accuracy, rates, and where pictures and report lie."""
    _packout(summary["packout"])
    if summary["reasons"]:
        out.table(_("Why"), (_("reason"), _("cups")), ((label(name), f"{n:,}") for name, n in summary["reasons"].items()))
    if summary["accuracy"]:
        _accuracy(summary["accuracy"])
    out.text(
        _(
            "{fruit:,} fruit in {line_s:.1f} s of line time, graded in {wall_s:.1f} s: "
            "{fruit_per_s:,.0f} fruit/s, {x_realtime:.1f} x real time"
        ).format(**{name: summary[name] for name in ("fruit", "line_s", "wall_s", "fruit_per_s", "x_realtime")})
    )
    alarms.show(summary["alarms"], summary["alarm_places"], Path(summary["run_dir"]))
    _places(summary)


def _packout(rows: list[dict[str, Any]]) -> None:
    out.table(
        _("Packout"),
        (_("grade"), _("outlet"), _("fruit"), "%", "kg"),
        ((label(row["grade"]), row["outlet"], f"{row['n']:,}", f"{row['pct']:.1f}", f"{row['kg']:.1f}") for row in rows),
        left=2,
    )


def _accuracy(accuracy: dict[str, Any]) -> None:
    rows = [
        (
            _("diameter"),
            _("RMSE {rmse:.2f} mm, bias {bias:+.2f} mm").format(
                rmse=accuracy["diameter_rmse_mm"], bias=accuracy["diameter_bias_mm"]
            ),
        ),
        (_("right size class"), _share(accuracy["size_class_exact"])),
        (_("fell at the outlet ordered"), _share(accuracy["delivery"])),
        (_("empty cups recognised"), _share(accuracy["empties_exact"])),
        (_("doubles recognised"), _share(accuracy["doubles_caught"])),
    ]
    if accuracy["mass_rmse_g"] is not None:
        rows.insert(1, (_("mass"), _("RMSE {rmse:.1f} g").format(rmse=accuracy["mass_rmse_g"])))
    for name, trait in accuracy["traits"].items():
        figures = _("RMSEP {rmsep:.2f}, bias {bias:+.2f}, n = {n:,}").format(**trait)
        rows.append((label(name), figures))
    title = _("Accuracy against the simulator's truth, SIMULATED")
    if not accuracy["simulated"]:
        title = _("Accuracy, {truth}").format(truth=label(accuracy["truth"]))
    out.table(title, (_("what"), _("figure")), rows)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _places(summary: dict[str, Any]) -> None:
    out.text(_("run folder  {path}").format(path=summary["run_dir"]))
    for picture in summary["pictures"]:
        out.text(_("picture     {path}").format(path=picture))
    if summary["report"]:
        out.text(_("report      {path}").format(path=summary["report"]))
