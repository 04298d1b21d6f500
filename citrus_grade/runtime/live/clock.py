"""When did it happen, in ticks: a device's clock on the host's, the host's on the belt's."""

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class DeviceClock:
    """Maps a device's own clock to the host's.

    A message takes a least time on its way and often longer, never shorter: the smallest difference between arrival and the
    device's time, over the last ``seconds``, is the offset of the clocks plus that least time (Cristian, Distributed Computing 3,
    146, 1989).
    """

    seconds: int = 8
    _last_ns: int = 0
    _least: deque[tuple[int, int]] = field(default_factory=deque)

    def host_ns(self, device_ns: int, arrival_ns: int, transit_ns: int = 0) -> int:
        """Return when, on the host's clock, what the device stamped ``device_ns`` and arrived at ``arrival_ns`` happened.

        ``transit_ns`` is the least time on its way, as far as anybody knows it.
        """
        apart, second = arrival_ns - device_ns, arrival_ns // SECOND_NS
        least = self._least
        if device_ns < self._last_ns:
            least.clear()  # the device has set its clock, or has been started again
        self._last_ns = device_ns
        if least and least[-1][0] == second:
            least[-1] = (second, min(least[-1][1], apart))
        else:
            least.append((second, apart))
        while least[0][0] <= second - self.seconds:
            least.popleft()
        return device_ns + min(value for _, value in least) - transit_ns


@dataclass(slots=True)
class BeltClock:
    """Follows the encoder: where the belt is at any moment near now, and how fast it moves.

    The speed is the slope over the last half second of looks, so one look that came late does not throw it.
    """

    span_ns: int = SECOND_NS // 2
    _looks: deque[tuple[int, int]] = field(default_factory=deque)

    def look(self, tick: int, t_ns: int) -> None:
        """Take in that the count was ``tick`` at ``t_ns``."""
        self._looks.append((tick, t_ns))
        while self._looks[-1][1] - self._looks[0][1] > self.span_ns and len(self._looks) > 2:
            self._looks.popleft()

    @property
    def ticks_per_s(self) -> float:
        """Speed of the belt; 0 before two looks."""
        (tick_0, t_0), (tick_1, t_1) = self._looks[0], self._looks[-1]
        return (tick_1 - tick_0) * SECOND_NS / (t_1 - t_0) if t_1 > t_0 else 0.0


def tick_at(belt: tuple[int, int, float], t_ns: int) -> int:
    """Return the count at ``t_ns`` of a belt that was at ``belt[0]`` at ``belt[1]`` and moves at ``belt[2]`` ticks/s."""
    tick, at_ns, ticks_per_s = belt
    return tick + round((t_ns - at_ns) * ticks_per_s / SECOND_NS)


def nearest_trigger(tick: int, ticks_per_cup: Fraction) -> int:
    """Return the whole pitch nearest to a count: where a camera that is triggered once a pitch took its frame."""
    return round(round(tick / ticks_per_cup) * ticks_per_cup)
