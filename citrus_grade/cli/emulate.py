"""``citrus-grade emulate``: the devices of a line on this machine, each speaking its real protocol."""

import contextlib
import time
from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json, Line, MaybeSeconds, Seed
from citrus_grade.cli.progress import bar
from citrus_grade.words import N_, _

HELP = N_(
    "Serve the devices of a simulated line on this machine over their real protocols, until Ctrl-C.\n\n"
    "Writes DIR/emulated.toml, which names them: `citrus-grade run DIR/emulated.toml` drives it exactly as it would drive "
    "hardware, and compares with the truth at the end. Put a real device's address into that file, one at a time, to try it."
)
EXAMPLES = (
    "citrus-grade emulate my-line/line.toml rehearsal\n"
    "citrus-grade run rehearsal/emulated.toml --seconds 60\n"
    "citrus-grade emulate my-line/line.toml rehearsal --devices plc --speed 6"
)


def verb(
    line: Line,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=N_("Where the rendered loop and emulated.toml go."))],
    devices: Annotated[
        str,
        typer.Option("--devices", metavar="NAMES", help=N_("Which are emulated; the others play inside the line's processes.")),
    ] = "plc,cameras,spectrometers",
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="CUPS/S", help=N_("Speed of the belt, if not the line's."))
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            "--faults",
            metavar="FILE",
            help=N_("A plan of faults that the devices obey (drivers/sim/fault_plan.py); it may be written while the line runs."),
        ),
    ] = None,
    seconds: MaybeSeconds = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> int:
    """Serve until told to stop."""
    from citrus_grade.runtime.live.emulated import KINDS, Emulation

    wanted = tuple(name.strip() for name in devices.split(","))
    if unknown := [name for name in wanted if name not in KINDS]:
        raise BadInput(
            _("--devices: {unknown} can't be emulated; there are {known}").format(unknown=unknown[0], known=", ".join(KINDS))
        )
    folder.mkdir(parents=True, exist_ok=True)
    emulation = Emulation(line, folder, cups_per_s=speed, devices=wanted, faults=faults)
    with bar(_("rendering fruit")) as progress:
        emulation.render(seed, progress)
    with emulation:
        path = emulation.start()
        told = {"line": str(path), "devices": emulation.served, "simulated": True}
        if as_json:
            out.as_json(told)
        else:
            for name, url in emulation.served.items():
                out.text(f"{name:14} {url}")
            out.text(_("SIMULATED fruit; drive it with: citrus-grade run {path}").format(path=path))
        _wait(seconds)
    return errors.DONE


def _wait(seconds: float | None) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(seconds if seconds is not None else 10.0**8)
