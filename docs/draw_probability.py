"""Draws docs/pictures/probability.png and prints its figures: a gift box filled by probability, SIMULATED.

Run it from the repository's root: python docs/draw_probability.py
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from citrus_grade.config import load
from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer
from citrus_grade.grading.chance import Chance, bind, readings, weigh
from citrus_grade.models.demo import fit_demo, pass_fruit
from citrus_grade.report import style
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import align, predict
from citrus_grade.spectra.traits import OK, empty_traits
from citrus_grade.templates import LINE

Floats = NDArray[np.float64]

SEED, SEASONS, FRUIT_A_SEASON = 7, range(4, 12), 300
SSC, CUT_BRIX, CUTS_BRIX = "ssc_brix", 12.0, np.arange(9.5, 13.6, 0.25)
ASKED = np.round(np.arange(0.3, 0.96, 0.05), 2)
OUT = Path(__file__).with_name("pictures") / "probability.png"
PLAIN = "#7f7f7f"


def main() -> None:
    spectrometer_of = load(LINE).spectrometer
    assert spectrometer_of is not None
    nm, lanes = spectrometer_of.axis_nm, load(LINE).line.lanes
    model, _report = fit_demo(SEED, nm, lanes)
    truth, said = _season_by_season(model, SimSpectrometer(SEED, lanes, nm))
    style.save(lambda: _picture(model, truth, said), OUT)


def _picture(model: SpectralModel, truth: Floats, said: Floats) -> Figure:
    drawn = style.figure(style.FULL_INCH, 2.9)
    left, right = drawn.subplots(1, 2)
    _as_often(left, model, truth, said)
    _box(right, model, truth, said)
    n, k = len(truth), len(SEASONS)
    text = f"{style.SIMULATED}: {n:,} fruit of {k} seasons the model has not seen, {len(model.residuals[SSC])} errors behind it"
    drawn.suptitle(text, color=style.WARNING, weight="bold", fontsize=8.5)
    return drawn


def _season_by_season(model: SpectralModel, spectrometer: SimSpectrometer) -> tuple[Floats, Floats]:
    """True and predicted sugar of the fruit that have a trustworthy spectrum."""
    truth, said = [], []
    for season in SEASONS:
        fruit = orchard.grow(SEED + 1000 * season, FRUIT_A_SEASON, season=season)
        counts, dark, white = pass_fruit(spectrometer, fruit, first_seq=season * 1_000_000)
        traits, received = empty_traits(len(fruit)), np.ones(counts.shape[:2], np.bool_)
        aligned = align(np.tile(spectrometer.wavelength_nm, (len(fruit), 1)), model.wavelength_nm)
        predict(model, aligned, counts, received, dark, white, spectrometer.full_scale, traits)
        good = traits["status"] == OK
        truth.append(fruit[SSC][good])
        said.append(traits["value"][good, model.names.index(SSC)])
    return np.concatenate(truth), np.concatenate(said)


def _probability(model: SpectralModel, said: Floats, cut_brix: float) -> Floats:
    asked = bind((Chance(0, SSC, cut_brix, np.inf, 0.5),), model.residuals)
    trait, out = np.full(len(model.names), np.nan), np.empty((len(said), 1))
    for value, own in zip(said.tolist(), out, strict=True):
        trait[model.names.index(SSC)] = value
        weigh(trait, asked, own)
    return out[:, 0]


def _as_often(axes: Axes, model: SpectralModel, truth: Floats, said: Floats) -> None:
    """What was stated against how often it came true, over several cuts."""
    stated = np.concatenate([_probability(model, said, cut) for cut in CUTS_BRIX.tolist()])
    came = np.concatenate([truth >= cut for cut in CUTS_BRIX.tolist()])
    print(f"SIMULATED, {len(truth)} fruit: stated probability, how often the truth was above the cut, n (fruit x cuts)")
    points = []
    for low in np.arange(0.0, 1.0, 0.1):
        own = (stated >= low) & (stated < low + 0.1)
        points.append((stated[own].mean(), came[own].mean()))
        print(f"  {points[-1][0]:.2f}  {points[-1][1]:.2f}  {own.sum()}")
    axes.plot([0, 1], [0, 1], color=style.LINE, linewidth=1)
    axes.plot(*np.array(points).T, "o", color=style.ACCENT, markersize=4)
    axes.set(xlabel="stated probability of sugar above a cut", ylabel="share that was above it", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"cuts from {CUTS_BRIX[0]:g} to {CUTS_BRIX[-1]:g} °Brix")
    style.grid(axes)


def _box(axes: Axes, model: SpectralModel, truth: Floats, said: Floats) -> None:
    """Volume of the box against the sour fruit in it."""
    probability = _probability(model, said, CUT_BRIX)
    print("a box of fruit above 12 Brix: asked, reads at least, share of all fruit in the box %, sour fruit in it %")
    curve = []
    for asked in ASKED.tolist():
        reads = readings(Chance(0, SSC, CUT_BRIX, np.inf, asked), model.residuals[SSC])[0]
        curve.append(_filled(probability >= asked, truth))
        print(f"  {asked:.2f}  {reads:.2f}  {curve[-1][0]:.1f}  {curve[-1][1]:.1f}")
    plain = _filled(said >= CUT_BRIX, truth)
    print(f"  min = 12 alone  12.00  {plain[0]:.1f}  {plain[1]:.1f}; in truth {100 * np.mean(truth >= CUT_BRIX):.1f} % are above")
    at = np.array(curve)
    axes.plot(at[:, 0], at[:, 1], "o-", color=style.ACCENT, markersize=3, linewidth=1)
    for asked, (volume, sour) in zip(ASKED.tolist(), curve, strict=True):
        if round(100 * asked) % 10 == 0:
            axes.annotate(f"{asked:g}", (volume, sour), textcoords="offset points", xytext=(-4, 4), ha="right", fontsize=7)
    axes.plot(*plain, "s", color=PLAIN, markersize=5)
    axes.annotate("min = 12 alone", plain, textcoords="offset points", xytext=(6, -8), fontsize=7, color=PLAIN)
    axes.axvline(100 * float(np.mean(truth >= CUT_BRIX)), color=style.LINE, linewidth=1, linestyle="--")
    axes.set(xlabel="fruit in the box, % of all", ylabel="fruit below 12 °Brix, % of the box")
    axes.set_title("gift box by probability; dashed: truly above")
    style.grid(axes)


def _filled(taken: NDArray[np.bool_], truth: Floats) -> tuple[float, float]:
    return 100 * float(taken.mean()), 100 * float((truth[taken] < CUT_BRIX).mean())


if __name__ == "__main__":
    main()
