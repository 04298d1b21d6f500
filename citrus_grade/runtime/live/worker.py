"""``python -m citrus_grade.runtime.live.worker SPEC``: one process of a live line."""

import signal
import sys

from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live.work import CORE, PLC, RECORDER, SPECTRA, UNUSABLE, Spec, Work


def main(text: str) -> int:
    """Do the work that a `Spec` names; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor
    work = Work(Spec.of_json(text))
    try:
        _run(work)
    except DeviceError as error:
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
    else:
        from citrus_grade.runtime.live import sense

        if role == PLC:
            sense.watch_plc(work)
        elif role == SPECTRA:
            sense.watch_spectrometers(work)
        else:
            sense.watch_camera(work, int(role.removeprefix("camera")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
