"""The doctor's look at this machine: interpreter, packages, caches, disk and clock."""

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from citrus_grade.cli.findings import Finding
from citrus_grade.words import _

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = Path(__file__).resolve().parents[1]
LEAST_PYTHON = (3, 11)
LOW_DISK_GB, FULL_DISK_GB = 20.0, 1.0
# Two connections that write and checkpoint at once could lose commits before these (sqlite.org, "WAL-reset bug").
SOUND_SQLITE = ((3, 51, 3), (3, 50, 7), (3, 44, 6))


def examine(folder: Path) -> Iterator[Finding]:
    """Look at the machine; ``folder`` is where runs would be written."""
    checks: tuple[Callable[[], Finding], ...] = (
        python,
        packages,
        opencv,
        kernel_cache,
        sqlite,
        cpus,
        lambda: writable(folder),
        lambda: disk(folder),
        clock,
    )
    for check in checks:
        yield check()


def python() -> Finding:
    """Is the interpreter new enough?"""
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info < LEAST_PYTHON:
        return Finding("Python", "fail", found, _("install Python 3.11 or later"))
    return Finding("Python", "ok", found)


def packages() -> Finding:
    """Is every package there, in a version this program was made for?"""
    from packaging.requirements import Requirement

    what = _("packages")
    try:
        requirements = [Requirement(line) for line in metadata.requires("citrus-grade") or ()]
    except metadata.PackageNotFoundError:
        return Finding(what, "warn", _("citrus-grade runs from its sources, not installed"), "pip install --editable .")
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    if bad := unmet(needed):
        return Finding(what, "fail", ", ".join(bad), "pip install --upgrade citrus-grade")
    return Finding(what, "ok", _("{n} packages in the versions needed").format(n=len(needed)))


def unmet(requirements: "Iterable[Requirement]") -> list[str]:
    """Return which packages are missing or of another version, each with what is there and what is wanted."""
    bad = []
    for requirement in requirements:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = ""
        if not requirement.specifier.contains(version or "0", prereleases=True) or not version:
            bad.append(" ".join((requirement.name, version or _("missing"), f"({requirement.specifier})")))
    return bad


def opencv() -> Finding:
    """Does exactly one package own cv2, and can it be loaded?"""
    owners = sorted(set(metadata.packages_distributions().get("cv2", ())))
    if len(owners) > 1:
        fix = f"pip uninstall --yes {' '.join(owners)} && pip install opencv-python-headless"
        return Finding("OpenCV", "fail", _("two packages own cv2: {owners}").format(owners=", ".join(owners)), fix)
    try:
        import cv2
    except ImportError as error:
        return Finding("OpenCV", "fail", str(error), "pip install --force-reinstall opencv-python-headless")
    return Finding("OpenCV", "ok", f"{', '.join(owners)} {cv2.__version__}")


def kernel_cache() -> Finding:
    """Can compiled kernels be kept, or is every start a slow one?"""
    what = _("cache of compiled kernels")
    given = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(given) if given else PACKAGE
    if os.access(folder, os.W_OK):
        return Finding(what, "ok", str(folder))
    home = Path.home() / ".cache"
    if not given and os.access(home if home.exists() else home.parent, os.W_OK):
        return Finding(what, "ok", str(home / "numba"))
    fix = _("set NUMBA_CACHE_DIR to a folder you may write to; until then every start compiles anew")
    return Finding(what, "warn", _("{path} cannot be written").format(path=folder), fix)


def sqlite() -> Finding:
    """Is SQLite free of the WAL-reset bug?"""
    version = sqlite3.sqlite_version_info
    sound = version >= SOUND_SQLITE[0] or any(version[:2] == fixed[:2] and version >= fixed for fixed in SOUND_SQLITE)
    if sound:
        return Finding("SQLite", "ok", sqlite3.sqlite_version)
    fix = _("safe with the one writer this program uses; let no other program write to its database, or update Python's SQLite")
    return Finding("SQLite", "warn", sqlite3.sqlite_version, fix)


def cpus() -> Finding:
    """Are there cores enough for a camera and the line?"""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return Finding(
            _("processor cores"), "warn", str(count), _("a live line needs 2 cores or more; simulation and replay work")
        )
    return Finding(_("processor cores"), "ok", str(count))


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that exists."""
    return next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())


def writable(folder: Path) -> Finding:
    """Can a run be written there?"""
    what, where = _("run folder"), existing(folder)
    try:
        with tempfile.TemporaryFile(dir=where):
            return Finding(what, "ok", str(where))
    except OSError as error:
        fix = _("make it yours (chown), start elsewhere, or name another folder with --run")
        return Finding(what, "fail", _("{path} cannot be written: {why}").format(path=where, why=error.strerror), fix)


def disk(folder: Path) -> Finding:
    """Is there room for a run?"""
    free_gb = shutil.disk_usage(existing(folder)).free / 1e9
    found = _("{free:.0f} GB free at {path}").format(free=free_gb, path=existing(folder))
    if free_gb >= LOW_DISK_GB:
        return Finding(_("disk"), "ok", found)
    fix = _("free some space; a full log writes about 20 GB an hour and camera")
    return Finding(_("disk"), "fail" if free_gb < FULL_DISK_GB else "warn", found, fix)


def clock() -> Finding:
    """Is the clock of the day plausible and kept? (Decisions go by the encoder; the clock dates lots and runs.)"""
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    if time.time() < (PACKAGE / "__init__.py").stat().st_mtime - 86400:
        return Finding(_("clock"), "fail", now, _("the clock is behind the day this program was installed; set it"))
    synchronised = _synchronised()
    if synchronised is False:
        return Finding(_("clock"), "warn", now + _(", not synchronised"), "timedatectl set-ntp true")
    return Finding(_("clock"), "ok", now + ("" if synchronised else _(", synchronisation unknown")))


def _synchronised() -> bool | None:
    program = shutil.which("timedatectl")
    if program is None:
        return None
    command = [program, "show", "--property=NTPSynchronized", "--value"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return answer == "yes"
