"""Commands of line.toml: when a running line is given them, and what is no command."""

import pytest

from citrus_grade.config import ConfigError, parse
from citrus_grade.config.references import CommandSection
from citrus_grade.messages import Command, Message, Pulse
from citrus_grade.runtime.schedule import Schedule, scheduled
from citrus_grade.templates import LINE

S = 10**9


def pulses(n: int, first_s: int = 0, step_s: int = 1) -> list[Pulse]:
    return [Pulse(4096 * k, 4096 * k, (first_s + k * step_s) * S) for k in range(n)]


def given(commands: list[CommandSection], messages: list[Message]) -> list[tuple[int, str, str]]:
    """Pitch, kind and value of each command."""
    return [(m.tick // 4096, m.kind, m.value) for m in scheduled(commands, messages) if isinstance(m, Command)]


def test_a_command_comes_with_the_first_pulse_of_its_time_and_again() -> None:
    commands = [
        CommandSection(kind="dark_refresh", at_min=0.05, every_min=0.1),
        CommandSection(kind="white_refresh", value="3", at_min=0.1),
    ]
    assert given(commands, pulses(20)) == [
        (3, "dark_refresh", ""),
        (6, "white_refresh", "3"),
        (9, "dark_refresh", ""),
        (15, "dark_refresh", ""),
    ]


def test_time_counts_from_the_first_pulse_whatever_the_clock_shows() -> None:
    command = [CommandSection(kind="lot", value="7", at_min=0.05)]
    assert given(command, pulses(9, first_s=7_000_000)) == [(3, "lot", "7")]


def test_a_line_that_stood_is_given_a_repeated_command_once() -> None:
    command = [CommandSection(kind="dark_refresh", at_min=0.0, every_min=0.05)]
    waited = [*pulses(2), *pulses(4, first_s=600)]
    assert [m.t_ns // S for m in scheduled(command, waited) if isinstance(m, Command)] == [0, 600, 603]


def test_a_schedule_taken_up_again_asks_only_for_what_is_still_due() -> None:
    commands = [
        CommandSection(kind="dark_refresh", at_min=0.05, every_min=0.1),
        CommandSection(kind="white_refresh", at_min=0.1),
    ]
    again = Schedule(commands, 0, 10 * S)
    due = [(pulse.t_ns // S, command.kind) for pulse in pulses(20, first_s=10) for command in again.due(pulse)]
    assert due == [(15, "dark_refresh"), (21, "dark_refresh"), (27, "dark_refresh")]


def test_messages_pass_unchanged_and_in_order() -> None:
    messages = pulses(5)
    command = [CommandSection(kind="dark_refresh", at_min=0.0)]
    assert [m for m in scheduled(command, messages) if not isinstance(m, Command)] == messages


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[command]]\nkind = "plan"\nat_min = 1', "command.0.kind"),
        ('[[command]]\nkind = "dark_refresh"', "command.0.at_min: is missing"),
        ('[[command]]\nkind = "dark_refresh"\nat_min = 1\nevery_min = 0', "command.0.every_min"),
        ("[references]\nscans = 2", "references.scans"),
        ("[references]\nscan = 20", "did you mean 'scans'"),
    ],
)
def test_what_is_no_command_and_no_limit_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(LINE.read_text(encoding="utf-8") + "\n" + text + "\n")
