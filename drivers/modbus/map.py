"""The register map: every holding register that the PLC and this program share, as data. ``docs/plc.md`` is made of it.

Addresses are those of the protocol, from 0 (what many PLCs call 40001). Words are 16 bits; of a value of two words the high word
comes first; negative values are two's complement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

Kind = Literal["u16", "i16", "u32", "i32", "text"]
Writer = Literal["PLC", "PC"]

MAP_VERSION = 1
MAGIC = 0x43475043
"""The characters ``CGPC``: this map, words in this order."""
READ_WORDS, WRITE_WORDS = 125, 123
"""The most registers one request may read and write (MODBUS Application Protocol V1.1b3, 6.3 and 6.12)."""
MAX_LANES = MAX_OUTLETS = 32
NAME_WORDS = 16
LATENCY_UNIT_MS = 0.1
NO_CUP = -1
ALL_LANES = -1


class Register(NamedTuple):
    """One value of the map."""

    name: str
    kind: Kind
    unit: str
    means: str
    words: int

    @property
    def bits(self) -> int:
        """How wide a number is."""
        return 16 * self.words


def _value(name: str, kind: Kind, unit: str, means: str, words: int = 0) -> Register:
    return Register(name, kind, unit, means, words or (2 if kind in ("u32", "i32") else 1))


@dataclass(frozen=True)
class Block:
    """Registers in a row, read or written by one request. ``repeat`` rows follow one another."""

    name: str
    address: int
    writer: Writer
    registers: tuple[Register, ...]
    repeat: int = 1

    @cached_property
    def words(self) -> int:
        """Registers of one row."""
        return sum(register.words for register in self.registers)

    @cached_property
    def offset(self) -> dict[str, int]:
        """Where each value begins in a row."""
        ends = [0]
        for register in self.registers:
            ends.append(ends[-1] + register.words)
        return {register.name: at for register, at in zip(self.registers, ends[:-1], strict=True)}

    def at(self, name: str, row: int = 0) -> int:
        """Return the address of a value."""
        return self.address + row * self.words + self.offset[name]


IDENTITY = Block(
    "identity",
    0,
    "PLC",
    (
        _value("magic", "u32", "", "0x43475043, the characters CGPC"),
        _value("map_version", "u16", "", "1"),
        _value("encoder_bits", "u16", "bit", "width of the encoder's counter, 16 or 32"),
        _value("lanes", "u16", "", "1 to 32"),
        _value("outlets", "u16", "", "fired outlets, 1 to 32"),
        _value("ticks_per_cup", "u32", "tick", "from one cup to the next: numerator"),
        _value("ticks_per_cup_divisor", "u16", "", "denominator, 1 if ticks per cup are whole"),
        _value(
            "watchdog_ms",
            "u16",
            "ms",
            "the PLC empties its queue when the PC's heartbeat has stood still so long; 2000 is a good one",
        ),
        _value("line_name", "text", "", "ASCII, two characters a word, filled up with 0", NAME_WORDS),
        _value("simulated", "u16", "", "1: an emulated PLC, whose figures are marked as such; 0: a real one"),
        _value("shutters", "u16", "", "as many as lanes where the PLC moves the spectrometers' shutters; 0: it moves none"),
        _value("attenuators", "u16", "", "as many as lanes where they can put a white attenuator into the light; 0: they can't"),
    ),
)

STATUS = Block(
    "status",
    64,
    "PLC",
    (
        _value("count", "u32", "tick", "the encoder's counter"),
        _value("speed", "i32", "tick/s", "belt speed; negative: backwards"),
        _value("pitches", "u32", "cup", "whole pitches the belt has moved since power-up"),
        _value("state", "u16", "", "0 stopped, 1 running, 2 emergency stop"),
        _value("heartbeat", "u16", "", "rises with every scan of the PLC"),
        _value("boot", "u16", "", "another number after every power-up"),
        _value(
            "queue_ack",
            "u16",
            "",
            "sequence of the last block taken; begins at 4096 * boot, so that no block from before a restart fits",
        ),
        _value("queue_taken", "u16", "", "how many of that block's entries found room, from the first on"),
        _value("queue_free", "u16", "", "entries the queue has room for"),
        _value("report_head", "u16", "", "number of the newest report; 0 after power-up"),
        _value("full", "u32", "bit", "bit k: outlet k's packing place is full"),
        _value("count_copy", "u32", "tick", "count once more; another value: this reading is torn, read again"),
    ),
)

JAMMED = Block(
    "jammed",
    STATUS.address + STATUS.words,
    "PLC",
    (_value("jammed", "u32", "bit", "of one lane; bit k: outlet k is jammed"),),
    MAX_LANES,
)

SHUTTER_AT = Block(
    "shutter position",
    JAMMED.address + MAX_LANES * JAMMED.words,
    "PLC",
    (_value("position", "u16", "", "of one lane's shutter: 0 open, 1 closed, 2 attenuator in the light, 3 between these"),),
    MAX_LANES,
)

COMMAND = Block(
    "command",
    192,
    "PC",
    (
        _value("heartbeat", "u16", "", "rises several times within `watchdog_ms` while the PC lives"),
        _value(
            "run",
            "u16",
            "",
            "1: the belt may run, if the PLC's own start button and safety chain say so too; 0: it shall stop. The PLC sets it"
            " to 0 when the PC's heartbeat has stood still for `watchdog_ms`",
        ),
        _value("speed_setpoint", "u32", "tick/s", "wanted belt speed, of a belt that can run at several"),
    ),
)

LATENCY = Block(
    "latency",
    224,
    "PC",
    (_value("latency", "u16", "0.1 ms", "delay of one outlet from coil to drop, which the PLC subtracts at the present speed"),),
    MAX_OUTLETS,
)

SHUTTER = Block(
    "shutter",
    256,
    "PC",
    (
        _value(
            "wanted",
            "u16",
            "",
            "where one lane's shutter is to stand: 0, 1 or 2; all stand open while the PC's heartbeat is still",
        ),
    ),
    MAX_LANES,
)

ENTRY = (
    _value("lane", "u16", "", "from 0"),
    _value("outlet", "u16", "", "from 0"),
    _value("fire_count", "u32", "tick", "the encoder's counter when the fruit is over the outlet"),
    _value("hold_ticks", "u32", "tick", "how long the coil stays on"),
    _value("cup", "i32", "", "which fruit, for the reports"),
)
ENTRY_WORDS = sum(register.words for register in ENTRY)
QUEUE_ENTRIES = (WRITE_WORDS - 3) // ENTRY_WORDS

QUEUE = Block(
    "queue",
    320,
    "PC",
    (
        _value("sequence", "u16", "", "number of this block, one above queue_ack"),
        _value("entries", "u16", "", "how many entries follow, 1 to 15"),
    ),
)
"""Head of the queue block: `QUEUE_ENTRIES` entries at most and the sequence once more follow in the same request."""

QUEUE_ENTRY = Block("queue entry", QUEUE.address + QUEUE.words, "PC", ENTRY, QUEUE_ENTRIES)

REPORT_RING = 128
REPORT = Block(
    "report",
    512,
    "PLC",
    (
        _value("number", "u16", "", "of this report; report n lies in row n modulo 128"),
        _value("state", "u16", "", "1 fired, 2 late, 3 jammed, 4 full, 5 clear, 6 cup index, 7 drop, 8 shutter"),
        _value(
            "count",
            "u32",
            "tick",
            "the encoder's counter when it happened: coil on, flag over the sensor, fruit through the drop, shutter at rest",
        ),
        _value("lane", "i16", "", "from 0; -1 all lanes"),
        _value("outlet", "u16", "", "from 0; 0 for a cup index; of a shutter its position"),
        _value("cup", "i32", "", "which fruit; -1 none"),
    ),
    REPORT_RING,
)

BLOCKS = (IDENTITY, STATUS, JAMMED, SHUTTER_AT, COMMAND, LATENCY, SHUTTER, QUEUE, QUEUE_ENTRY, REPORT)
MAP_WORDS = REPORT.address + REPORT.repeat * REPORT.words

STOPPED, RUNNING, EMERGENCY_STOP = range(3)
FIRED, LATE, JAM, FULL, CLEAR, CUP_INDEX, DROP, SHUTTER_STANDS = range(1, 9)


def split(value: int, words: int) -> list[int]:
    """Return a number as words, high word first."""
    return [value >> 16 * (words - 1 - i) & 0xFFFF for i in range(words)]


def join(words: Sequence[int], *, signed: bool = False) -> int:
    """Return the number in ``words``, high word first."""
    value = 0
    for word in words:
        value = value << 16 | word
    top = 1 << 16 * len(words)
    return value - top if signed and value >= top >> 1 else value


def pack(registers: Sequence[Register], **values: int) -> list[int]:
    """Return the words of one row."""
    return [word for register in registers for word in split(values[register.name], register.words)]


def unpack(registers: Sequence[Register], words: Sequence[int]) -> dict[str, int]:
    """Return the numbers in one row; texts are left out."""
    values, at = {}, 0
    for register in registers:
        if register.kind != "text":
            values[register.name] = join(words[at : at + register.words], signed=register.kind[0] == "i")
        at += register.words
    return values


def pack_text(text: str, words: int) -> list[int]:
    """Return text as words; what is not ASCII becomes ``?``, what is too long is cut."""
    raw = text.encode("ascii", "replace")[: 2 * words].ljust(2 * words, b"\0")
    return [raw[i] << 8 | raw[i + 1] for i in range(0, len(raw), 2)]


def unpack_text(words: Sequence[int]) -> str:
    """Return the text in ``words``; what cannot be printed becomes ``?``."""
    raw = b"".join(word.to_bytes(2, "big") for word in words).partition(b"\0")[0]
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw)
