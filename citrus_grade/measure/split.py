"""The parts of a mask, touching ones taken apart, each with the ellipse that fits what is seen of its outline."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
WHOLE = 0.95
"""A part at least this much like its ellipse is not taken apart."""
NEXT_CENTRE = 0.45
"""A point is another fruit's centre if it lies deeper in the mask than the fruit known so far explain, by this part of the largest
radius."""
LARGEST_ASPECT = 1.7
LEAST_POINTS = 12
MOST_PIECES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """An ellipse in a mask: its centre, ``root`` (2, 2) from the unit disc to it, and how like it the part is (0..1)."""

    x: float
    y: float
    root: NDArray[np.float64]
    likeness: float


def parts(mask: Mask, least_px: float) -> Iterator[Part]:
    """Yield every part of a mask that may be a fruit of at least ``least_px``; of those that touch, whole and pieces."""
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        x, y, width, height = cv2.boundingRect(outline)
        if min(width, height) < 0.5 * least_px or max(width, height) < least_px:
            continue
        lump = np.zeros((height + 2, width + 2), np.uint8)
        cv2.drawContours(lump, [outline - (x - 1, y - 1)], -1, 1, cv2.FILLED)
        for part in _of_lump(lump, (x - 1, y - 1), mask.shape):
            if 2 * np.linalg.norm(part.root, 2) >= least_px:
                yield part


def _of_lump(lump: Mask, origin: tuple[int, int], shape: tuple[int, ...]) -> Iterator[Part]:
    whole = _fit(lump, lump, origin, shape)
    if whole:
        yield whole
    if whole and whole.likeness >= WHOLE:
        return
    owner, n = _apart(lump)
    for k in range(1, n + 1):
        own = (owner == k).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(own)
        here = (slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1))
        piece = _fit(own[here], lump[here], (origin[0] + here[1].start, origin[1] + here[0].start), shape)
        if piece:
            yield piece


def _apart(lump: Mask) -> tuple[NDArray[np.int32], int]:
    """Return which piece, from 1 up, each pixel of a lump belongs to, 0 for none, and how many there are: 0 or at least 2.

    Centres are taken one after the other where the lump is deeper than discs around the centres so far explain; a pixel belongs
    to the disc whose rim it is furthest inside.
    """
    depth = cv2.distanceTransform(lump, cv2.DIST_L2, 5)
    first = float(depth.max())
    rest = np.where(depth > 0.35 * first, depth, 0)
    owner, inside = np.zeros(lump.shape, np.int32), np.full(lump.shape, -np.inf, np.float32)
    n = 0
    while n < MOST_PIECES:
        j, i = np.unravel_index(int(rest.argmax()), rest.shape)
        radius = float(depth[j, i])
        if rest[j, i] < NEXT_CENTRE * max(radius, 0.6 * first):
            break
        n += 1
        reach = int(2 * radius) + 1
        here = tuple(slice(max(k - reach, 0), min(k + reach + 1, most)) for k, most in zip((j, i), lump.shape, strict=True))
        y, x = np.ogrid[here]
        own = (radius - np.hypot(x - i, y - j)).astype(np.float32)
        owner[here][(own > inside[here]) & (lump[here] > 0)] = n
        inside[here] = np.maximum(inside[here], own)
        rest[here] = np.minimum(rest[here], depth[here] - own)
    return owner, n if n > 1 else 0


def _fit(piece: Mask, lump: Mask, origin: tuple[int, int], shape: tuple[int, ...]) -> Part | None:
    """Fit an ellipse to the piece's outline where neither the picture's edge nor another piece cuts it."""
    outlines, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    outline = max(outlines, key=len)[:, 0]
    seen = cv2.morphologyEx(lump, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))[outline[:, 1], outline[:, 0]] > 0
    there = outline + origin
    free = seen & (there > 0).all(axis=1) & (there < (shape[1] - 1, shape[0] - 1)).all(axis=1)
    if free.sum() < max(LEAST_POINTS, 0.3 * len(outline)):
        return None
    (x, y), (first, second), turn_deg = cv2.fitEllipseDirect(np.ascontiguousarray(outline[free], np.float32))
    if not (0 < first < np.inf and 0 < second < np.inf) or max(first, second) > LARGEST_ASPECT * min(first, second):
        return None
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    # The outline runs through the centres of the part's own outermost pixels.
    axes = np.diag([first / 2 + 0.5, second / 2 + 0.5])
    turn = np.array([[c, -s], [s, c]])
    root = turn @ axes @ turn.T
    return Part(x + origin[0], y + origin[1], root, _likeness(piece, lump, (x, y), root, origin, shape))


def _likeness(
    piece: Mask, lump: Mask, centre: tuple[float, float], root: NDArray[np.float64], origin: tuple[int, int], shape: tuple[int, ...]
) -> float:
    """Return the share of piece and ellipse together that both cover, of what the picture shows and no other piece hides."""
    reach = int(np.linalg.norm(root, 2)) + 2
    x0, y0 = min(int(centre[0]) - reach, 0), min(int(centre[1]) - reach, 0)
    x1, y1 = max(int(centre[0]) + reach, piece.shape[1]), max(int(centre[1]) + reach, piece.shape[0])
    y, x = np.ogrid[y0:y1, x0:x1]
    inverse = np.linalg.inv(root @ root.T)
    dx, dy = x - centre[0], y - centre[1]
    ellipse = inverse[0, 0] * dx * dx + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy <= 1
    ellipse &= (x + origin[0] >= 0) & (y + origin[1] >= 0) & (x + origin[0] < shape[1]) & (y + origin[1] < shape[0])
    pad = ((-y0, y1 - piece.shape[0]), (-x0, x1 - piece.shape[1]))
    own, other = np.pad(piece, pad) > 0, np.pad(lump - piece, pad) > 0
    together = (own | (ellipse & ~other)).sum()
    return float((own & ellipse).sum() / max(together, 1))
