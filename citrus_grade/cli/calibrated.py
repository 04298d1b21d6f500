"""What people and programs are told of a calibration."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from citrus_grade.cli import out
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.runtime.calibrating import Checked, Geometry

_STATES = {"within": N_("within"), "drifted": N_("drifted"), "unsure": N_("unsure: lay more balls")}


def geometry(done: "Geometry") -> dict[str, Any]:
    """Return what was measured as plain data."""
    told: dict[str, Any] = {"calibration_id": done.after.id, "simulated": done.simulated, "advice": list(done.advice)}
    names = ("axis_x_px", "axis_y_px", "focal_px", "k1", "k2")
    told["lenses"] = [
        {"camera": c.name, "views": fit.views, "corners": len(fit.seen_px), "rms_px": fit.rms_px}
        | dict(zip(names, fit.lens.tolist(), strict=True))
        | {f"{name}_sigma": value for name, value in zip(names, fit.sigma.tolist(), strict=True)}
        for c, fit in zip(done.line.camera, done.lenses, strict=False)
    ]
    told["lanes"] = _lanes(done)
    told["scale"], told["residuals"] = [], []
    if done.scale is not None:
        told |= _scale(done)
    return told


def _lanes(done: "Geometry") -> list[dict[str, Any]]:
    lane_y_px, cup_x_px = done.after.lane_y_px, done.after.cup_x_px
    if lane_y_px is None or cup_x_px is None:
        return []
    return [
        {
            "camera": camera.name,
            "lane": lane,
            "lane_y_px": float(lane_y_px[index, lane]),
            "moved_px": float(lane_y_px[index, lane] - camera.lane_y_px[lane]),
            "bounded": bool(fit.bounding[lane]),
            "cup_ahead_px": float(cup_x_px[index, lane] - camera.window_x_px),
            "cup_marked": bool(fit.ahead_sigma_px[lane] >= 0),
        }
        for index, (camera, fit) in enumerate(zip(done.line.camera, done.belts, strict=False))
        for lane in range(done.line.line.lanes)
    ]


def _scale(done: "Geometry") -> dict[str, Any]:
    fit = done.scale
    assert fit is not None
    residual, balls = fit.residual_mm, fit.balls
    scale = [
        {
            "lane": lane,
            "offset_mm": float(fit.scale[lane, 0]),
            "slope": float(fit.scale[lane, 1]),
            "sigma_mm": float(fit.sigma_mm[lane]),
            "n": int((balls.lane == lane).sum()),
            "along_mm": float(balls.aside_mm[balls.lane == lane, 0].mean()),
            "across_mm": float(balls.aside_mm[balls.lane == lane, 1].mean()),
        }
        for lane in range(len(fit.scale))
    ]
    residuals = [
        {
            "lane": lane,
            "size_mm": size,
            "n": len(own),
            "mean_mm": float(own.mean()),
            "sd_mm": float(own.std(ddof=1)),
            "largest_mm": float(own[abs(own).argmax()]),
        }
        for lane in range(len(fit.scale))
        for size in sorted(fit.sizes_mm)
        for own in (residual[(balls.lane == lane) & (fit.known_mm == size)],)
    ]
    return {"scale": scale, "residuals": residuals}


def show_geometry(told: dict[str, Any]) -> None:
    if told["simulated"]:
        out.text("SIMULATED", "bold red")
    for lens in told["lenses"]:
        text = _(
            "camera {camera}: focal length {focal_px:.1f} ± {focal_px_sigma:.1f} px, axis at {axis_x_px:.1f}, {axis_y_px:.1f} px,"
            " k1 {k1:+.4f}, k2 {k2:+.4f}; {corners} corners of {views} pictures lie {rms_px:.2f} px (RMS) off their places"
        )
        out.text(text.format(**lens))
    if told["lanes"]:
        out.table(
            _("Lanes and cups, px"),
            (_("camera"), _("lane"), _("middle"), _("moved"), _("edges"), _("cups ahead"), _("marked by")),
            (
                (
                    lane["camera"],
                    lane["lane"],
                    f"{lane['lane_y_px']:.1f}",
                    f"{lane['moved_px']:+.1f}",
                    _("both") if lane["bounded"] else _("one"),
                    f"{lane['cup_ahead_px']:+.1f}",
                    _("belt") if lane["cup_marked"] else _("balls or line.toml"),
                )
                for lane in told["lanes"]
            ),
        )
    if told["scale"]:
        _show_scale(told)
    for line in told["advice"]:
        out.text(line, "yellow")
    show_written(told["written"])


def _show_scale(told: dict[str, Any]) -> None:
    out.table(
        _("Scale: diameter = offset + slope x nominal; where balls lie in their cups"),
        (_("lane"), "n", _("offset, mm"), _("slope"), _("residual sd, mm"), _("downstream, mm"), _("across, mm")),
        (
            (
                row["lane"],
                row["n"],
                f"{row['offset_mm']:+.2f}",
                f"{row['slope']:.4f}",
                f"{row['sigma_mm']:.3f}",
                f"{row['along_mm']:+.1f}",
                f"{row['across_mm']:+.1f}",
            )
            for row in told["scale"]
        ),
    )
    out.table(
        _("Residuals, mm: measured less known"),
        (_("lane"), _("ball, mm"), "n", _("mean"), _("sd"), _("largest")),
        (
            (
                row["lane"],
                f"{row['size_mm']:g}",
                row["n"],
                f"{row['mean_mm']:+.3f}",
                f"{row['sd_mm']:.3f}",
                f"{row['largest_mm']:+.3f}",
            )
            for row in told["residuals"]
        ),
    )


def checked(done: "Checked") -> dict[str, Any]:
    from citrus_grade.calibration.drift import of_lane

    lanes = {lane: of_lane(list(done.drifts), lane) for lane in range(done.line.line.lanes)}
    verdict = next((state for state in ("drifted", "unsure") if state in lanes.values()), "within")
    rows = [{name: getattr(drift, name) for name in drift.__dataclass_fields__} for drift in done.drifts]
    return {
        "calibration_id": done.calibration_id,
        "simulated": done.simulated,
        "within_mm": done.within_mm,
        "verdict": verdict,
        "lanes": lanes,
        "sizes": rows,
    }


def show_checked(told: dict[str, Any]) -> None:
    if told["simulated"]:
        out.text("SIMULATED", "bold red")
    out.table(
        _("Error of gauge balls, mm: measured less known, interval of 95 %"),
        (_("lane"), _("ball, mm"), "n", _("mean"), _("from"), _("to"), _("verdict")),
        (
            (
                row["lane"],
                f"{row['size_mm']:g}",
                row["n"],
                *(f"{row[name]:+.3f}" for name in ("mean_mm", "low_mm", "high_mm")),
                _(_STATES[row["verdict"]]),
            )
            for row in told["sizes"]
        ),
    )
    for lane, state in told["lanes"].items():
        text = _("lane {lane}: {state} ({within:g} mm)").format(lane=lane, state=_(_STATES[state]), within=told["within_mm"])
        out.text(text, "" if state == "within" else "yellow")
    show_written(told.get("written", ()))


def show_written(paths: Iterable[Path | str]) -> None:
    for path in paths:
        out.text(_("written: {path}").format(path=path))
