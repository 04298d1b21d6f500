"""What is wrong with the lanes and the encoder that counts for them."""

from citrus_grade.config.sections import LineConfig
from citrus_grade.words import _


def check_lanes(config: LineConfig) -> list[str]:
    """Return the problems of the lanes' phases and of the encoder, for people."""
    phases, lanes, encoder = config.line.lane_phase_cups, config.line.lanes, config.encoder
    problems = []
    if phases and len(phases) != lanes:
        return [
            _("line.lane_phase_cups: {n} values for {lanes} lanes; give one a lane or leave it out").format(
                n=len(phases), lanes=lanes
            )
        ]
    if any(abs(phase) >= 0.5 for phase in phases):
        problems.append(_("line.lane_phase_cups: {phases}; a phase is less than half a pitch").format(phases=list(phases)))
    if 4 * encoder.ratio >= 1 << encoder.bits:
        problems.append(
            _(
                "encoder.bits: a counter of {bits} bits turns over too soon for {ticks} ticks a cup; it must hold four cups"
            ).format(bits=encoder.bits, ticks=encoder.ticks_per_cup)
        )
    return problems
