"""Open software of a citrus grading line: fruit in, grade out, outlet fired, every run replayed to the same bits."""

__version__ = "0.1.0"
