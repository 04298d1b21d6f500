"""Find the fruit in a photograph, whatever it lies on.

No threshold suits paper, a dark belt, wood and leaves alike. So several maps of the picture are cut at several levels each; every
part that comes out, or that touching parts come apart into, is a candidate; those count that are elliptical, of a colour that
citrus has, and whose outline is an edge in the picture all the way round. Of candidates that overlap the best stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.measure.split import Part, parts

Floats = NDArray[np.float32]
WORK_PX = 640
"""The longer side of the picture in which fruit are looked for."""
LEAST_PX = 14
"""The smallest fruit, in pixels of that picture."""
N_LEVELS = 9
LEAST_LIKENESS = 0.90
"""Share of candidate and ellipse together that both cover."""
LEAST_CONTRAST = 7.0
"""Difference across the outline, in CIE Lab with lightness at half weight, on most of it."""
SAME = 0.3
"""Candidates that share more than this of the smaller one are one fruit."""
SMALLEST_SHARE = 0.4
"""Candidates smaller than this against the largest fruit of the picture are something else."""
CUT_SHARE = 0.06
"""Share of a fruit's outline beyond the picture's edge from which on it is not measured."""
HUE_DEG = (30.0, 128.0)
"""Hue of citrus skin in CIE Lab, deep red orange to dark green."""
LEAST_CHROMA = 9.0
MOST_ROUGHNESS = 0.3
"""Skin is smoother than this against the contrast of its outline; foliage and roofs are not."""
_WEIGHT = np.array((0.5, 1.0, 1.0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A fruit in a photograph: ``x_px, y_px`` its centre, ``root`` (2, 2), symmetric, takes the unit disc to its outline; ``cut``
    where the picture's edge hides some of it. Pixel centres are whole numbers."""

    x_px: float
    y_px: float
    root: NDArray[np.float64]
    cut: bool = False
    score: float = 0.0

    @property
    def diameter_px(self) -> float:
        """The longest diameter."""
        half_trace, det = 0.5 * (self.root[0, 0] + self.root[1, 1]), self.root[0, 0] * self.root[1, 1] - self.root[0, 1] ** 2
        return 2 * float(half_trace + np.sqrt(max(half_trace**2 - det, 0.0)))

    def outline(self, n: int = 90, scale: float = 1.0) -> NDArray[np.float64]:
        """Return ``n`` points of the outline, (n, 2)."""
        turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
        return np.asarray((self.x_px, self.y_px) + scale * np.stack((np.cos(turn), np.sin(turn)), axis=1) @ self.root.T)


def find(rgb: NDArray[np.uint8], *, coloured: bool = True) -> list[Found]:
    """Return the fruit of a picture (height, width, 3), from top to bottom and left to right."""
    scale = min(WORK_PX / max(rgb.shape[:2]), 1.0)
    size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
    work = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    lab = np.asarray(cv2.cvtColor(work.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    candidates = [c for part in _all_parts(lab, coloured) if (c := _judge(part, lab, coloured))]
    return _in_reading_order([_at_full_size(c, rgb.shape, size) for c in _best(candidates)])


def maps(lab: Floats, coloured: bool) -> list[Floats]:
    """Return maps in which fruit stands out from what it may lie on."""
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.0)
    light, red, yellow = cv2.split(smooth)
    ground = _unlike_the_border(smooth if coloured else smooth[..., :1])
    if not coloured:
        return [light, -light, ground]
    return [yellow, red, -red, yellow / (light + 8), ground]


def _unlike_the_border(smooth: Floats) -> Floats:
    """Return how far each pixel's colour is from those along the picture's border."""
    pixels = smooth if smooth.ndim == 3 else smooth[..., None]
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    quantiles = np.quantile(border[:, 0], (0.1, 0.5, 0.9))
    centres = [border[np.abs(border[:, 0] - q) <= np.abs(border[:, :1] - quantiles).min(axis=1) + 1e-6].mean(axis=0) for q in quantiles]
    return np.asarray(np.min([np.linalg.norm(pixels - centre, axis=2) for centre in centres], axis=0), np.float32)


def _all_parts(lab: Floats, coloured: bool) -> Iterator[Part]:
    for one in maps(lab, coloured):
        low, high = np.quantile(one, (0.01, 0.995))
        for level in np.linspace(low, high, N_LEVELS + 2)[1:-1]:
            yield from parts((one > level).astype(np.uint8), LEAST_PX)


def _judge(part: Part, lab: Floats, coloured: bool) -> Found | None:
    """Return a part as a fruit if it looks like one."""
    if part.likeness < LEAST_LIKENESS:
        return None
    found = Found(part.x, part.y, part.root)
    inside = _look(lab, found.outline(72, 0.6))
    middle = np.nanmedian(np.concatenate((inside, _look(lab, found.outline(72, 0.3)))), axis=0)
    if coloured and not _citrus(middle):
        return None
    contrast = _contrast(lab, found)
    if not contrast > max(LEAST_CONTRAST, _roughness(lab, found) / MOST_ROUGHNESS):
        return None
    height, width = lab.shape[:2]
    points = found.outline()
    beyond = np.mean(((points < -0.5) | (points > (width - 0.5, height - 0.5))).any(axis=1))
    return Found(part.x, part.y, part.root, bool(beyond > CUT_SHARE), part.likeness * contrast / (contrast + 10))


def _citrus(lab: NDArray[np.float32]) -> bool:
    hue_deg = np.degrees(np.arctan2(lab[2], lab[1]))
    return bool(np.hypot(lab[1], lab[2]) > LEAST_CHROMA and HUE_DEG[0] < hue_deg < HUE_DEG[1])


def _look(lab: Floats, points: NDArray[np.float64]) -> Floats:
    """Return the picture at points (n, 2), NaN beyond its edge."""
    at = points.astype(np.float32)
    seen = cv2.remap(lab, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan,) * 3)
    return np.asarray(seen[:, 0], np.float32)


def _contrast(lab: Floats, found: Found) -> float:
    """Return the difference across the outline that three fifths of it exceed."""
    across = (_look(lab, found.outline(72, 0.94)) - _look(lab, found.outline(72, 1.06))) * _WEIGHT
    difference = np.linalg.norm(across, axis=1)
    known = difference[np.isfinite(difference)]
    return float(np.quantile(known, 0.4)) if len(known) > 24 else 0.0


def _roughness(lab: Floats, found: Found) -> float:
    """Return the difference between points a twentieth of a diameter apart on the skin."""
    return float(np.nanmedian(np.linalg.norm(np.diff(_look(lab, found.outline(72, 0.6)), axis=0) * _WEIGHT, axis=1)))


def _best(candidates: list[Found]) -> list[Found]:
    """Return the best of each group of overlapping candidates."""
    kept: list[Found] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        if all(_shared(candidate, other) <= SAME for other in kept):
            kept.append(candidate)
    largest = max((c.diameter_px for c in kept if not c.cut), default=0.0)
    return [c for c in kept if c.diameter_px >= SMALLEST_SHARE * largest]


def _shared(a: Found, b: Found) -> float:
    """Return the share of the smaller outline that lies inside the other."""
    if np.hypot(a.x_px - b.x_px, a.y_px - b.y_px) > 0.5 * (a.diameter_px + b.diameter_px):
        return 0.0
    area, _ = cv2.intersectConvexConvex(a.outline(36).astype(np.float32), b.outline(36).astype(np.float32))
    return float(area / (np.pi * min(np.linalg.det(a.root), np.linalg.det(b.root))))


def _at_full_size(found: Found, shape: tuple[int, ...], size: tuple[int, int]) -> Found:
    factor = np.array([shape[1] / size[0], shape[0] / size[1]])
    x, y = (np.array([found.x_px, found.y_px]) + 0.5) * factor - 0.5
    return Found(float(x), float(y), float(np.sqrt(factor.prod())) * found.root, found.cut, found.score)


def _in_reading_order(fruit: list[Found]) -> list[Found]:
    """Order fruit in rows about a fruit high."""
    if not fruit:
        return []
    row_px = float(np.median([one.diameter_px for one in fruit]))
    rows: list[list[Found]] = []
    for one in sorted(fruit, key=lambda f: f.y_px):
        if rows and one.y_px - np.mean([f.y_px for f in rows[-1]]) < 0.6 * row_px:
            rows[-1].append(one)
        else:
            rows.append([one])
    return [one for row in rows for one in sorted(row, key=lambda f: f.x_px)]
