"""Photographs of SIMULATED fruit whose sizes are known, on paper, a belt, a wooden table or leaves, and what `measure` says of them.

``python -m benchmarks.photos`` prints how far sizes are off and how the error compares with the sigma stated, by background.
Fruit are drawn by the simulated camera, cut out along their true outline and laid on a background that is drawn here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.camera import Optics, SimCamera
from citrus_grade.drivers.sim.orchard import grow

Picture = NDArray[np.uint8]
FINE = 2
"""Fruit are drawn at this many times the photograph's scale."""
FAR_MM = 20000.0
"""The lens is so far away that every fruit is seen from straight above."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A photograph (height, width, 3), red first, and the truth of its fruit: centres and outlines' full axes in px, `TRUTH`."""

    rgb: Picture
    px_per_mm: float
    centre_px: NDArray[np.float64]
    axes_px: NDArray[np.float64]
    fruit: NDArray[Any]


def photograph(
    seed: int,
    ground: str,
    centres_px: Any,
    *,
    px_per_mm: float = 4.0,
    size_px: tuple[int, int] = (900, 1200),
    fruit: NDArray[Any] | None = None,
    upright: bool = False,
    under: Picture | None = None,
) -> Photo:
    """Take a photograph of simulated fruit, later ones over earlier ones.

    Parameters
    ----------
    ground : one of `GROUNDS`; ``under`` is a picture to lie on it at the upper left, a board for instance.
    centres_px : (n, 2) where the fruit lie. fruit : (n,) `orchard.TRUTH`; grown from ``seed`` where None.
    upright : every stem axis towards the lens, so that an outline is a circle; otherwise turned at random.
    """
    rng = np.random.default_rng([seed, 9])
    centres = np.asarray(centres_px, np.float64).reshape(-1, 2)
    grown = grow(seed, len(centres)) if fruit is None else fruit
    photo = GROUNDS[ground](rng, size_px)
    if under is not None:
        photo[: under.shape[0], : under.shape[1]] = under
    axes = []
    for one, centre in zip(grown, centres, strict=True):
        turn = np.eye(3) if upright else _random_turn(rng)
        axes.append(_lay(photo, one, turn, centre, px_per_mm, seed))
    photo += rng.normal(0, 1.2, photo.shape).astype(np.float32)
    rgb = np.clip(cv2.GaussianBlur(photo, (0, 0), 0.5) + 0.5, 0, 255).astype(np.uint8)
    return Photo(rgb, px_per_mm, centres, np.array(axes).reshape(-1, 2), grown)


def _random_turn(rng: np.random.Generator) -> NDArray[np.float64]:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q *= np.sign(np.diag(r))
    return np.asarray(q * np.sign(np.linalg.det(q)), np.float64)


def _lay(
    photo: NDArray[np.float32], one: Any, turn: NDArray[np.float64], centre: NDArray[np.float64], px_per_mm: float, seed: int
) -> tuple[float, float]:
    """Lay one fruit with its shadow; return its outline's axes."""
    semi = np.array([one["diameter_mm"], one["diameter_mm"], one["height_mm"]]) / 2 * px_per_mm
    shape = (turn * semi**2) @ turn.T
    half = int(semi.max() * 1.15) + 2
    left, top = np.floor(centre).astype(int) - half
    rgb = _render(one, turn, 2 * half, px_per_mm, seed)
    cover = _cover(shape[:2, :2], 2 * half, (centre - (left, top)))
    # The render's fruit lies in the middle of its tile; the photograph's a fraction of a pixel off it.
    dx, dy = centre - (left, top) - (half - 0.5)
    rgb = cv2.warpAffine(rgb, np.array([[1.0, 0, dx], [0, 1.0, dy]]), (2 * half, 2 * half), borderMode=cv2.BORDER_REPLICATE)
    _shade(photo, cover, left + half // 6, top + half // 6, half)
    y0, y1, x0, x1 = max(top, 0), min(top + 2 * half, photo.shape[0]), max(left, 0), min(left + 2 * half, photo.shape[1])
    own = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    part = photo[y0:y1, x0:x1]
    part += cover[own][..., None] * (rgb[own] - part)
    minor, major = 2 * np.sqrt(np.linalg.eigvalsh(shape[:2, :2]))
    return float(major), float(minor)


def _render(one: Any, turn: NDArray[np.float64], side: int, px_per_mm: float, seed: int) -> NDArray[np.float32]:
    """Return a fruit's skin (side, side, 3), continued beyond its outline."""
    n = FINE * side
    camera = SimCamera(Optics(n, n, FINE * px_per_mm, FAR_MM, blur_px=0.0), seed, ())
    middle = np.array([(n - 1) / 2])
    fruit = np.array([one])
    raw = camera.expose(int(one["fruit"]), 0.0, fruit, middle, middle, turn[None])
    rgb = cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB)
    semi = np.array([one["diameter_mm"], one["diameter_mm"], one["height_mm"]]) / 2 * px_per_mm * FINE
    inside = _cover(((turn * (semi - 3.0) ** 2) @ turn.T)[:2, :2], n, middle.repeat(2)) > 0.5
    _, nearest = cv2.distanceTransformWithLabels((~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    skin = np.zeros((nearest.max() + 1, 3), np.uint8)
    skin[nearest[inside]] = rgb[inside]
    return np.asarray(cv2.resize(skin[nearest], (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _cover(shape: NDArray[np.float64], side: int, centre: Any) -> NDArray[np.float32]:
    """Return the share of each pixel of a square that an ellipse covers."""
    x, y = np.meshgrid(np.arange(side) - centre[0], np.arange(side) - centre[1])
    inverse = np.linalg.inv(shape)
    gx, gy = inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
    radius = np.sqrt(x * gx + y * gy)
    steep = np.sqrt(gx * gx + gy * gy) / np.maximum(radius, 1e-9)
    return np.asarray(np.clip((1 - radius) / np.maximum(steep, 1e-9) + 0.5, 0, 1), np.float32)


def _shade(photo: NDArray[np.float32], cover: NDArray[np.float32], left: int, top: int, half: int) -> None:
    """Darken the ground where a fruit's shadow falls."""
    shadow = np.zeros(photo.shape[:2], np.float32)
    y0, y1, x0, x1 = max(top, 0), min(top + 2 * half, photo.shape[0]), max(left, 0), min(left + 2 * half, photo.shape[1])
    if y0 < y1 and x0 < x1:
        shadow[y0:y1, x0:x1] = cover[y0 - top : y1 - top, x0 - left : x1 - left]
        photo *= 1 - 0.45 * cv2.GaussianBlur(shadow, (0, 0), half / 6)[..., None]


def _smooth(rng: np.random.Generator, size_px: tuple[int, int], sigma: tuple[float, float]) -> NDArray[np.float32]:
    """Return noise of unit variance, blurred by ``sigma`` along x and y."""
    noise = cv2.GaussianBlur(rng.standard_normal(size_px).astype(np.float32), (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def _flat(rng: np.random.Generator, size_px: tuple[int, int], colour: tuple[int, int, int], rough: float) -> NDArray[np.float32]:
    fall = np.linspace(1.04, 0.9, size_px[1], dtype=np.float32)[None, :, None]
    grain = 1 + rough * _smooth(rng, size_px, (1.5, 1.5))[..., None]
    return np.asarray(np.array(colour, np.float32) * fall * grain, np.float32)


def _paper(rng: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.float32]:
    return _flat(rng, size_px, (232, 230, 224), 0.006)


def _belt(rng: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.float32]:
    return _flat(rng, size_px, (38, 40, 46), 0.08)


def _wood(rng: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.float32]:
    grain = _smooth(rng, size_px, (60, 2)) + 0.5 * _smooth(rng, size_px, (200, 8))
    return np.asarray(np.array((172, 126, 84), np.float32) * (1 + 0.10 * grain)[..., None], np.float32)


def _leaves(rng: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.float32]:
    ground = np.full((*size_px, 3), (40, 36, 26), np.uint8)
    for _ in range(900):
        at = (int(rng.integers(size_px[1])), int(rng.integers(size_px[0])))
        green = np.array((62, 98, 40)) * rng.uniform(0.55, 1.35)
        cv2.ellipse(
            ground,
            at,
            (int(rng.integers(50, 90)), int(rng.integers(16, 28))),
            rng.uniform(0, 360),
            0,
            360,
            green.tolist(),
            -1,
            cv2.LINE_AA,
        )
    return np.asarray(ground, np.float32)


GROUNDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float32]]] = {
    "paper": _paper,
    "belt": _belt,
    "wood": _wood,
    "leaves": _leaves,
}
