"""How long a process of a live line may stand still before it is killed and another takes its place."""

from citrus_grade.config import LineConfig
from citrus_grade.runtime.live.board import Station
from citrus_grade.runtime.live.work import CORE, PLC, RECORDER, SCALE

START_S = 180.0
"""A first start compiles; this long it may take."""
OPENING_S = 30.0
"""A device that is gone may take so long to answer, or not to, when it is opened again."""
SILENT_S = {CORE: 2.0, PLC: 2.0, RECORDER: 10.0, SCALE: 15.0}
"""By process; a recorder may wait for its disk."""
OTHERS_S = 5.0
REQUESTS = 3
"""So many requests of a PLC follow one another between two signs of life, and each may take twice ``timeout_ms``."""


def patience_s(role: str, station: Station, config: LineConfig) -> float:
    """Return how long a process may be silent, in s, with its device as it is and as the line is configured."""
    if not station.is_ready:
        return START_S
    silent_s = SILENT_S.get(role, OTHERS_S)
    timeout_ms = config.plc.get("timeout_ms") if role == PLC else None
    if isinstance(timeout_ms, int | float):  # the driver refuses anything else
        silent_s = max(silent_s, REQUESTS * 2 * timeout_ms / 1000)
    return silent_s if station.works else max(silent_s, OPENING_S)
