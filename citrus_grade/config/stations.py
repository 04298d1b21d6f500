"""What is wrong with where things stand along the belt: sensors, the decision, the outlets."""

import math
from itertools import pairwise

from citrus_grade.config.sections import LineConfig
from citrus_grade.words import _


def least_decision_station(config: LineConfig) -> int:
    """Return the first station, in whole pitches, at which all that was sensed of a cup has arrived."""
    ahead = max(map(abs, config.phases))
    ends = [c.station + c.windows - 0.5 + ahead for c in config.camera]
    latencies = [c.latency_ms for c in config.camera]
    if config.spectrometer:
        ends.append(config.spectrometer.station + config.spectrometer.chord_cups / 2 + ahead)
        latencies.append(config.spectrometer.latency_ms)
    return math.ceil(max(ends, default=0.0)) + math.ceil(max(latencies, default=0.0) * config.line.cups_per_s / 1000)


def check_stations(config: LineConfig) -> list[str]:
    """Return the problems of the stations, for people: too early for the data, too near for the outlet, no whole thousandth."""
    problems = []
    least = least_decision_station(config)
    if config.line.decision_station < least:
        problems.append(
            _("line.decision_station: {station} lies before the last datum arrives; at least {least}").format(
                station=config.line.decision_station, least=least
            )
        )
    lead = config.line.lead_ms * config.line.cups_per_s / 1000
    for index, outlet in enumerate(config.outlet):
        earliest = config.line.decision_station + 1 + lead + max(map(abs, config.phases))
        if outlet.station < earliest:
            problems.append(
                _(
                    "outlet.{index} ({name}).station: {station:g} is too near the decision;"
                    " with a lead of {lead:g} ms at least {least}"
                ).format(
                    index=index, name=outlet.name, station=outlet.station, lead=config.line.lead_ms, least=math.ceil(earliest)
                )
            )
    named = [("spectrometer", config.spectrometer.station)] if config.spectrometer else []
    named += [(f"camera.{i}", c.station) for i, c in enumerate(config.camera)]
    named += [(f"outlet.{i}", o.station) for i, o in enumerate(config.outlet)]
    problems += [
        _("{where}.station: {station} must be 0 or more, in thousandths of a pitch").format(where=where, station=station)
        for where, station in named
        if station < 0 or abs(station * 1000 - round(station * 1000)) > 1e-6
    ]
    if config.spectrometer and (len(config.spectrometer.wavelength_nm) != 2 or not _rising(config.spectrometer.wavelength_nm)):
        problems.append(_("spectrometer.wavelength_nm: give the first and the last wavelength, rising: [650, 1010]"))
    return problems


def _rising(values: tuple[float, ...]) -> bool:
    return all(a < b for a, b in pairwise(values))


def check_outlets(config: LineConfig) -> list[str]:
    """Return the problems of the outlets' names, for people."""
    names = config.outlet_names
    twice = sorted({name for name in names if names.count(name) > 1})
    return [_("outlet: the name {name!r} is used more than once").format(name=name) for name in twice]
