"""The doctor's look at the cameras of a live line: each is opened as a run would open it, and let go."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from citrus_grade.cli.findings import Finding
from citrus_grade.words import _

if TYPE_CHECKING:
    from citrus_grade.config import LineConfig


def cameras(line: "LineConfig") -> Iterator[Finding]:
    """Is every camera there, as line.toml says it is? None is looked at where no PLC is named: then no device is."""
    from citrus_grade.ports import DeviceError, DeviceGone
    from citrus_grade.runtime.live.devices import CAMERAS, opener

    for index, section in enumerate(line.camera if line.is_live else ()):
        what = _("camera {index} ({name})").format(index=index, name=section.name)
        try:
            camera = opener(CAMERAS, section.device, f"camera.{index} ({section.name}).device")(line, index)
        except (DeviceError, DeviceGone) as error:
            yield from (Finding(what, "fail", problem) for problem in str(error).splitlines())
            continue
        yield Finding(what, "ok", camera.identity)
        camera.close()
