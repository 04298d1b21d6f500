"""What weighing indicators send without being asked: formats of which most of them speak one."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple

State = Literal["stable", "moving", "overload"]

GRAMS: Final = {"g": Decimal(1), "kg": Decimal(1000), "t": Decimal(1_000_000), "lb": Decimal("453.59237")}


class Weight(NamedTuple):
    """One reading; of an overloaded scale the mass is what it shows, and worth nothing."""

    mass_g: float
    state: State


class Format(NamedTuple):
    """``frame`` finds one reading in a stream of bytes; ``read`` returns it, or None where its checksum is wrong.

    ``unit`` stands for readings that name none.
    """

    frame: re.Pattern[bytes]
    read: Callable[[re.Match[bytes], str], Weight | None]


def _plain(found: re.Match[bytes], unit: str) -> Weight | None:
    states: dict[bytes, State] = {b"ST": "stable", b"US": "moving", b"OL": "overload"}
    number = found[2].replace(b" ", b"").decode()
    return Weight(float(Decimal(number) * GRAMS[found[3].decode() or unit]), states[found[1]])


def _xor(found: re.Match[bytes], unit: str) -> Weight | None:
    sum_of = 0
    for byte in found[1]:
        sum_of ^= byte
    if int(found[2], 16) != sum_of:
        return None
    digits, places = found[1][:-1].decode(), found[1][-1] - ord("0")
    return Weight(float(Decimal(digits).scaleb(-places) * GRAMS[unit]), "stable")


def _status_words(found: re.Match[bytes], unit: str) -> Weight | None:
    places, flags = (found[1][0] & 7) - 2, found[1][1]
    mass = Decimal(found[2].replace(b" ", b"").decode() or "0").scaleb(-places) * (-1 if flags & 2 else 1)
    state: State = "overload" if flags & 4 else "moving" if flags & 8 else "stable"
    return Weight(float(mass * GRAMS["kg" if flags & 16 else "lb"]), state)


def _summed(found: re.Match[bytes], unit: str) -> Weight | None:
    return None if sum(found[0]) & 0x7F else _status_words(found, unit)


_STATUS_WORDS = rb"\x02([ -?]{3})([ \d]{6})([ \d]{6})\r"

FORMATS: Final[Mapping[str, Format]] = {
    # ST,GS,+  12.345kg CR LF: stable, moving or overload; gross, net or tare.
    "st,gs": Format(re.compile(rb"(ST|US|OL),(?:GS|NT|TR),([+-]? *\d{1,9}(?:\.\d{1,9})?) *(kg|g|t|lb|)\r?\n"), _plain),
    # STX, sign, six digits, decimal places, exclusive or of these eight as two hexadecimal digits, ETX. Says nothing of rest.
    "xor": Format(re.compile(rb"\x02([+-]\d{6}[0-4])([0-9A-F]{2})\x03"), _xor),
    # STX, three status words, six digits of weight, six of tare, CR.
    "status": Format(re.compile(_STATUS_WORDS), _status_words),
    # The same and a byte that makes the lower seven bits of all sum to 0.
    "status,sum": Format(re.compile(_STATUS_WORDS + rb"[\x00-\x7f]", re.DOTALL), _summed),
}
"""By the name that stands in ``line.toml``."""
