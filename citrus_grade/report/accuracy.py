"""The accuracy card as a page: one sheet that needs nothing else, to read in a browser or print on A4."""

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from citrus_grade import __version__
from citrus_grade.models.evaluate import Part
from citrus_grade.report import sheet, style
from citrus_grade.report.accuracy_charts import accuracy_picture
from citrus_grade.report.accuracy_words import PARTS, figures, part_rows
from citrus_grade.report.labels import label
from citrus_grade.report.sheet import SIMULATED, escaped
from citrus_grade.runtime.evaluating import Evaluated
from citrus_grade.runtime.writing import write_whole
from citrus_grade.words import _


def write(found: Evaluated, page: Path, *, by: str = "", when: datetime) -> list[Path]:
    """Write the page and, beside it, its picture as PNG; return both paths.

    Parameters
    ----------
    by : who measured, "" where nobody says. when : time of the evaluation.
    """
    picture = page.with_suffix(".png")
    svg = style.save_as_svg_too(lambda: accuracy_picture(found), picture)
    text = sheet.filled(
        "accuracy.html",
        _("Accuracy of {name}").format(name=label(found.model.names[found.j])),
        stamp=f'<div class="stamp">{SIMULATED}</div>' if found.simulated else "",
        facts=_facts(found, by, when),
        figures=sheet.table((_("what"), _("value"), _("limit or interval")), list(figures(found)), left=1),
        findings="".join(_findings(found)),
        picture=f'<img src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" alt="{escaped(_caption())}">',
        caption=escaped(_caption()),
        parts=_parts(_("Lanes"), found.card.lanes) + _parts(_("Lots"), found.card.lots),
        foot=escaped(_foot()),
    )
    write_whole(page, text.encode("utf-8"))
    return [page, picture]


def _facts(found: Evaluated, by: str, when: datetime) -> str:
    story, batch = found.model.training, found.batch
    own = story.get("targets", {}).get(found.model.names[found.j], {})
    versions = story.get("versions", {})
    n_lots = len(story.get("groups") or {})
    made = _("{family}, {recipe}; {n} fruit of {lots} lots").format(
        family=own.get("family", "?"), recipe=own.get("recipe", "?"), n=found.card.basis.n, lots=n_lots
    )
    rows = [
        (_("model"), f"{found.model_id}: {made}"),
        (_("table"), f"{batch.path.name} ({found.table_hash}), {batch.target}"),
        (_("signal"), _(batch.kind.kind)),
        (_("evaluated"), f"{when:%Y-%m-%d %H:%M %z}" + (f", {by}" if by else "")),
        (_("software"), f"citrus-grade {__version__}; " + _("model made with {version}").format(
            version=versions.get("citrus-grade", "?"))),
    ]  # fmt: skip
    return sheet.facts(rows)


def _findings(found: Evaluated) -> Iterable[str]:
    if not found.findings:
        nothing = _("nothing found: bias, slope, SEP and intervals are within their limits")
        yield f"<li class=good>{escaped(nothing)}</li>"
    for one in found.findings:
        yield f"<li class={'grave' if one.grave else 'bad'}>{escaped(one.text)}</li>"
    for text in (*found.verdicts, *found.batch.notes):
        yield f"<li>{escaped(text)}</li>"


def _parts(title: str, parts: Mapping[str, Part]) -> str:
    if not parts:
        return ""
    heads = [_(head) for head in PARTS]
    return sheet.section(title, sheet.table(heads, part_rows(parts), left=1))


def _caption() -> str:
    return _("Residual: reference minus predicted. s: error of fruit left out in training. Red: beyond what chance explains.")


def _foot() -> str:
    return _(
        "Form of ISO 12099: limits and intervals at 95 %; * beyond its limit (of twenty lots one is by chance);"
        " slope of reference over predicted. Written by citrus-grade {version}."
    ).format(version=__version__)
