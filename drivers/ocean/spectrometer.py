"""A spectrometer of the Ocean Binary Protocol; see `ports.Spectrometer` and ``docs/spectrometers.md``."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.drivers.lanes import check_serial, unnamed
from citrus_grade.drivers.link import Link, dial, transfer_ns
from citrus_grade.drivers.ocean import features
from citrus_grade.drivers.ocean.options import OceanOptions, options_of
from citrus_grade.drivers.ocean.protocol import HEADER_BYTES, TAIL_BYTES, Message
from citrus_grade.drivers.ocean.talk import QUESTIONS, Talk
from citrus_grade.ports import DeviceError, DeviceGone, Found, Spectrometer, Spectrum
from citrus_grade.words import _

FRAME_BYTES: Final = HEADER_BYTES + TAIL_BYTES
ASKED_AT_MOST: Final = 2
"""Spectra asked for and not yet answered: one, and another where its answer may have been lost."""


def open_spectrometer(config: LineConfig, lane: int) -> Spectrometer:
    """Open the spectrometer of a lane.

    Raises
    ------
    DeviceError : if it is not the one that ``line.toml`` describes, or refuses how it shall measure.
    DeviceGone : if nothing answers.
    """
    link, options = _dialled(config, lane)
    return connect(link, options, config, lane)


def look(config: LineConfig, lane: int) -> Found:
    """Ask the spectrometer of a lane who it is and what it sees; see `ports.Found`."""
    link, options = _dialled(config, lane)
    try:
        talk = Talk(link, options.timeout_s, checksum=options.checksum)
        serial = features.serial_number(talk)
        check_serial(link.name, serial, options.serial, config)
        if options.binning is None or features.binning(talk) == options.binning:
            _check_coefficients(talk, options, config, lane)
        return Found(f"{features.model(talk)} {serial}, {options.url}", unnamed(serial, options.serial, lane))
    finally:
        link.close()


def _dialled(config: LineConfig, lane: int) -> tuple[Link, OceanOptions]:
    assert config.spectrometer is not None
    options = options_of(config.spectrometer.device[lane], f"spectrometer.device.{lane}")
    name = _("lane {lane}: the spectrometer at {url}").format(lane=lane, url=options.url)
    return dial(options.url, options.baud, name), options


def _check_coefficients(talk: Talk, options: OceanOptions, config: LineConfig, lane: int) -> None:
    """Compare the axis as far as it is known without a spectrum: how many pixels there are, only that would tell."""
    assert config.spectrometer is not None
    found_nm = features.pixel_nm(features.wavelength_coefficients(talk), config.spectrometer.pixels)
    check_axis(talk.name, lane, found_nm, config, options.axis_nm)


def connect(link: Link, options: OceanOptions, config: LineConfig, lane: int) -> "OceanSpectrometer":
    """Make the spectrometer of an open link; closes it where that fails. Raises as `open_spectrometer`."""
    talk = Talk(link, options.timeout_s, checksum=options.checksum)
    try:
        features.stop(talk)
        serial = features.serial_number(talk)
        check_serial(link.name, serial, options.serial, config)
        device = OceanSpectrometer(talk, options, f"{features.model(talk)} {serial}")
        check_axis(link.name, lane, device.wavelength_nm, config, options.axis_nm)
        device.arm()
    except Exception:
        link.close()
        raise
    return device


class OceanSpectrometer:
    """A spectrometer; a spectrum is always asked for, so that none is missed while the last is worked on.

    Without metadata (``spectrum`` other than "buffered") a spectrum's number is that of the question, and its time when it came.
    """

    def __init__(self, talk: Talk, options: OceanOptions, identity: str) -> None:
        self._talk, self._options, self.identity = talk, options, identity
        self._kind = features.SPECTRUM_KINDS[options.spectrum]
        self._asked: list[int] = []
        self._number, self._heard_s, self._broken = 0, 0.0, 0
        self._count, self._last_count = 0, 0
        features.set_integration(talk, options.integration_us)
        if options.binning is not None:
            features.set_binning(talk, options.binning)
        self._straighten = features.nonlinearity_coefficients(talk) if options.nonlinearity else None
        coefficients = features.wavelength_coefficients(talk)
        self.wavelength_nm: NDArray[np.float64] = features.pixel_nm(coefficients, self._pixels())
        n_bytes = FRAME_BYTES + features.spectrum_bytes(self._kind, len(self.wavelength_nm))
        self._transit_ns = options.integration_us * 500 + transfer_ns(options.url, options.baud, n_bytes)

    @property
    def dropped(self) -> int:
        """How often bytes had to be dropped because they were no sound frame."""
        return self._talk.broken

    def arm(self) -> None:
        """Set the trigger that the options name, and ask for the first spectrum."""
        features.set_trigger(self._talk, features.HARDWARE if self._options.trigger == "hardware" else features.FREE)
        self._heard_s = time.monotonic()
        self._ask()

    def grab(self, timeout_s: float) -> Spectrum | None:
        message = self._answer(timeout_s)
        if message is None:
            self._check_silence()
            return None
        t_ns = time.monotonic_ns()
        if not self._asked:
            self._ask()
        return self._spectrum(message, t_ns)

    def lamp(self, on: bool) -> None:
        """Switch the lamp-enable output, for dark and white references.

        Raises
        ------
        DeviceError : if the device has none. DeviceGone : if it does not answer.
        """
        features.set_lamp(self._talk, on)

    def temperature_c(self) -> float:
        """Return the detector's temperature. Raises as `lamp`."""
        return features.temperature_c(self._talk)

    def close(self) -> None:
        """Let go of the spectrometer; a second call does nothing."""
        self._talk.close()

    def _pixels(self) -> int:
        """Take one spectrum without waiting for a trigger; return how many pixels it has."""
        features.set_trigger(self._talk, features.FREE)
        self._ask()
        message = self._answer(self._longest_s())
        if message is None:
            raise self._talk.gone(_("it was asked for a spectrum"))
        return len(features.spectrum(self._kind, message.payload)[1])

    def _ask(self) -> None:
        """Ask for a spectrum; of the questions that have no answer yet, the oldest are given up."""
        self._number = (self._number + 1) % QUESTIONS
        self._asked = [*self._asked[-(ASKED_AT_MOST - 1) :], self._number]
        self._talk.send(self._kind, self._number)

    def _answer(self, timeout_s: float) -> Message | None:
        """Return the next answer to what was asked, or None; ask again wherever an answer may have been lost."""
        now = time.monotonic()
        until = now + timeout_s
        while True:
            # What was broken may have come before, while something else was asked.
            if self._talk.broken > self._broken or not self._asked:
                self._broken = self._talk.broken
                self._ask()
            message = self._talk.receive(until - now)
            if message is not None and self._answers(message):
                return message
            now = time.monotonic()
            if now >= until:
                return None

    def _answers(self, message: Message) -> bool:
        """Take note of an answer to what was asked; False if it is none.

        Raises
        ------
        DeviceGone : if a spectrum is refused.
        """
        if message.regarding not in self._asked:
            return False
        # Answers keep the order of the questions, so those before this one were lost.
        del self._asked[: self._asked.index(message.regarding) + 1]
        self._heard_s = time.monotonic()
        if (said := self._talk.refusal(_("a spectrum"), message)) is not None:
            raise DeviceGone(said)
        return message.kind == self._kind

    def _spectrum(self, message: Message, t_ns: int) -> Spectrum:
        metadata, counts = features.spectrum(self._kind, message.payload)
        if len(counts) != len(self.wavelength_nm):
            said = _("its spectrum has {found} pixels, before it had {wanted}")
            raise self._talk.gone(said.format(found=len(counts), wanted=len(self.wavelength_nm)))
        if self._straighten is not None:
            counts = features.linearised(counts, self._straighten)
        if metadata is None:
            return Spectrum(message.regarding, t_ns, t_ns, counts, self._transit_ns)
        return Spectrum(self._unwrapped(metadata.number), metadata.device_us * 1000, t_ns, counts, self._transit_ns)

    def _unwrapped(self, count: int) -> int:
        self._count += (count - self._last_count) % (1 << 32)
        self._last_count = count
        return self._count

    def _longest_s(self) -> float:
        return self._options.integration_us / 1e6 + self._options.timeout_s

    def _check_silence(self) -> None:
        """A device that waits for triggers may be silent for any time, unless the options say for how long."""
        longest_s = self._options.silent_s if self._options.trigger == "hardware" else self._longest_s()
        if longest_s is not None and time.monotonic() - self._heard_s > longest_s:
            raise self._talk.gone(_("no spectrum for {s:g} s").format(s=longest_s))


def check_axis(name: str, lane: int, found_nm: NDArray[np.float64], config: LineConfig, most_nm: float) -> None:
    """Compare a device's wavelengths with those of ``line.toml``; its ends may lie ``most_nm`` off.

    Raises
    ------
    DeviceError : saying what was found and wanted, and what to change.
    """
    assert config.spectrometer is not None
    wanted_nm = config.spectrometer.axis_nm
    if len(found_nm) != len(wanted_nm):
        raise DeviceError(
            _("{name} has {found} pixels, line.toml says {wanted}; correct spectrometer.pixels, or the device's binning").format(
                name=name, found=len(found_nm), wanted=len(wanted_nm)
            )
        )
    if max(abs(found_nm[0] - wanted_nm[0]), abs(found_nm[-1] - wanted_nm[-1])) > most_nm:
        raise DeviceError(
            _(
                "{name} sees {found_0:.1f} to {found_1:.1f} nm, line.toml says {wanted_0:.1f} to {wanted_1:.1f};"
                " correct spectrometer.wavelength_nm, or put the right spectrometer into lane {lane}"
            ).format(
                name=name,
                lane=lane,
                found_0=found_nm[0],
                found_1=found_nm[-1],
                wanted_0=wanted_nm[0],
                wanted_1=wanted_nm[-1],
            )
        )
