"""One thing the doctor looked at."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was looked at, its ``state``, what was ``found``, and how to ``fix`` it where that is needed.

    Of a device ``kind`` says in a word for programs whether it is "found", "missing", "another" or "busy".
    """

    what: str
    state: State
    found: str
    fix: str = ""
    kind: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
