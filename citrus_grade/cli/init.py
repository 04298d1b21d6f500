"""``citrus-grade init``: a commented line.toml and plan.toml to start from."""

from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json
from citrus_grade.templates import LINE, PLAN
from citrus_grade.words import N_, _

HELP = N_("Write a commented line.toml and plan.toml of a six-lane line into DIR.\n\nNothing is overwritten.")
EXAMPLES = "citrus-grade init my-line\ncitrus-grade doctor my-line/line.toml"


def verb(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=N_("Folder to write into; made where it is missing."))],
    as_json: Json = False,
) -> int:
    """Write the template files."""
    targets = [folder / template.name for template in (LINE, PLAN)]
    taken = [str(target) for target in targets if target.exists()]
    if taken:
        raise BadInput(_("{path}: exists already; nothing is overwritten, name another folder").format(path=", ".join(taken)))
    folder.mkdir(parents=True, exist_ok=True)
    for template, target in zip((LINE, PLAN), targets, strict=True):
        with target.open("x", encoding="utf-8") as file:
            file.write(template.read_text(encoding="utf-8"))
    if as_json:
        out.as_json({"written": [str(target) for target in targets]})
    else:
        for target in targets:
            out.text(_("written: {path}").format(path=target))
        out.text(_("next: citrus-grade doctor {path}").format(path=targets[0]))
    return errors.DONE
