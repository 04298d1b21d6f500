"""Grow the forests that say what a mark is and which two are one: ``python -m benchmarks.learn_marks [--write]``.

They learn from SIMULATED fruit seen coarsely by all views of the default line, joined as the line joins them. It prints how well
they tell marks of fruit they have not seen. Only numbers of trees are written, no picture.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.boost import Boosted, Growth, boost
from benchmarks.imaging import line_at
from benchmarks.learn_spots import BLEMISH, SOUND, STEM, STYLAR, simulated_mark, write
from citrus_grade.config import LineConfig
from citrus_grade.drivers.sim.belt import CUP_SINGLE, poses
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.drivers.sim.seen import COUNTABLE_MM
from citrus_grade.imaging import weigh
from citrus_grade.imaging.fuse import fuse
from citrus_grade.imaging.imager import Imager
from citrus_grade.imaging.join import join
from citrus_grade.imaging.marks import N_PAIR_FEATURES
from citrus_grade.imaging.surface import Room, room, travel_of
from citrus_grade.messages import Frame
from citrus_grade.tables import FRUIT, FRUIT_SEEN, N_SPOTS, SPOT_X, SPOT_Y, VIEW, Table, empty

SEEDS, TRIED, SECONDS, PX_PER_MM = tuple(range(201, 208)), (301,), 40.0, 1.28
"""Seeds of SIMULATED fruit to learn from and to try on, seconds of each; none that a benchmark is quoted with."""
GROWTH = Growth(64, 5, 0.15, 20, 0.5)
"""How the trees of both forests are grown."""
CANDIDATE = 0.15
"""Mean chance of a blemish from which marks are learnt as pairs."""
OUT = Path("citrus_grade/imaging/marks.npz")
Floats = NDArray[np.float64]


@dataclass(slots=True)
class Passed:
    """What the views of one fruit told: ``views`` (n_views,), which ``seen``, and whose each spot is, (n_views, n_spots)."""

    views: Table
    seen: NDArray[np.bool_]
    whose: NDArray[np.int64]
    truth: np.void


@dataclass(slots=True)
class Samples:
    """Features and kinds of marks, and of pairs: `BLEMISH` where both are one, else `SOUND`."""

    marks: NDArray[np.float32]
    kinds: NDArray[np.int64]
    pairs: NDArray[np.float32]
    one: NDArray[np.int64]


def passed(config: LineConfig, seed: int, seconds: float) -> Iterator[Passed]:
    """Yield simulated fruit alone in their cups that every view showed."""
    plant = SimPlant(config, SimOptions(seed=seed, seconds=seconds))
    eye, table, n = Imager.of(config, config.camera[0]), plant.table, config.n_views
    blank = empty(VIEW, n)
    found: dict[tuple[int, int], Passed] = {}
    for frame in (message for message in plant.messages() if isinstance(message, Frame)):
        for row in eye(frame).rows:
            lane, cup = int(row["lane"]), int(row["cup"])
            if not 0 <= cup < table.shape[1] or table[lane, cup]["load"] != CUP_SINGLE:
                continue
            whose = np.full((n, N_SPOTS), SOUND, np.int64)
            own = found.setdefault((lane, cup), Passed(blank.copy(), np.zeros(n, np.bool_), whose, table[lane, cup]))
            view, travelled = int(row["view_index"]), frame.tick / float(config.encoder.ratio) - cup
            own.views[view], own.seen[view] = row, True
            if row["state"] == FRUIT_SEEN and row["spots"]:
                pose = poses(table[lane, cup : cup + 1], 0, np.array([travelled]))[0]
                for s in range(int(row["spots"])):
                    own.whose[view, s] = simulated_mark(own.truth["fruit"], pose, row["spot"][s, [SPOT_X, SPOT_Y]], row)
    plant.truth()
    yield from (found[place] for place in sorted(found) if found[place].seen.all())


def learn_from(config: LineConfig, fruit: Iterator[Passed]) -> Samples:
    """Return the marks that fruit have where the line joins their views, and what the truth says of them."""
    work, row = room(config.n_views), empty(FRUIT, 1)
    pitch_px = config.camera[0].px_per_mm * config.line.pitch_mm
    marks, kinds, pairs, one = [], [], [], []
    for own in fruit:
        row[:] = empty(FRUIT, 1)
        join(
            own.views, own.seen, pitch_px, travel_of(config), config.line.roller_ratio * pitch_px, work,
            np.empty((2, config.n_views)), row[0],
        )  # fmt: skip
        if row[0]["state"] != FRUIT_SEEN:
            continue
        n_views, radius = int(row[0]["fruit_views"]), float(row[0]["diameter_px"]) / 4
        n = int(fuse(work.spots, work.spot, work.turns, n_views, radius, work.marks))
        whose = _whose(work, n_views, n, own.whose)
        marks.append(work.marks.feature[:n].copy())
        kinds += [_kind(int(k), own.truth["seen"]) for k in whose]
        for feature, same in _pairs(work, n, n_views, radius, whose, own.truth["seen"]):
            pairs.append(feature)
            one.append(same)
    return Samples(np.concatenate(marks), np.array(kinds), np.array(pairs), np.array(one))


def _whose(work: Room, n_views: int, n: int, whose: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whose each mark is by its spots, those count most that face their views: as `learn_spots.simulated_mark`."""
    votes: list[dict[int, float]] = [{} for _ in range(n)]
    for v in range(n_views):
        for s in range(int(work.spots[v])):
            mark, x, y = int(work.marks.of[v, s + 1]), *work.spot[v, s, [SPOT_X, SPOT_Y]]
            if mark >= 0:
                name = int(whose[work.order[v], s])
                votes[mark][name] = votes[mark].get(name, 0.0) + max(1 - float(x) ** 2 - float(y) ** 2, 0.01)
    return np.array([max(vote, key=lambda name: vote[name]) for vote in votes], np.int64)


def _kind(whose: int, seen: np.void) -> int:
    """Return what a mark is to be told as: a blemish that does not count is nothing."""
    if whose < BLEMISH:
        return whose
    group = seen["blemish_group"] == seen["blemish_group"][whose - BLEMISH]
    open_ = group & (seen["blemish_under_end"] == 0)
    large = np.sqrt(np.sum(seen["blemish_mm"][open_] ** 2)) >= COUNTABLE_MM
    return BLEMISH if large and np.max(seen["blemish_seen"][group]) >= 0.5 else SOUND


def _pairs(
    work: Room, n: int, n_views: int, radius: float, whose: NDArray[np.int64], seen: np.void
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield what is asked of every two marks of blemishes that lie near one another, and whether they are one."""
    group = [int(seen["blemish_group"][k - BLEMISH]) if k >= BLEMISH else -1 for k in whose]
    likely = work.marks.feature[:n, weigh.MEAN + 2] > CANDIDATE
    for b in range(n):
        for a in range(b):
            near = work.marks.where[a] @ work.marks.where[b] >= weigh.NEAR_COS
            if near and likely[a] and likely[b] and group[a] >= 0 and group[b] >= 0:
                feature = np.zeros(N_PAIR_FEATURES, np.float32)
                weigh.pair(work.marks, a, b, n_views, radius, feature)
                yield feature, BLEMISH if group[a] == group[b] else SOUND


def grow(samples: list[Samples]) -> tuple[Boosted, Boosted]:
    """Grow the forest for marks and that for pairs."""
    marks, kinds = np.concatenate([s.marks for s in samples]), np.concatenate([s.kinds for s in samples])
    pairs, one = np.concatenate([s.pairs for s in samples]), np.concatenate([s.one for s in samples])
    return boost(marks, kinds, np.ones(len(kinds)), GROWTH, 4), boost(pairs, one, np.ones(len(one)), GROWTH, 4)


def tell(forests: tuple[Boosted, Boosted], samples: Samples) -> None:
    """Print how forests tell marks and pairs that they have not seen."""
    told = forests[0].chances(samples.marks).argmax(axis=1)
    for kind, word in ((SOUND, "nothing"), (STEM, "stem"), (STYLAR, "stylar"), (BLEMISH, "blemish")):
        right, true = np.count_nonzero((told == kind) & (samples.kinds == kind)), np.count_nonzero(samples.kinds == kind)
        print(f"{word}: {right} of {true} told, {np.count_nonzero(told == kind) - right} falsely  SIMULATED", flush=True)
    right = np.count_nonzero((forests[1].chances(samples.pairs)[:, BLEMISH] > weigh.ONE) == (samples.one == BLEMISH))
    print(f"pairs: {right} of {len(samples.one)} told, {np.count_nonzero(samples.one == BLEMISH)} are one  SIMULATED", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the forests that ship")
    options = parser.parse_args()
    config = line_at(PX_PER_MM)
    samples = {seed: learn_from(config, passed(config, seed, SECONDS)) for seed in (*SEEDS, *TRIED)}
    forests = grow([samples[seed] for seed in SEEDS])
    for seed in TRIED:
        tell(forests, samples[seed])
    if options.write:
        write(forests, OUT)
        print(f"written: {OUT}, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
