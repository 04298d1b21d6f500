"""All that a log holds of one fruit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Decisions, Frame, Message, References, Scans
from citrus_grade.report.geometry import Place, disc, outline, place_of, widest
from citrus_grade.rundir import Loaded
from citrus_grade.runlog.belt import Belt, references_of
from citrus_grade.runlog.errors import LogError
from citrus_grade.runlog.export import Walk, demosaic
from citrus_grade.runlog.reader import Snapshot
from citrus_grade.spectra.predict import absorbance as gated
from citrus_grade.spectra.predict import align
from citrus_grade.tables import FRUIT_SEEN
from citrus_grade.words import _


@dataclass(frozen=True, slots=True)
class SeenView:
    """One view: ``row`` of `tables.VIEW`, its tile (n, n, 3), red first, and the outline and diameter in the tile's pixels,
    None without a fruit. ``centre`` (2,) and ``root`` (2, 2) take its disc to the tile's pixels."""

    row: np.void
    tile: NDArray[np.uint8]
    outline: NDArray[np.float64] | None = None
    widest: NDArray[np.float64] | None = None
    centre: NDArray[np.float64] | None = None
    root: NDArray[np.float64] | None = None

    @property
    def index(self) -> int:
        """Which view of the fruit it is."""
        return int(self.row["view_index"])

    @property
    def major_px(self) -> float:
        """The widest diameter, in pixels, perspective taken out."""
        return float(self.row["major_px"])


@dataclass(slots=True)
class Seen:
    """One fruit: ``decision`` is one row of `tables.DECISION`, ``counts`` (n_scans, n_pixels) its scans in order of time,
    ``dark`` and ``white`` (n_pixels,) the references it was decided with."""

    lane: int
    cup: int
    profile: str
    dark: NDArray[np.float64]
    white: NDArray[np.float64]
    decision: np.void | None = None
    views: list[SeenView] = field(default_factory=list)
    counts: list[NDArray[np.uint16]] = field(default_factory=list)


def look_up(run_dir: Path, loaded: Loaded, lane: int, cup: int) -> Seen:
    """Collect a fruit's views, scans and decision from the log.

    Raises
    ------
    LogError : if the line has no such lane or the log decides no such cup.
    """
    if not 0 <= lane < loaded.config.line.lanes:
        raise LogError(_("lane {lane}: the line has lanes 0 to {last}").format(lane=lane, last=loaded.config.line.lanes - 1))
    walk = Walk.of(run_dir)
    seen = Seen(lane, cup, walk.start["profile"], loaded.calibration.dark[lane], loaded.calibration.white[lane])
    eye = _Eye(
        seen,
        loaded,
        Belt.of(loaded.config),
        [Imager.of(loaded.config, camera, loaded.calibration) for camera in loaded.config.camera],
    )
    last = -1
    for _t_ns, item in walk.entries(frames=seen.profile == "full", from_cup=cup):
        if isinstance(item, Decisions):
            mine = item.rows[(item.rows["lane"] == lane) & (item.rows["cup"] == cup)]
            if len(mine):
                seen.decision = mine[0]
                return seen
            last = max(last, int(item.rows["cup"][-1]))
        elif isinstance(item, Snapshot | References | Message):
            eye.see(item)
    known = _("the log of this run decides no cup")
    if last >= 0:
        known = _("the log of this run decides cups 0 to {last}").format(last=last)
    raise LogError(_("cup {cup}: {known}; name one of those").format(cup=cup, known=known))


@dataclass(slots=True)
class _Eye:
    seen: Seen
    loaded: Loaded
    belt: Belt
    imagers: list[Imager]

    def see(self, item: Snapshot | References | Message) -> None:
        if isinstance(item, References):
            if item.lane == self.seen.lane:
                self.seen.dark, self.seen.white = item.dark, item.white
            return
        self.belt.follow(item)
        if isinstance(item, Snapshot):
            self.seen.dark, self.seen.white = (table[self.seen.lane] for table in references_of(item))
        if isinstance(item, Frame):
            self._frame(item)
        elif isinstance(item, Scans):
            self._scans(item)

    def _frame(self, frame: Frame) -> None:
        imager, camera = self.imagers[frame.camera], self.loaded.config.camera[frame.camera]
        cup0, _ = self.belt.at(frame.tick, camera.station + self.loaded.config.phases[self.seen.lane])
        if not 0 <= cup0 - self.seen.cup < camera.windows:
            return
        rows = imager(frame, self.belt.offset).rows
        mine = rows[(rows["lane"] == self.seen.lane) & (rows["cup"] == self.seen.cup)]
        if len(mine):
            place = place_of(imager, frame.tick, self.belt.offset, self.seen.lane, self.seen.cup)
            self.seen.views.append(_cut_out(imager, place, mine[0], demosaic(frame.mosaic, camera.bayer), camera.tile_px))

    def _scans(self, scans: Scans) -> None:
        spectrometer = self.loaded.config.spectrometer
        if spectrometer is None:
            return
        for k in np.flatnonzero(scans.lane == self.seen.lane).tolist():
            cup, ahead = self.belt.at(int(scans.tick[k]), spectrometer.station + self.loaded.config.phases[self.seen.lane])
            lit = self.belt.lit(self.seen.lane, int(scans.tick[k]))
            if lit and cup == self.seen.cup and -spectrometer.chord_cups <= 2 * ahead < spectrometer.chord_cups:
                self.seen.counts.append(scans.counts[k])


def _cut_out(imager: Imager, place: Place, view: np.void, colours: NDArray[np.uint8], tile_px: int) -> SeenView:
    x0, y0 = (max(round(at) - tile_px // 2, 0) for at in (place.x_px, place.y_px))
    tile = colours[y0 : y0 + tile_px, x0 : x0 + tile_px, ::-1]
    if view["state"] != FRUIT_SEEN:
        return SeenView(view, tile)
    corner = np.array([x0, y0])
    centre, root = disc(imager, place, view)
    return SeenView(
        view, tile, outline(imager, place, view) - corner, widest(imager, place, view) - corner, centre - corner, root
    )


@dataclass(frozen=True, slots=True)
class Spectra:
    """Absorbance: ``scans`` (n, n_window) each by itself, ``used`` (n_model,) at ``used_nm`` what the model was given, NaN if too
    few."""

    wavelength_nm: NDArray[np.float64]
    scans: NDArray[np.float64]
    clipped: NDArray[np.bool_]
    used_nm: NDArray[np.float64]
    used: NDArray[np.float64]


def absorbance(seen: Seen, loaded: Loaded) -> Spectra | None:
    """Return the spectra of a fruit by the line's own arithmetic, None if it has no scans."""
    spectrometer, model = loaded.config.spectrometer, loaded.model
    if spectrometer is None or not seen.counts:
        return None
    own_nm = loaded.calibration.axis_nm(loaded.config)[seen.lane]
    aligned = align(own_nm[None], model.wavelength_nm if model else own_nm)
    start, stop = aligned.start, aligned.stop
    dark, white = seen.dark, seen.white
    counts: NDArray[Any] = np.stack(seen.counts)
    through = np.maximum(counts[:, start:stop] - dark[start:stop], 0.5)
    single = -np.log10(through / np.maximum(white[start:stop] - dark[start:stop], 1.0))
    received = np.ones((1, len(counts)), np.bool_)
    used, _traits = gated(aligned, counts[None], received, dark[None], white[None], spectrometer.full_scale)
    clipped = np.asarray((counts[:, start:stop] >= spectrometer.full_scale).any(1))
    return Spectra(own_nm[start:stop], single, clipped, model.wavelength_nm if model else own_nm, used[0])
