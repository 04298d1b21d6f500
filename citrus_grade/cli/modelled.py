"""What ``citrus-grade models`` shows."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from citrus_grade.cli import out
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.models.compare import Comparison, Errors
    from citrus_grade.runtime.comparing import Evidence
    from citrus_grade.runtime.trial import Trial

MARKS = {"live": N_("live"), "shadow": N_("on trial"), "": ""}
TEMPERATURE = {
    "none": N_("left alone, for nothing was better beyond chance"),
    "projection": N_("taken out of the spectra, no thermometer is needed"),
    "covariate": N_("allowed for by the degree, where a table has the column"),
}
STYLES = {"better": "bold green", "not_worse": "green", "worse": "bold red", "cannot_be_told": "yellow"}


def log_state(line_toml: Path) -> dict[str, Any]:
    """Return what a line's log says: how many events, the last, and what is wrong with it."""
    from citrus_grade import artefacts
    from citrus_grade.runtime import journal, registry
    from citrus_grade.spectra import bundle

    found = journal.read(registry.log_of(line_toml))
    live, findings = registry.live_path(line_toml), []
    live_id = artefacts.load(live, bundle.KIND).id if live is not None else ""
    known = registry.lineage(found.events)
    if found.broken_at is not None:
        findings.append(_("the log was changed by hand at line {line}").format(line=found.broken_at))
    elif found.events and found.events[-1]["event"] in registry.DONE:
        findings.append(_("a switch was cut short; the next run, promotion or rollback settles it"))
    elif known and known[-1] != live_id:
        text = _("line.toml names model {live}, the log says {logged}: it was changed by hand")
        findings.append(text.format(live=live_id or "-", logged=known[-1]))
    return {"events": len(found.events), "last": found.events[-1] if found.events else None, "findings": findings}


def show_list(told: dict[str, Any]) -> None:
    """Print models as a table."""
    found = told["models"]
    if not found:
        out.text(_("{path}: no models here").format(path=told["place"]))
    else:
        columns = ["id", "", _("target"), _("fruit"), _("lots"), "RMSE", _("made")]
        title = _("Models; RMSE is of fruit of lots left out")
        out.table(title, columns, (row for one in found for row in _rows(one)), left=3)
    if any(one["simulated"] for one in found):
        out.text(_("SIMULATED: made from simulated fruit: {ids}").format(ids=", ".join(o["id"] for o in found if o["simulated"])))
    for one in found:
        if one["since"]:
            text = _("{id} is live since {day}") if one["mark"] == "live" else _("{id} was last made live on {day}")
            out.text(text.format(id=one["id"], day=one["since"].partition("T")[0]))
        if one["problem"]:
            out.text(one["problem"], "red")
    for finding in (told["log"] or {}).get("findings", []):
        out.text(finding, "bold red")


def _rows(one: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row for each target; what is said of the model stands on the first."""
    mark = MARKS[one["mark"]]
    n, lots = (f"{value:,}" if value is not None else "-" for value in (one["n"], one["lots"]))
    head, tail = [one["id"], _(mark) if mark else ""], [n, lots]
    for name, value in (one["rmsecv"] or {"-": float("nan")}).items():
        yield [*head, name, *tail, f"{value:.3g}", one["made"].partition("T")[0] if head[0] else ""]
        head, tail = ["", ""], ["", ""]


def show_card(card: dict[str, Any]) -> None:
    """Print a model's card in words."""
    story = dict(card["story"])
    if story.pop("SIMULATED", False):
        out.text(_("SIMULATED: made from simulated fruit"), "bold red")
    first, last, n = card["wavelength_nm"]
    text = _("model {id}: {first:g}-{last:g} nm in {n} steps")
    out.text(text.format(id=card["model_id"], first=first, last=last, n=n), "bold")
    for name, one in card["targets"].items():
        _show_target(name, one)
    if "temperature" in story:
        show_temperature(story.pop("temperature"))
    lots = card["lots"]
    if lots:
        out.text(_("lots: {lots}").format(lots=", ".join(f"{name} ({size})" for name, size in lots.items())))
    limits = _("a fruit is out of domain beyond T2 {t2:.4g} or Q {q:.4g}")
    out.text(limits.format(t2=card["t2_limit"], q=card["q_limit"]))
    for lane, rows in card["corrections"].items():
        other = _("every other lane") if len(card["lanes"]) else _("every lane")
        where = _("lane {lane}").format(lane=lane) if lane else other
        for name, (intercept, slope) in rows.items():
            text = _("corrected on {where}: {name} = {intercept:+.3g} {slope:+.4g} x value")
            out.text(text.format(where=where, name=name, intercept=intercept, slope=slope))
    out.table(_("Where it comes from"), (_("what"), _("is")), ([name, _plain(value)] for name, value in story.items()), left=2)
    for verdict in card["verdicts"]:
        out.text(verdict, "yellow")


def show_temperature(told: dict[str, Any]) -> None:
    """Print what was tried against the fruit's temperature, and how far it still moves the error."""
    low, high = told["range_c"]
    text = _("temperature ({column}, {low:.3g} to {high:.3g} °C; {n} fruit measured cold and warm): {chosen}")
    chosen = _(TEMPERATURE[told["chosen"]])
    out.text(text.format(column=told["column"], low=low, high=high, n=told["fruit_cold_and_warm"], chosen=chosen))
    first = next(iter(told["targets"].values()))
    ways = [way for way in TEMPERATURE if way in first["rmse"]]
    rows = []
    for name, one in told["targets"].items():
        kinds = ((_("{name}: RMSE of fruit left out"), "rmse"), (_("{name}: how far a fruit moves from cold to warm"), "wobble"))
        rows += [[text.format(name=name), *(f"{one[kind][way]:.3g}" for way in ways)] for text, kind in kinds if kind in one]
    out.table(_("What was tried against temperature"), ["", *(_(way) for way in ways)], rows)
    for name, one in told["targets"].items():
        before, after = one["bias_per_15c"]
        text = _("{name}: reference minus predicted moves by {before:+.2g} over 15 degrees, {after:+.2g} with what was chosen")
        out.text(text.format(name=name, before=before, after=after))
    if told["chosen"] == "covariate":
        out.text(_("a line has no such column: there, and in tables without it, the model says what it says without"), "yellow")


def _show_target(name: str, one: dict[str, Any]) -> None:
    text = _("{name}: RMSE of fruit left out {rmse:.3g} {unit}")
    parts = [text.format(name=name, rmse=one["rmse_left_out"], unit=one["unit"]).rstrip()]
    if "family" in one:
        parts.append(_("{family}, {components} components on {recipe}").format(**one))
    if "range" in one:
        parts.append(_("references {low:g} to {high:g}").format(low=one["range"][0], high=one["range"][1]))
    if one.get("reference_error") is not None:
        parts.append(_("error of the laboratory {error:g}").format(error=one["reference_error"]))
    out.text("; ".join(parts))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "-"
    return "-" if value is None else str(value)


def show_evidence(evidence: "Evidence") -> None:
    """Print a comparison on a table."""
    if evidence.simulated:
        out.text(_("SIMULATED: a model was made from simulated fruit"), "bold red")
    _show_comparisons(evidence.comparisons, evidence.notes)


def show_trial(trial: "Trial") -> None:
    """Print what a model on trial said in a run."""
    if trial.simulated:
        out.text("SIMULATED", "bold red")
    rows = (
        [one.target, _("all") if one.lane is None else one.lane, one.n, f"{one.mean:+.3f}", f"{one.sd:.3f}", f"{one.q05:+.3f}",
         f"{one.q95:+.3f}"]
        for one in trial.differences
    )  # fmt: skip
    title = _("Model on trial {candidate} less live model {live}").format(candidate=trial.candidate, live=trial.live)
    out.table(title, (_("target"), _("lane"), _("fruit"), _("mean"), _("SD"), "5 %", "95 %"), rows)
    _show_comparisons(trial.comparisons, trial.notes)


def _show_comparisons(comparisons: "Iterable[Comparison]", notes: Iterable[str]) -> None:
    columns = ("", _("RMSEP"), _("bias"), _("SEP"), _("in the interval of 90 %"), _("out of domain"))
    for one in comparisons:
        title = _("{target} on {n} fruit that neither model was made from").format(target=one.target, n=one.n)
        out.table(title, columns, ((_("live"), *_errors(one.live)), (_("candidate"), *_errors(one.candidate))))
        out.text(one.text(), STYLES[one.verdict])
    for note in notes:
        out.text(note, "yellow")


def _errors(one: "Errors") -> tuple[str, ...]:
    shares = ("-" if share is None else f"{share:.0%}" for share in (one.covered90, one.out_of_domain))
    return (f"{one.rmsep:.3g}", f"{one.bias:+.3g}", f"{one.sep:.3g}", *shares)
