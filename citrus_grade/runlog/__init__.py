"""The flight recorder: every message as it was fed, every decision as it was made."""

from citrus_grade.runlog.errors import LogError
from citrus_grade.runlog.inspect import info, recover
from citrus_grade.runlog.reader import LogReader, files
from citrus_grade.runlog.writer import LogWriter

__all__ = ["LogError", "LogReader", "LogWriter", "files", "info", "recover"]
