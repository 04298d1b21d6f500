"""``python -m citrus_grade.runtime.live.worker SPEC``: one process of a live line."""

import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from citrus_grade.config import ConfigError
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live.prctl import name_process
from citrus_grade.runtime.live.work import CORE, FORK_SERVER, METRICS, PLC, RECORDER, SCALE, SPECTRA, STACKS, UNUSABLE, Spec, Work


def main(text: str) -> int:
    """Do the work that a `Spec` names; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the supervisor, who stops the line in good order, step by step
    spec: Spec | None = Spec.of_json(text)
    if spec and spec.role == FORK_SERVER:
        from citrus_grade.runtime.live.forks import serve  # it loads everything; others load what is their own

        name_process(spec.role)
        spec = serve(spec)
    if spec is None:
        return 0
    name_process(spec.role)
    work = Work(spec)
    with _stacks(work.run_dir / STACKS) as stacks:
        faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
        return _worked(work)


@contextmanager
def _stacks(path: Path) -> Iterator[TextIO]:
    """Open the file that tells where a process stands; on a disk that takes nothing it is told at the terminal."""
    try:
        file = path.open("a", encoding="utf-8")
    except OSError:
        yield sys.stderr
        return
    with file:
        yield file


def _worked(work: Work) -> int:
    try:
        _run(work)
    except (DeviceError, ConfigError) as error:
        work.tell(str(error))
        return UNUSABLE
    return 0


def _run(work: Work) -> None:
    role = work.spec.role
    if role == CORE:
        from citrus_grade.runtime.live import core

        core.run(work)
    elif role == RECORDER:
        from citrus_grade.runtime.live import record

        record.run(work)
    elif role == PLC:
        from citrus_grade.runtime.live import plc

        plc.watch_plc(work)
    elif role == METRICS:
        from citrus_grade.runtime.live import metrics

        metrics.serve(work)
    elif role == SCALE:
        from citrus_grade.runtime.live import weigh

        weigh.watch_scale(work)
    else:
        from citrus_grade.runtime.live import sense

        if role == SPECTRA:
            sense.watch_spectrometers(work)
        else:
            sense.watch_camera(work, int(role.removeprefix("camera")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
