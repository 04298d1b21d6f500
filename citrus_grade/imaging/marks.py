"""The marks of a fruit: room for them, and what one may be."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.imaging.forest import Forest, forest
from citrus_grade.tables import N_SPOTS

MOST = 96
"""Marks a fruit can have."""
SIDE = 24
"""Squares a side of each face of the cube around a fruit on which its blemishes are laid, 0.05-0.08 rad apart."""
N_MARK_FEATURES, N_PAIR_FEATURES = 25, 14
"""What is asked of a mark and of two of them, see `weigh`."""
NOTHING, STEM, STYLAR, BLEMISH = range(4)


class Marks(NamedTuple):
    """Marks of one fruit, filled by `fuse`, named by `name`, and united by `unite`.

    ``where`` (most, 3) unit directions; ``kind`` (most,); ``area`` (most,) steradians; ``tally`` (most, 6): sums of weight,
    of the three chances, of weighted areas, and of the weights of views that should have shown it; ``odds`` (most, 2) of stem
    and stylar end; ``of`` (n_views, n_spots + 1): the mark of each view's spot, -1 where there is none. ``square`` (6 *
    side**2,): one more than the blemish that has a square; ``squares`` (most,), ``shared`` (most, most): how often blemishes
    met one, and one that another had. ``one`` (most, most): which two are one. ``trees`` as `weigh` asks them, with room for
    the walk (``node``), the answer (``chance``), what is asked of each mark (``feature``) and of two (``both``), and sums
    over spots (``sums``).
    """

    where: NDArray[np.float64]
    kind: NDArray[np.int64]
    area: NDArray[np.float64]
    tally: NDArray[np.float64]
    odds: NDArray[np.float64]
    of: NDArray[np.int64]
    square: NDArray[np.uint8]
    squares: NDArray[np.int64]
    shared: NDArray[np.int64]
    one: NDArray[np.bool_]
    trees: Forest
    node: NDArray[np.uint32]
    chance: NDArray[np.float32]
    feature: NDArray[np.float32]
    both: NDArray[np.float32]
    sums: NDArray[np.float64]


def marks(n_views: int) -> Marks:
    """Return room for the marks of one fruit."""
    trees = forest("marks")
    return Marks(
        where=np.zeros((MOST, 3)),
        kind=np.zeros(MOST, np.int64),
        area=np.zeros(MOST),
        tally=np.zeros((MOST, 6)),
        odds=np.zeros((MOST, 2)),
        of=np.zeros((n_views, N_SPOTS + 1), np.int64),
        square=np.zeros(6 * SIDE * SIDE, np.uint8),
        squares=np.zeros(MOST, np.int64),
        shared=np.zeros((MOST, MOST), np.int64),
        one=np.zeros((MOST, MOST), np.bool_),
        trees=trees,
        node=np.zeros(trees.root.shape[1], np.uint32),
        chance=np.zeros(3, np.float32),
        feature=np.zeros((MOST, N_MARK_FEATURES), np.float32),
        both=np.zeros(N_PAIR_FEATURES, np.float32),
        sums=np.zeros((MOST, 4)),
    )
