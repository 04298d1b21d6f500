"""Files to start from: what ``citrus-grade init`` writes, and the plan of the demo."""

from pathlib import Path

FOLDER = Path(__file__).parent
LINE = FOLDER / "line.toml"
PLAN = FOLDER / "plan.toml"
DEMO_PLAN = FOLDER / "demo_plan.toml"
