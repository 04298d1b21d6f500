"""The commands of ``line.toml``, given to a running line in their time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from citrus_grade.config.references import CommandSection
from citrus_grade.messages import Command, Message, Pulse

NS_PER_MIN = 60e9


def scheduled(commands: Sequence[CommandSection], messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages of a line, each command before the first pulse at or after its time, counted from the first pulse."""
    due: list[tuple[int, int]] = []
    started = False
    for message in messages:
        if isinstance(message, Pulse):
            if not started:
                due = [(message.t_ns + round(command.at_min * NS_PER_MIN), index) for index, command in enumerate(commands)]
                heapq.heapify(due)
                started = True
            yield from _due(commands, due, message)
        yield message


def _due(commands: Sequence[CommandSection], due: list[tuple[int, int]], pulse: Pulse) -> Iterator[Command]:
    while due and due[0][0] <= pulse.t_ns:
        at_ns, index = heapq.heappop(due)
        command = commands[index]
        yield Command(pulse.tick, pulse.t_ns, command.kind, command.value)
        if command.every_min is not None:
            # One a pulse at most: what a standing line has missed is not made up for.
            heapq.heappush(due, (max(at_ns + round(command.every_min * NS_PER_MIN), pulse.t_ns + 1), index))
