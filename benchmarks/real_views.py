"""Real pictures as the line's camera would take them: cut-outs laid on a roller belt and re-mosaicked to raw Bayer tiles.

Works on any folder with sets of ``obj*/im*.png`` on black; a set may hold ``labels.json`` and ``ground_truth.txt`` beside them.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.files_pictures import fruit_mask
from citrus_grade.drivers.sim.render_belt import lay, roll_out

MARGIN_PX = 24
"""Belt to be seen around the largest cut-out."""
BELT_PX_PER_MM = 2.56
_LENGTHS = frozenset({"x", "y", "r", "rx", "ry", "x0", "x1", "y0", "y1"})
"""What labels hold that is a length in pixels of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class RealView:
    """One picture as a raw tile.

    The picture is turned a quarter, so that skin that moves down in it moves downstream (+x) on the line:
    ``x_tile = y_png + dx``, ``y_tile = dy - x_png``.
    """

    set: str
    fruit: str
    index: int
    mosaic: NDArray[np.uint8]
    dx: float
    dy: float
    labels: dict[str, Any] | None = None

    def to_tile(self, x_png: Any, y_png: Any) -> tuple[Any, Any]:
        """Return where in the tile a point of the picture lies."""
        return y_png + self.dx, self.dy - x_png

    def to_png(self, x_tile: Any, y_tile: Any) -> tuple[Any, Any]:
        """Return where in the picture a point of the tile lies."""
        return self.dy - y_tile, x_tile - self.dx


@dataclass(frozen=True, slots=True, eq=False)
class RealSet:
    """A set: ``views`` by fruit and index, and point pairs (fruit, index a, index b, x_a, y_a, x_b, y_b) in picture pixels."""

    name: str
    tile_px: int
    views: dict[str, dict[int, RealView]]
    pairs: list[tuple[str, int, int, float, float, float, float]] = field(default_factory=list)


def load_sets(images: Path, scale: float = 1.0) -> list[RealSet]:
    """Load every set of a folder laid out like ``images/*-views/obj*/im*.png``; ``scale`` shrinks pictures and labels."""
    folders = [folder for folder in sorted(images.iterdir()) if folder.is_dir() and any(folder.glob("obj*/im*.png"))]
    return [load_set(folder, scale) for folder in folders]


def load_set(folder: Path, scale: float = 1.0) -> RealSet:
    """Load one set; ``scale`` shrinks its pictures and labels, not its point pairs."""
    paths = sorted(folder.glob("obj*/im*.png"))
    pictures = {path: _read(path, scale) for path in paths}
    side = max(max(picture.shape[:2]) for picture in pictures.values()) + 2 * MARGIN_PX
    tile = -(-side // 64) * 64
    labels = json.loads((folder / "labels.json").read_text()) if (folder / "labels.json").is_file() else {}
    views: dict[str, dict[int, RealView]] = {}
    for path, picture in pictures.items():
        fruit, index = path.parent.name, int(path.stem[2:])
        own = _shrunk(labels.get(fruit, {}).get(path.stem), scale)
        views.setdefault(fruit, {})[index] = _view(folder.name, fruit, index, picture, tile, own)
    return RealSet(folder.name, tile, views, _pairs(folder / "ground_truth.txt"))


def _read(path: Path, scale: float) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None, path
    if scale != 1.0:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[..., ::-1])


def _shrunk(labels: Any, scale: float) -> Any:
    """Return labels with every length scaled."""
    if isinstance(labels, dict):
        return {key: value * scale if key in _LENGTHS else _shrunk(value, scale) for key, value in labels.items()}
    return [_shrunk(item, scale) for item in labels] if isinstance(labels, list) else labels


def _pairs(path: Path) -> list[tuple[str, int, int, float, float, float, float]]:
    if not path.is_file():
        return []
    pairs = []
    for line in filter(str.strip, path.read_text().splitlines()):
        fruit, a, b, x_a, y_a, x_b, y_b = line.split(",")[:7]
        pairs.append((fruit.strip(), int(a), int(b), float(x_a), float(y_a), float(x_b), float(y_b)))
    return pairs


def _view(name: str, fruit: str, index: int, picture: NDArray[np.uint8], tile: int, labels: dict[str, Any] | None) -> RealView:
    rgb = np.ascontiguousarray(cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE))
    mask = fruit_mask(rgb)
    x, y, w, h = cv2.boundingRect(mask)
    left, top = (tile - w) // 2 - x, (tile - h) // 2 - y
    canvas = _belt(tile, hash_of(fruit, index))
    cover = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.6)
    shift = np.array([[1.0, 0, left], [0, 1.0, top]])
    rgb_there = cv2.warpAffine(
        rgb.astype(np.float32), shift, (tile, tile), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    cover_there = cv2.warpAffine(cover, shift, (tile, tile), flags=cv2.INTER_NEAREST)
    mosaic = np.empty((tile, tile), np.uint8)
    for j, i, c in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        part = canvas[j::2, i::2] + cover_there[j::2, i::2] * (rgb_there[j::2, i::2, c] - canvas[j::2, i::2])
        mosaic[j::2, i::2] = np.clip(part + 0.5, 0, 255).astype(np.uint8)
    return RealView(name, fruit, index, mosaic, float(left), float(top + picture.shape[1] - 1), labels)


def hash_of(fruit: str, index: int) -> int:
    """Return where on the belt a view lies, in px: different for every view, the same every time."""
    return (int(fruit[3:]) * 131 + index * 17) % 997


def _belt(tile: int, travel_px: int) -> NDArray[np.float32]:
    frame = np.zeros((tile, tile), np.float32)
    belt = roll_out(1, tile, BELT_PX_PER_MM, [tile / 2])
    lay(frame, np.ones((tile, tile), np.float32), np.array([[0, 1], [1, 2]]), belt, float(travel_px))
    return frame


def measure(mosaic: NDArray[np.uint8]) -> Any:
    """Return the `tables.VIEW` row of one tile, measured by the line's own kernel."""
    from citrus_grade.imaging import colour
    from citrus_grade.imaging.kernel import measure_frame
    from citrus_grade.imaging.scene import tile_alone
    from citrus_grade.tables import VIEW

    rows = np.empty(1, VIEW)
    measure_frame(mosaic.view(np.uint16), 0, 0, tile_alone(len(mosaic), 120, 400, colour.table()), rows)
    return rows[0]
