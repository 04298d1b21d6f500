"""The files ``citrus-grade init`` writes."""

from pathlib import Path

FOLDER = Path(__file__).parent
LINE = FOLDER / "line.toml"
PLAN = FOLDER / "plan.toml"
