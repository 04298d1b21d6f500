"""``citrus-grade label``: print the label of a box that was packed at a live line."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json, positive, whole
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.drivers.label_printer import BoxLabel
    from citrus_grade.runtime.live.boxes import Box

HELP = N_(
    "Print the label of a box: outlet, lot, count, net weight, date, line and a QR code of run and box.\n\n"
    "Counts what was sent to the outlet since its last label and takes the weight that lies on the scale. "
    "Prints on the [printer] of line.toml, or writes the label's ZPL to a file."
)
EXAMPLES = "citrus-grade label runs/monday --outlet L\ncitrus-grade label runs/monday --outlet L --kg 10.2 --to label.zpl"


def verb(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=N_("Run folder."))],
    outlet: Annotated[str, typer.Option("--outlet", help=N_("Name of the outlet the box stands at."))],
    count: Annotated[int | None, typer.Option("--count", parser=whole(1), metavar="N", help=N_("Fruit in it."))] = None,
    kg: Annotated[float | None, typer.Option("--kg", parser=positive, metavar="KG", help=N_("Net weight."))] = None,
    to: Annotated[Path | None, typer.Option("--to", help=N_("Write the label to this file; print nothing."))] = None,
    as_json: Json = False,
) -> int:
    """Label a box."""
    from citrus_grade.config import load
    from citrus_grade.drivers import label_printer
    from citrus_grade.runtime.live import boxes
    from citrus_grade.runtime.live.devices import PRINTERS, opener

    config = load(run / "line.toml")
    box = boxes.box(run, config.outlet_names, outlet, count=count, kg=kg)
    label = label_of(box, config.line.name, run.resolve().name)
    if to is not None:
        section = {"url": ""} | config.printer
        data = label_printer.zpl(label, label_printer.options_of(section))
        with to.open("xb") as file:
            file.write(data)
    elif config.printer:
        printer = opener(PRINTERS, config.printer, "printer")(config.printer)
        try:
            printer.print(label)
        finally:
            printer.close()
    else:
        raise BadInput(_("line.toml of this run has no [printer]; give --to, or name a printer there"))
    boxes.keep(run, box)
    out.as_json(box.to_dict()) if as_json else out.text("\n".join(label.lines))
    return errors.DONE


def label_of(box: "Box", line: str, run: str) -> "BoxLabel":
    """Return what stands on the label of a box, in the language set."""
    from citrus_grade.drivers.label_printer import BoxLabel

    at = datetime.fromtimestamp(box.at_utc_s, UTC).astimezone()
    lines = (
        box.outlet,
        _("net {kg:.2f} kg").format(kg=box.mass_g / 1000),
        _("{count} fruit").format(count=box.count),
        _("lot {lot}").format(lot=box.lot),
        f"{line} {at:%Y-%m-%d %H:%M}",
        _("box {number}").format(number=box.number),
    )
    return BoxLabel(lines, f"{run}/{box.number}")
