"""Is this the PLC of this line? What it says of itself against ``line.toml``, before anything is fired."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from citrus_grade.config import LineConfig
from citrus_grade.drivers.modbus import map as m
from citrus_grade.ports import DeviceError
from citrus_grade.words import _

LEAST_LOOKS = 25
"""A PLC that waits for the PC no longer than so many looks would miss it at every hiccup."""
SWAPPED = m.join(list(reversed(m.split(m.MAGIC, 2))))


def check_map(words: Sequence[int], url: str) -> dict[str, int]:
    """Return what the identity block says, once it is sure that it is one.

    Raises
    ------
    DeviceError : if the registers hold no map, one of another version, or one with its words swapped.
    """
    said = m.unpack(m.IDENTITY.registers, words)
    if said["magic"] == SWAPPED:
        why = _("sends the low word of a number first; send the high word first (swap the words of all 32-bit values)")
    elif said["magic"] != m.MAGIC:
        why = _(
            "has no register map of ours: 0x{ours:08X} is expected in its first two registers, they hold 0x{found:08X};"
            " load the map of docs/plc.md, or correct url, unit and base"
        ).format(ours=m.MAGIC, found=said["magic"])
    elif said["map_version"] != m.MAP_VERSION:
        why = _(
            "has version {found} of the register map, this program speaks version {ours}; load the PLC program that belongs to"
            " this release, or use the release that belongs to the PLC"
        ).format(found=said["map_version"], ours=m.MAP_VERSION)
    else:
        return said
    raise DeviceError(_("the PLC at {url} {why}").format(url=url, why=why))


def check_line(words: Sequence[int], said: dict[str, int], config: LineConfig, url: str) -> None:
    """Compare an identity block with the configured line.

    Raises
    ------
    DeviceError : naming everything that differs, on either side.
    """
    problems = [*_name(words, config), *_numbers(said, config), *_watchdog(said, config), *_reach(said, config)]
    if problems:
        raise DeviceError("\n".join(_("the PLC at {url}: {problem}").format(url=url, problem=problem) for problem in problems))


def reversed_encoder(url: str) -> DeviceError:
    """Return the error of a counter that falls while the belt runs."""
    return DeviceError(
        _(
            "the PLC at {url}: its encoder counts down while the belt runs; swap tracks A and B of the encoder, or reverse the"
            " counter's direction in the PLC"
        ).format(url=url)
    )


def _name(words: Sequence[int], config: LineConfig) -> Iterator[str]:
    at = m.IDENTITY.offset["line_name"]
    found, ours = words[at : at + m.NAME_WORDS], m.pack_text(config.line.name, m.NAME_WORDS)
    if any(found) and list(found) != ours:
        yield _(
            "it drives the line {found!r}, line.toml is of {ours!r}; correct url, or the name in line.toml or in the PLC"
        ).format(found=m.unpack_text(found), ours=config.line.name)


def _numbers(said: dict[str, int], config: LineConfig) -> Iterator[str]:
    divisor = said["ticks_per_cup_divisor"]
    found = Fraction(said["ticks_per_cup"], divisor) if divisor else Fraction(0)
    pairs = (
        ("line.lanes", said["lanes"], config.line.lanes),
        ("[[outlet]]", said["outlets"], len(config.outlet)),
        ("encoder.ticks_per_cup", found, config.encoder.ratio),
        ("encoder.bits", said["encoder_bits"], config.encoder.bits),
    )
    for key, theirs, ours in pairs:
        if theirs != ours:
            yield _("{key}: it has {theirs}, line.toml {ours}; correct one of them").format(key=key, theirs=theirs, ours=ours)
    for name in ("shutters", "attenuators"):
        if said[name] not in (0, config.line.lanes):
            yield _("{name}: it has {theirs} for {lanes} lanes; let it have one in every lane, or say 0 in register {at}").format(
                name=name, theirs=said[name], lanes=config.line.lanes, at=m.IDENTITY.at(name)
            )
    if config.encoder.bits > 32:
        yield _("encoder.bits: the register map carries 32 bits; let the PLC give the low 32 and set bits = 32")
    if len(config.outlet) > m.MAX_OUTLETS:
        yield _("[[outlet]]: the register map has room for {most} outlets").format(most=m.MAX_OUTLETS)


def _watchdog(said: dict[str, int], config: LineConfig) -> Iterator[str]:
    least_ms = LEAST_LOOKS * config.live.poll_ms
    if said["watchdog_ms"] < least_ms:
        yield _(
            "watchdog_ms: it has {theirs}, which is too short for a look every {poll:g} ms; let it wait {least:g} ms or longer"
            " for the PC, such as 2000"
        ).format(theirs=said["watchdog_ms"], poll=config.live.poll_ms, least=least_ms)


def _reach(said: dict[str, int], config: LineConfig) -> Iterator[str]:
    """A counter orders an ejection only half its range ahead: further, the future looks like the past."""
    furthest_cups = max(o.station for o in config.outlet) + 1 - config.line.decision_station
    needed, half = round(furthest_cups * config.encoder.ratio), 1 << said["encoder_bits"] >> 1
    if needed >= half:
        yield _(
            "encoder.bits: the last outlet lies {needed} ticks behind the decision, a counter of {bits} bits orders ejections"
            " less than {half} ahead; let the PLC extend its counter to 32 bits"
        ).format(needed=needed, bits=said["encoder_bits"], half=half)
    for outlet in config.outlet:
        if outlet.latency_ms > 0xFFFF * m.LATENCY_UNIT_MS:
            yield _("outlet {name}: latency_ms = {ms:g}; the register map carries {most:g} at most").format(
                name=outlet.name, ms=outlet.latency_ms, most=0xFFFF * m.LATENCY_UNIT_MS
            )
