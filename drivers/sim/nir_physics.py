"""Every parameter of the simulated spectrometers, with its source. Figures made with them are SIMULATED.

"Estimate" means: nobody's measurement; the size is ours, from the reason given. The parameters were fixed before any method was
compared on them. One was fitted: how light leaks past a fruit (`Passage`), so that plain practice errs as much as published
work on moving fruit does (`benchmarks/plain_spectra.py`).

Sources
-------
.. [Alquezar] Alquezar, Rodrigo and Zacarias 2008, Tree and Forestry Science and Biotechnology 2, 23: carotenoids of citrus.
.. [Bartholomew] Bartholomew and Sinclair 1941, Plant Physiology 16, 293: solids in the parts of a citrus fruit's pulp.
.. [Burns] Burns and Albrigo 1998, HortScience 33, 728: granulated vesicles hold more alcohol-insoluble solids.
.. [Contini] Contini, Martelli and Zaccanti 1997, Appl. Opt. 36, 4587: light through a scattering slab.
.. [Fraser] Fraser, Jordan, Künnemeyer and McGlone 2003, Postharvest Biol. Technol. 27, 185: light inside mandarins.
.. [Golic] Golic, Walsh and Lawson 2003, Appl. Spectrosc. 57, 139: sugar, water and temperature in the short-wave infrared.
.. [Govender] Govender 2012, SA Institute of Physics conference: ageing of a tungsten halogen lamp.
.. [Hale] Hale and Querry 1973, Appl. Opt. 12, 555: water.
.. [Kuraoka] Kuraoka, Iwasaki, Hino and Tsuji 1975, J. Japan. Soc. Hort. Sci. 44, 15: puffing of satsuma peel.
.. [Merzlyak] Merzlyak, Chivkunova, Solovchenko and Naqvi 2008, J. Exp. Bot. 59, 3903: anthocyanins in living leaves.
.. [Molecules] Distribution, Antioxidant Capacity, Bioavailability and Biological Properties of Anthocyanin Pigments in Blood
   Oranges and Other Citrus Species, 2022, Molecules 27, 8675.
.. [Palmer] Palmer and Williams 1974, J. Opt. Soc. Am. 64, 1107: water, 690-1099 nm, 27 C.
.. [Pegau] Pegau, Gray and Zaneveld 1997, Appl. Opt. 36, 6035: water and temperature.
.. [Peiris] Peiris, Dull, Leffler, Burns, Thai and Kays 1998, HortScience 33, 310: section drying of tangerines.
.. [Saeys] Saeys, Velazco-Roa, Thennadil, Ramon and Nicolai 2008, Appl. Opt. 47, 908: skin scatters about three times as flesh.
.. [Sun] Sun, Van Beers, Aernouts and Saeys 2020, Postharvest Biol. Technol., 111127: optics of citrus tissues.
.. [vanVeen] van Veen and others 2005, J. Biomed. Opt. 10, 054004: fat near 930 nm, 0.13/cm.
"""

from types import MappingProxyType
from typing import NamedTuple

# fmt: off
WATER = (
    (600, 0.0023), (625, 0.0028), (650, 0.0032), (675, 0.00415), (690, 0.0049), (702, 0.0069), (714, 0.0098), (725, 0.0134),
    (735, 0.0238), (746, 0.0275), (752, 0.0281), (758, 0.0272), (769, 0.0251), (781, 0.023), (794, 0.021), (806, 0.0195),
    (813, 0.0191), (820, 0.0199), (833, 0.0308), (847, 0.0387), (862, 0.0428), (877, 0.0506), (893, 0.0609), (909, 0.075),
    (926, 0.119), (935, 0.158), (943, 0.214), (952, 0.322), (962, 0.471), (973, 0.514), (980, 0.502), (990, 0.469),
    (1000, 0.416), (1010, 0.351), (1020, 0.285), (1031, 0.231), (1042, 0.19), (1053, 0.164), (1070, 0.148), (1087, 0.166),
    (1099, 0.192),
)
# fmt: on
"""(wavelength nm, natural-log absorption coefficient of water at 27 C, 1/cm). [Palmer]; below 690 nm [Hale]."""
WATER_SMOOTHING = 300.0
"""Penalty of the cubic spline through the logs of the table. A table of three digits has kinks that no spectrum of a liquid has,
and a derivative would see them; smoothed it stays within 10 % of the table, as far as tables differ from one another."""

# Bands: (centre nm, sd nm, 1/cm for one unit).
SUGAR_PER_BRIX = ((912.0, 16.0, 4.2e-4), (986.0, 28.0, 1.0e-3), (746.0, 14.0, 5.0e-5), (838.0, 16.0, 6.0e-5))
"""C-H third overtone near 910, sugar O-H near 984, weaker O-H at 750 and 840: places [Golic]; strengths estimated from the
density of C-H and O-H bonds against those of fat [vanVeen] and of water."""
ACID_PER_PCT = ((905.0, 18.0, 3.5e-4), (960.0, 45.0, 6.0e-4))
"""Estimate, likewise; nearly collinear with sugar, so acid is hard."""
SOLIDS_PER_PCT = ((918.0, 20.0, 3.8e-4), (975.0, 38.0, 7.0e-4))
"""Cell walls and membranes, the alcohol-insoluble solids: estimate, from the same bonds in a carbohydrate bound to water."""
OIL_PER_PCT = ((930.0, 13.0, 1.3e-3), (895.0, 12.0, 5.0e-4))
"""Peel oil, % of the peel's volume; 1.3e-3/cm is 1 % of fat's 0.13/cm at 930 nm [vanVeen]."""
CHLOROPHYLL = ((672.0, 14.0, 1.0),)
"""In the peel; red band of chlorophyll a in tissue. Width: estimate."""
ANTHOCYANIN = ((545.0, 55.0, 1.0),)
"""In the flesh of blood oranges [Molecules]; in the cell its band lies near 550 nm [Merzlyak], its tail reaches 720 nm. Width:
estimate."""
TAIL_NM = (650.0, 60.0)
"""Pigments' tail is 1 at the first wavelength and falls by e over the second: estimate. Carotenoids themselves [Alquezar] absorb
below 550 nm; what is left beyond 650 nm is browning and phenols."""


class Tissue(NamedTuple):
    """How a fruit's parts absorb, scatter and lie."""

    water_c: float = 27.0
    shift_nm_per_c: float = 0.05
    """Toward shorter wavelengths when warmer [Golic], [Pegau]: near 0.1 for free water, less for water bound to sugar."""
    rise_per_c: float = 0.0002
    """So that 984 nm falls with warmth while 960 nm rises, as [Golic] saw."""
    water_share: float = 0.985
    """Of the flesh's volume, before what is dissolved takes its place."""
    displaced_per_brix: float = 0.0062
    displaced_per_acid_pct: float = 0.006
    displaced_per_solid_pct: float = 0.006
    """From the density of solutions; estimate."""
    path_share: float = 0.45
    """Of the diameter: lamp and fibre sit on the same half of the fruit, for little light crosses it all [Fraser]."""
    sight_depth: float = 0.60
    """How far from the fruit's middle, in radii, the light travels on the whole; estimate that goes with the path."""
    peel_scatter: float = 2.2
    """Times the flesh's: about 3 in apple [Saeys], peel above flesh in citrus [Sun]."""
    peel_water: float = 0.75
    boundary: float = 2.95
    """A of [Contini] for a refractive index of 1.4."""
    dry_scatter: float = 0.8
    dry_water: float = 0.30
    dry_solids_pct: float = 2.0
    """At full dryness: scatter grows by this share, this share of juice gives way to air and gel, and so much more cell wall.
    Direction: [Peiris] (drying is seen in transmitted light), [Burns] (solids); sizes: estimate. The laboratory presses the
    juice that is left."""
    gap_loss: float = 0.5
    gap_cm: float = 0.05
    """Two more surfaces send light back: log of the loss, reached by a gap of this size. A of 2.95 means about half; estimate."""
    gap_pipe_per_cm: float = 0.004
    """Share of the light that runs round the flesh through the gap, a cm of gap; estimate."""
    film_pipe_per_cm: float = 0.02
    """The same for a film of water on the skin, which runs round the peel too; estimate."""


class Spread(NamedTuple):
    """How fruit of one orchard differ, and seasons: all estimates of size, with the source of the direction."""

    stylar_brix: tuple[float, float] = (0.50, 0.15)
    """Mean and sd of the rise of Brix from the middle to the stylar end, a radius. Sugar is higher there [Bartholomew]; halves of
    Valencia oranges can differ by a quarter, satsumas are taken to differ less."""
    side_brix: float = 0.35
    """Sd of the rise to one side (sun and shade), a radius, each of two directions; estimate."""
    stylar_ta_pct: tuple[float, float] = (-0.10, 0.04)
    side_ta_pct: float = 0.12
    """The same of acid; estimate."""
    dryness: tuple[float, float] = (0.03, 1.1)
    """Median share of dry flesh and the sd of its log: 5 % of fruit above 0.18, 1 % above 0.4."""
    air_gap_cm: tuple[float, float] = (0.02, 0.9)
    """Median and sd of the log. Puffed fruit [Kuraoka] are light: 36 % of the log's variance is that of the fruit's density."""
    solids_pct: tuple[float, float] = (1.2, 0.12)
    band_shift_nm: float = 0.03
    """Water bound to ions, pectin and sugar absorbs a little beside free water: estimate, 0.6 C worth."""
    peel_oil_pct: tuple[float, float] = (1.0, 0.15)
    pigment_per_cm: tuple[float, float] = (0.010, 0.20)
    """Of the tail at 650 nm: median and sd of the log."""
    lot_temperature_c: float = 0.5
    """Sd inside a lot kept at one temperature."""


class Year(NamedTuple):
    """Sd of what one season does to all its fruit: not their means of sugar and size (those are `orchard`'s) but their spectra.

    All estimates, about the spread inside a season, as calibrations of one season show in the next.
    """

    scatter_b: float = 0.06
    solids_pct: float = 0.15
    band_shift_nm: float = 0.05
    peel_oil_pct: float = 0.12
    log_pigment: float = 0.25
    log_dryness: float = 0.4
    log_air_gap: float = 0.4


class Cultivar(NamedTuple):
    """What differs from satsuma: shifts of means, and factors. Typical values of the trade; estimates but for the direction."""

    ssc_brix: float = 0.0
    ta_pct: float = 0.0
    size: float = 1.0
    peel: float = 1.0
    scatter: float = 1.0
    air_gap: float = 1.0
    solids_pct: float = 0.0
    peel_oil: float = 1.0
    pigment: float = 1.0
    anthocyanin_per_cm: float = 0.0


CULTIVARS = MappingProxyType(
    {
        "satsuma": Cultivar(),
        "ponkan": Cultivar(0.6, -0.25, 1.12, 1.15, 1.05, 1.8, 0.2, 1.4, 1.5),
        "murcott": Cultivar(2.0, 0.10, 1.02, 0.80, 1.15, 0.3, 0.3, 1.6, 2.2),
        "navel": Cultivar(0.5, 0.05, 1.25, 1.60, 1.35, 0.1, 0.8, 1.8, 0.9),
        "tarocco": Cultivar(0.3, 0.25, 1.15, 1.50, 1.30, 0.1, 0.7, 1.7, 1.3, 3.0),
    }
)
"""Loose-skinned ponkan, thin-skinned deep orange murcott, thick-peeled firm navel, blood orange tarocco, whose 3/cm at its peak
are about 100 mg of anthocyanin a litre [Molecules] at the acidity of juice, where a fourth of it is coloured; estimate."""


class Passage(NamedTuple):
    """How the light finds its way past a fruit. Fitted to the anchor: ``limb``, its width and its spread."""

    direct: float = 30.0
    """Lamp straight through, times the peak of the median fruit; estimate."""
    limb: float = 0.90
    limb_width: float = 0.035
    limb_spread: float = 0.04
    """Light begins to leak past the fruit there, in fruit radii; sd from fruit to fruit, for they are not round."""
    seat: float = 0.12
    """Sd of the sideways seat in the cup, in fruit radii; estimate."""
    jitter: float = 0.05
    """Sd of the gain from scan to scan: bounce and lamp; estimate."""


class Detector(NamedTuple):
    """A photodiode array of 256 pixels, as small spectrometers for fruit have: wells near 1e8 electrons, a read noise near 2000.
    Estimates, order of data sheets; the lamps of a line (hundreds of watts) can fill the wells in a few milliseconds."""

    electrons_per_count: float = 1000.0
    read_noise_counts: float = 2.0
    dark_counts: float = 600.0
    dark_counts_per_h: float = 3.0
    averaged: float = 100.0
    """Scans behind a dark or a white reference."""


class Ageing(NamedTuple):
    """What hours do to a lane since its references were taken and its window wiped."""

    lamp_fade_per_h: float = 0.002
    """[Govender]: 6.6 % of the light lost in the first 25 h."""
    lamp_k_per_h: float = 0.33
    """[Govender]: 43 K of colour temperature lost in 130 h."""
    dust_per_h: float = 0.006
    """Optical depth at 800 nm, median of lanes; as 1/wavelength. Estimate: 5 % a day."""
    dust_log_sd: float = 0.5
    """Of lanes."""
    dust_veil: float = 2.0e-4
    """Share of the lamp's straight light that dust of depth 1 throws into the fibre; estimate."""


class LaneSpread(NamedTuple):
    """Sd of lanes: instruments of one make, their wavelengths calibrated with line lamps. Estimates, order of data sheets, whose
    0.3 nm is a limit that holds for all: shift and stretch together stay within 0.1 nm in two of three."""

    shift_nm: float = 0.08
    stretch: float = 1.5e-4
    fwhm_nm: tuple[float, float] = (9.0, 0.07)
    stray: tuple[float, float] = (2e-4, 0.4)
    """Of the peak: median and sd of the log."""
    bend: float = 0.005
    """Nonlinearity at full scale, after the maker's correction."""
    gain: float = 0.03
    lamp_slope_per_200_nm: float = 0.05


TISSUE, SPREAD, YEAR, PASSAGE, DETECTOR, AGEING, LANES = (
    Tissue(), Spread(), Year(), Passage(), Detector(), Ageing(), LaneSpread()
)  # fmt: skip

LAMP_K = 2900.0
SILICON_NM = (985.0, 28.0)
"""A silicon detector fades beyond 950 nm: middle and width of a logistic; shape only."""
FINE_STEP_NM = 2.0
MARGIN_NM = 30.0
MEDIAN_PEAK = 0.40
"""Of full scale, for the fruit of `MEDIAN`."""
WHITE_PEAK = 0.80
