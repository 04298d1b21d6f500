"""What to tell people when something fails: the place, the value and the remedy, never a bare traceback."""

import errno
import tempfile
import traceback
from dataclasses import dataclass
from typing import Any

import typer

from citrus_grade.words import N_, Refused, _

DONE, FINDINGS, BAD_INPUT, INTERNAL = range(4)

_SYSTEM = {
    errno.ENOSPC: N_("the disk is full; free some space, the run recorded so far is kept"),
    errno.EDQUOT: N_("the disk quota is used up; free some space, the run recorded so far is kept"),
    errno.EACCES: N_("not permitted; check the owner and the rights of the file"),
    errno.EROFS: N_("this disk can only be read"),
    errno.ENOENT: N_("there is no such file or folder"),
    errno.ENOTDIR: N_("is a file, where a folder is needed"),
    errno.EISDIR: N_("is a folder, where a file is needed"),
    errno.EEXIST: N_("exists already; nothing is overwritten"),
}


class BadInput(ValueError):
    """Something the user gave that cannot be used; the text says what and the remedy."""


@dataclass(frozen=True, slots=True)
class Failure:
    """``code`` of exit, ``kind`` a stable word for programs, ``problems`` a line each for people."""

    code: int
    kind: str
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"error": self.kind, "problems": list(self.problems), "exit_code": self.code}


def explain(error: Exception) -> Failure:
    """Return what to tell people of ``error``; an unforeseen one has its traceback written to a file."""
    if isinstance(error, typer.TyperException):
        return Failure(BAD_INPUT, "usage", (_usage(error),))
    if isinstance(error, BadInput | Refused):
        return Failure(BAD_INPUT, "input", (str(error),))
    if isinstance(error, OSError):
        return Failure(BAD_INPUT, "file", (_system(error),))
    if isinstance(error, ImportError):
        return _internal(error)
    return _of_the_core(error)


def _of_the_core(error: Exception) -> Failure:
    from citrus_grade.artefacts import ArtefactError
    from citrus_grade.config import ConfigError
    from citrus_grade.ports import DeviceError, DeviceGone
    from citrus_grade.runlog import LogError

    known = {
        ConfigError: "config", ArtefactError: "artefact", LogError: "log", DeviceError: "device", DeviceGone: "device",
    }  # fmt: skip
    for kind, word in known.items():
        if isinstance(error, kind):
            return Failure(BAD_INPUT, word, tuple(str(error).splitlines()))
    return _internal(error)


def _internal(error: Exception) -> Failure:
    with tempfile.NamedTemporaryFile("w", prefix="citrus-grade-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    first_line = str(error).partition("\n")[0]
    return Failure(
        INTERNAL,
        "internal",
        (
            _("this should not happen: {error}").format(error=f"{type(error).__name__}: {first_line}"),
            _("the details were written to {path}; please send them to the maintainers").format(path=file.name),
            _("citrus-grade doctor may find the cause on this machine"),
        ),
    )


def _system(error: OSError) -> str:
    text = _(_SYSTEM[error.errno]) if error.errno in _SYSTEM else error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


def _usage(error: typer.TyperException) -> str:
    # typer's kinds of error are private and English only; what they carry is enough to say it ourselves.
    option, param = getattr(error, "option_name", None), getattr(error, "param", None)
    if hasattr(error, "possibilities"):
        near = next(iter(error.possibilities or ()), None)
        text = _("there is no option {name!r}").format(name=option)
        return text + (_("; did you mean {near!r}?").format(near=near) if near else "")
    if option:
        return _("option {name!r} needs a value").format(name=option)
    if param is not None:
        name = param.opts[0] if param.param_type_name == "option" else param.metavar or param.name.upper()
        return f"{name}: {error.message}" if error.message else _("{name} is missing").format(name=name)
    return str(error.message)
