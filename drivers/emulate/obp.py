"""A spectrometer of the Ocean Binary Protocol: questions in, answers out, at the times they are due."""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from citrus_grade.drivers.emulate.acquisition import Acquisition, Fault, Taken
from citrus_grade.drivers.emulate.spectra import Spectra
from citrus_grade.drivers.ocean import features as f
from citrus_grade.drivers.ocean.protocol import ACK, ACK_WANTED, NACK, RESPONSE, Deframer, Message, frame

UNKNOWN, BAD_LENGTH, BAD_VALUE, NOT_READY = 2, 5, 6, 7
BUFFERED_METADATA = struct.Struct("<LQL16x")


@dataclass(frozen=True)
class ObpSpectrometer:
    """An emulated spectrometer as it left the factory; polynomials lowest order first. ``checksum``: answers carry an MD5."""

    serial: str
    model: str = "EMULATED"
    wavelength: tuple[float, ...] = (650.0, 1.4)
    nonlinearity: tuple[float, ...] = (1.0,)
    temperature_c: float = 25.0
    shortest_us: int = 10
    checksum: bool = True

    def device(self, spectra: Spectra, t_ns: int) -> "ObpDevice":
        """Switch it on at ``t_ns``."""
        return ObpDevice(self, spectra, t_ns)


class ObpDevice:
    """A spectrometer that is switched on: `take` bytes in, `due` bytes out. ``closed``: a fault ended the connection."""

    def __init__(self, made: ObpSpectrometer, spectra: Spectra, t_ns: int) -> None:
        self.made, self._on_ns = made, t_ns
        self.acquisition = Acquisition(spectra)
        self.lamp, self.closed = False, False
        self.binning = 0
        self._deframer = Deframer(checked=False)
        self._due: deque[tuple[int, Message, Fault | None]] = deque()
        self._ready = b""
        self._answers: dict[int, Callable[[bytes], bytes | None]] = {
            f.SERIAL_NUMBER: lambda _payload: made.serial.encode(),
            f.SERIAL_NUMBER_LENGTH: lambda _payload: bytes([len(made.serial)]),
            f.MODEL: lambda _payload: made.model.encode(),
            f.ABORT: self._stop,
            f.GET_INTEGRATION_US: lambda _payload: struct.pack("<L", self.acquisition.integration_us),
            f.SET_INTEGRATION_US: self._set_integration,
            f.SET_TRIGGER: self._set_trigger,
            f.GET_BINNING: lambda _payload: bytes([self.binning]),
            f.SET_BINNING: self._set_binning,
            f.SET_LAMP: self._set_lamp,
            f.WAVELENGTH_COUNT: lambda _payload: bytes([len(made.wavelength)]),
            f.WAVELENGTH_COEFFICIENT: lambda payload: _nth(made.wavelength, payload),
            f.NONLINEARITY_COUNT: lambda _payload: bytes([len(made.nonlinearity)]),
            f.NONLINEARITY_COEFFICIENT: lambda payload: _nth(made.nonlinearity, payload),
            f.TEMPERATURE: lambda payload: _nth((made.temperature_c,), payload),
        }

    def connected(self) -> None:
        """Begin anew with another client; what the last one asked for is forgotten."""
        self._deframer = Deframer(checked=False)
        self._ready, self.closed = b"", False
        self._stop(b"")

    def take(self, data: bytes, t_ns: int) -> None:
        """Take what a client sent by ``t_ns``."""
        for message in self._deframer.feed(data):
            if message.kind in f.SPECTRUM_KINDS.values():
                self._spectrum(message, t_ns)
            else:
                answer = self._answer(message)
                self._ready += self._frame(answer) if answer else b""

    @property
    def next_ns(self) -> int | None:
        """When something is due next; None if nothing is asked for."""
        return 0 if self._ready else self._due[0][0] if self._due else None

    def due(self, t_ns: int) -> bytes:
        """Return what is to be sent by ``t_ns``."""
        out, self._ready = self._ready, b""
        while self._due and self._due[0][0] <= t_ns:
            _due_ns, message, fault = self._due.popleft()
            out += self._spoilt(self._frame(message), fault)
        return out

    def _answer(self, asked: Message) -> Message | None:
        """Return the answer to a question; an order that is carried out has one only if it asks to be acknowledged."""
        answer = Message(asked.kind, flags=RESPONSE, regarding=asked.regarding)
        known = self._answers.get(asked.kind)
        if known is None:
            return answer._replace(flags=RESPONSE | NACK, error=UNKNOWN)
        try:
            payload = known(asked.payload)
        except struct.error:
            return answer._replace(flags=RESPONSE | NACK, error=BAD_LENGTH)
        except ValueError:
            return answer._replace(flags=RESPONSE | NACK, error=BAD_VALUE)
        wants_ack = bool(asked.flags & ACK_WANTED)
        if payload is None and not wants_ack:
            return None
        return answer._replace(payload=payload or b"", flags=RESPONSE | (ACK if wants_ack else 0))

    def _frame(self, message: Message) -> bytes:
        return frame(message, checksum=self.made.checksum)

    def _spectrum(self, asked: Message, t_ns: int) -> None:
        taken = self.acquisition.take(t_ns, buffered=asked.kind == f.BUFFERED_SPECTRUM)
        answer = Message(asked.kind, self._pixels(asked.kind, taken), RESPONSE, regarding=asked.regarding)
        if taken.fault == "refused":
            answer = answer._replace(payload=b"", flags=RESPONSE | NACK, error=NOT_READY)
        self._due.append((taken.due_ns, answer, taken.fault))

    def _pixels(self, kind: int, taken: Taken) -> bytes:
        if kind != f.BUFFERED_SPECTRUM:
            return taken.counts.astype("<u2").tobytes()
        us = (taken.began_ns - self._on_ns) // 1000
        metadata = BUFFERED_METADATA.pack(taken.number & 0xFFFFFFFF, us, self.acquisition.integration_us)
        return metadata + taken.counts.astype("<u4").tobytes()

    def _spoilt(self, data: bytes, fault: Fault | None) -> bytes:
        if fault == "closed":
            self.closed = True
        if fault in ("closed", "silent"):
            return b""
        if fault == "bad_checksum":
            return data[:50] + bytes([data[50] ^ 1]) + data[51:]
        if fault == "short":
            return data[: len(data) // 2]
        return np.random.default_rng(len(data)).bytes(100) + data if fault == "garbage" else data

    def _stop(self, _payload: bytes) -> None:
        self._due.clear()
        self.acquisition.stop()

    def _set_integration(self, payload: bytes) -> None:
        (us,) = struct.unpack("<L", payload)
        if us < self.made.shortest_us:
            raise ValueError
        self.acquisition.integration_us = us

    def _set_trigger(self, payload: bytes) -> None:
        (mode,) = struct.unpack("<B", payload)
        if mode not in (f.FREE, f.HARDWARE):
            raise ValueError
        self.acquisition.hardware = mode == f.HARDWARE

    def _set_binning(self, payload: bytes) -> None:
        (factor,) = struct.unpack("<B", payload)
        if factor:
            raise ValueError

    def _set_lamp(self, payload: bytes) -> None:
        (on,) = struct.unpack("<?", payload)
        self.lamp = on


def _nth(values: tuple[float, ...], payload: bytes) -> bytes:
    (n,) = struct.unpack("<B", payload)
    if n >= len(values):
        raise ValueError
    return struct.pack("<f", values[n])
