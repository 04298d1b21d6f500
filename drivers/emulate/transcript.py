"""What was said between a driver and a device, as text: each line bytes of one side, in hex.

``>`` is what the driver sends, ``<`` what the device answers, ``#`` begins a comment, ``. `` bytes of ASCII in place of hex, with
``\\n`` for a line's end. Blank lines and spaces are free.
"""

from pathlib import Path
from typing import Final, NamedTuple

SIDES: Final = "><"


class Said(NamedTuple):
    """Bytes of one side; ``line`` of the file, from 1."""

    side: str
    data: bytes
    line: int


def load(path: Path) -> list[Said]:
    """Read a transcript.

    Raises
    ------
    ValueError : naming file and line of what is none.
    """
    said = []
    for number, text in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        words = text.split("#")[0].strip() if text[1:2] != "." else text.strip()
        if not words:
            continue
        try:
            said.append(Said(words[0], _bytes(words[1:]), number))
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
        if words[0] not in SIDES:
            raise ValueError(f"{path.name}, line {number}: begins with {words[0]!r}; begin it with >, < or #")
    return said


def answers(said: list[Said]) -> list[bytes]:
    """Return what the device said, answer by answer."""
    return [one.data for one in said if one.side == "<"]


def _bytes(words: str) -> bytes:
    if words.startswith("."):
        return words[1:].strip().replace("\\n", "\n").encode("ascii")
    return bytes.fromhex(words)


class ReplayPort:
    """A `link.Port` behind which a transcript answers: it expects the driver's bytes, and no others.

    Raises
    ------
    AssertionError : by `write` where other bytes are sent, by `finish` where some of the transcript was not used.
    """

    timeout: float | None = None

    def __init__(self, said: list[Said]) -> None:
        self._said, self._at = said, 0
        self._sent, self._waiting = b"", b""

    def write(self, data: bytes) -> int:
        """Compare what the driver sends with the transcript."""
        self._sent += data
        while self._sent:
            expected = self._expected()
            assert expected.startswith(self._sent[: len(expected)]), (
                f"line {self._said[self._at].line}: sent {self._sent.hex(' ')}, expected {expected.hex(' ')}"
            )
            if len(self._sent) < len(expected):
                break
            self._sent = self._sent[len(expected) :]
            self._at += 1
            self._answer()
        return len(data)

    def read(self, size: int) -> bytes:
        """Return what the device says here; nothing comes where the driver has to speak first."""
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data

    def close(self) -> None:
        """Nothing to let go of."""

    def finish(self) -> None:
        """Say that the driver is done."""
        assert self._at == len(self._said), f"line {self._said[self._at].line} and what follows was not used"
        assert not self._waiting, f"not read: {self._waiting.hex(' ')}"
        assert not self._sent, f"sent and not expected: {self._sent.hex(' ')}"

    def _expected(self) -> bytes:
        assert self._at < len(self._said), f"sent after the transcript's end: {self._sent.hex(' ')}"
        return self._said[self._at].data

    def _answer(self) -> None:
        while self._at < len(self._said) and self._said[self._at].side == "<":
            self._waiting += self._said[self._at].data
            self._at += 1
