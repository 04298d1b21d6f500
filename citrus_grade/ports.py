"""What the core asks of the world: each port is a handful of verbs."""

from collections.abc import Iterator
from typing import Any, Protocol

from numpy.typing import NDArray

from citrus_grade.messages import Ejection, Message


class Source(Protocol):
    """Everything a line senses, already merged in order of arrival."""

    def messages(self) -> Iterator[Message]:
        """Yield messages until the line stops."""
        ...


class Outlets(Protocol):
    """The PLC's ejection queue."""

    def eject(self, ejections: list[Ejection]) -> None:
        """Queue ejections, each at least its lead ahead."""
        ...


class Plant(Source, Outlets, Protocol):
    """A whole line as one driver: what `config` names under ``[source]``."""

    truth_kind: str
    """What `truth` is: "simulated", or what a driver of real data says of it."""

    @property
    def line_s(self) -> float:
        """How long the line will run, in seconds of its own time; 0 where nobody knows."""
        ...

    def truth(self) -> NDArray[Any] | None:
        """Return what really lay in each cup and where it fell, where the driver knows it (a simulator does)."""
        ...

    def close(self) -> None:
        """Let go of the devices."""
        ...
