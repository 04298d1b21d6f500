"""What is wrong with the cameras: windows beyond the frame, lanes on one another, a turn not seen whole."""

import math
from itertools import pairwise

from citrus_grade.config.sections import CameraSection, LineConfig
from citrus_grade.words import _


def check_cameras(config: LineConfig) -> list[str]:
    """Return the problems of the cameras, one by one, among one another, and against the lanes' phases, for people."""
    return [*_each_camera(config), *_several_cameras(config), *_lost_views(config)]


def _each_camera(config: LineConfig) -> list[str]:
    problems = []
    for index, camera in enumerate(config.camera):
        where, half = f"camera.{index} ({camera.name})", camera.tile_px / 2
        pitch_px = camera.px_per_mm * config.line.pitch_mm
        last_x = camera.window_x_px + (camera.windows - 1) * pitch_px
        if camera.window_x_px < half or last_x + half > camera.width_px:
            problems.append(
                _(
                    "{where}.windows: {windows} windows reach from {first:.0f} to {last:.0f} px,"
                    " the frame is {width} px wide; fewer windows or another window_x_px"
                ).format(
                    where=where,
                    windows=camera.windows,
                    first=camera.window_x_px - half,
                    last=last_x + half,
                    width=camera.width_px,
                )
            )
        if len(camera.lane_y_px) != config.line.lanes:
            problems.append(
                _("{where}.lane_y_px: {n} values for {lanes} lanes").format(
                    where=where, n=len(camera.lane_y_px), lanes=config.line.lanes
                )
            )
        problems += _lane_rows(where, camera)
    if config.camera:
        turn_deg = math.degrees(
            config.n_views * config.line.roller_ratio * config.line.pitch_mm * 2 / config.line.largest_fruit_mm
        )
        if turn_deg < 360:
            problems.append(
                _(
                    "line.roller_ratio: a fruit of {mm:g} mm turns only {turn:.0f} degrees under {views} views;"
                    " at least 360 are needed: more windows or a faster roller"
                ).format(mm=config.line.largest_fruit_mm, turn=turn_deg, views=config.n_views)
            )
    return problems


def _lane_rows(where: str, camera: CameraSection) -> list[str]:
    problems, half = [], camera.tile_px / 2
    for lane, y in enumerate(camera.lane_y_px):
        if y < half or y + half > camera.height_px:
            problems.append(
                _("{where}.lane_y_px: lane {lane} at {y:g} px does not fit a frame of {height} px").format(
                    where=where, lane=lane, y=y, height=camera.height_px
                )
            )
    rows = sorted(zip(camera.lane_y_px, range(len(camera.lane_y_px)), strict=True))
    for (y, lane), (next_y, next_lane) in pairwise(rows):
        if next_y - y < half:
            problems.append(
                _("{where}.lane_y_px: lanes {lane} and {next_lane} lie on one another ({y:g} and {next_y:g} px)").format(
                    where=where, lane=lane, next_lane=next_lane, y=y, next_y=next_y
                )
            )
    return problems


def _several_cameras(config: LineConfig) -> list[str]:
    """Views of all cameras are joined to one fruit: each view has its own number, and a pixel is as long in all of them."""
    problems = []
    taken: dict[int, int] = {}
    for index, camera in enumerate(config.camera):
        where = f"camera.{index} ({camera.name})"
        views = range(camera.first_view, camera.first_view + camera.windows)
        shared = sorted({taken[view] for view in views if view in taken})
        if shared:
            problems.append(
                _("{where}.first_view: its views have the numbers of camera {other}'s; begin at {next}").format(
                    where=where, other=shared[0], next=config.n_views
                )
            )
        taken |= dict.fromkeys(views, index)
        for name in ("px_per_mm", "lens_height_mm", "fruit_plane_mm"):
            own, first = getattr(camera, name), getattr(config.camera[0], name)
            if own != first:
                problems.append(
                    _("{where}.{name}: {own:g}, but camera 0 has {first:g}; cameras of one line must agree").format(
                        where=where, name=name, own=own, first=first
                    )
                )
    return problems


def _lost_views(config: LineConfig) -> list[str]:
    """A lane out of phase with the frames is seen between two windows: at one edge of the frame its fruit is cut."""
    furthest = max(map(abs, config.phases))
    least = config.line.min_views or config.n_views
    problems = []
    for index, camera in enumerate(config.camera):
        pitch_px = camera.px_per_mm * config.line.pitch_mm
        last_x = camera.window_x_px + (camera.windows - 1) * pitch_px
        room_px = min(camera.window_x_px, camera.width_px - last_x) - camera.tile_px / 2
        if furthest and furthest * pitch_px > room_px + 1 and least > config.n_views - 1:
            problems.append(
                _(
                    "line.lane_phase_cups: at a phase of {phase:g} camera {index} loses one of {views} views at the edge of the"
                    " frame; set line.min_views = {least}, or use a wider frame"
                ).format(phase=furthest, index=index, views=config.n_views, least=config.n_views - 1)
            )
    return problems
