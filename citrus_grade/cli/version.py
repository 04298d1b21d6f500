"""``citrus-grade version``."""

import platform
from importlib import metadata

from citrus_grade import __version__
from citrus_grade.cli import errors, out
from citrus_grade.cli.options import Json
from citrus_grade.words import N_

HELP = N_("Show the versions of the program, of Python and of the packages whose arithmetic decides.")
EXAMPLES = "citrus-grade version --json"
PACKAGES = ("numpy", "scipy", "numba", "opencv-python-headless", "scikit-learn", "mcap", "pyarrow", "onnxruntime")


def verb(as_json: Json = False) -> int:
    """Show versions."""
    versions = {"citrus-grade": __version__, "python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    if as_json:
        out.as_json(versions)
    else:
        for name, version in versions.items():
            out.text(f"{name:24} {version}")
    return errors.DONE


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"
