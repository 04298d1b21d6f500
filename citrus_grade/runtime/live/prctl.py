"""What Linux alone lets a process ask for: to be named, and to become the parent of its orphans (prctl(2))."""

import ctypes

PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36


def adopt_orphans(*, adopt: bool) -> bool:
    """Become the parent of whoever is left without one among this process's descendants, or no more; False where the system has
    no such thing."""
    return _prctl(PR_SET_CHILD_SUBREAPER, int(adopt))


def name_process(role: str) -> None:
    """Have ``top`` and ``ps`` show what this process is."""
    _prctl(PR_SET_NAME, f"citrus {role}".encode())


def _prctl(option: int, value: int | bytes) -> bool:
    try:
        prctl = ctypes.CDLL(None).prctl
    except AttributeError:
        return False
    return prctl(option, value, 0, 0, 0) == 0  # type: ignore[no-any-return]
