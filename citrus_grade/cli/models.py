"""``citrus-grade models``: which models there are, which is better, which is live, and how one takes another's place."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_grade.cli import errors, modelled, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.help import Verb
from citrus_grade.cli.options import Json, Line
from citrus_grade.cli.source import Bundle, Group, Id, KindOption, Matrix
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.runtime.comparing import Evidence

HELP = N_("Which models a line has had, which is live, whether a new one is better, and how it takes the old one's place.")
EXAMPLES = (
    "citrus-grade models list line.toml\n"
    "citrus-grade models compare model new-model october.csv --target brix --group lot\n"
    "citrus-grade models promote line.toml new-model --table october.csv --target brix --group lot\n"
    'citrus-grade models rollback line.toml --because "lane 3 reads high"'
)

app = typer.Typer()

Target = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="COL", help=N_("Column of reference values; twice for two of them.")),
]
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help=N_("Reason, kept in the log."))]


@app.command(
    "list",
    cls=Verb,
    help=N_("List the models of a line or of a folder, with their errors on fruit left out and which is live or on trial."),
    epilog=EXAMPLES.splitlines()[0],
)
def listing(
    place: Annotated[
        Path, typer.Argument(metavar="DIR|LINE.toml", help=N_("Folder of models, or a line and its registry."))
    ] = Path(),
    as_json: Json = False,
) -> int:
    """List models."""
    from citrus_grade.runtime.shelf import models_in, models_of

    if not place.exists():
        raise BadInput(_("{path}: there is no such file or folder").format(path=place))
    line = place if place.is_file() else place / "line.toml"
    found = models_of(line) if line.is_file() else models_in(place)
    log = modelled.log_state(line) if line.is_file() else None
    told = {"place": str(place), "models": [asdict(one) for one in found], "log": log}
    out.as_json(told) if as_json else modelled.show_list(told)
    return errors.FINDINGS if any(one.problem for one in found) or (log and log["findings"]) else errors.DONE


@app.command(
    "show",
    cls=Verb,
    help=N_("Say in words what a model is: what it predicts, from what it was made, how far off it is and where it ends."),
    epilog="citrus-grade models show model",
)
def show(bundle: Bundle, as_json: Json = False) -> int:
    """Tell of one model."""
    from citrus_grade.models.verdict import verdicts
    from citrus_grade.runtime.shelf import card_of

    model, card = card_of(bundle)
    judged = all("sd_within" in one for one in model.training.get("targets", {}).values()) and "groups" in model.training
    card["verdicts"] = [verdict.text() for verdict in verdicts(model.training)] if judged else []
    out.as_json(card) if as_json else modelled.show_card(card)
    return errors.DONE


@app.command(
    "compare",
    cls=Verb,
    help=N_(
        "Compare two models on labelled fruit that neither was made from, or on a run in which one was on trial.\n\n"
        "Fruit of a lot a model knows, and fruit whose very spectrum it was made from, are left out. The verdict is better, not"
        " worse (at most 20 % more error), worse, or cannot be told. Exit code 1 unless it is better or not worse."
    ),
    epilog="citrus-grade models compare model new-model october.csv --target brix --group lot\n"
    "citrus-grade models compare --run runs/monday --references lab.csv",
)
def compare(
    live: Annotated[Path | None, typer.Argument(metavar="LIVE", help=N_("Folder of the live model."))] = None,
    candidate: Annotated[Path | None, typer.Argument(metavar="CANDIDATE", help=N_("Folder of the new model."))] = None,
    table: Annotated[
        Path | None,
        typer.Argument(metavar="TABLE", help=N_("Table of spectra: CSV, Parquet, NPZ, JCAMP-DX, or a folder.")),
    ] = None,
    target: Target = None,
    group: Group = None,
    run: Annotated[Path | None, typer.Option("--run", metavar="RUN", help=N_("Run in which a model was on trial."))] = None,
    references: Annotated[
        Path | None,
        typer.Option("--references", metavar="FILE", help=N_("Reference values in a table of their own, by run, lane and cup.")),
    ] = None,
    kind: KindOption = None,
    matrix: Matrix = None,
    id_column: Id = None,
    as_json: Json = False,
) -> int:
    """Compare two models."""
    from citrus_grade.runtime.comparing import compare_table
    from citrus_grade.runtime.spectral import Source
    from citrus_grade.runtime.trial import compare_run

    if run is not None:
        if live is not None:
            raise BadInput(_("give either --run RUN, or LIVE CANDIDATE TABLE --target COL"))
        trial = compare_run(run, references, target or (), group)
        out.as_json(trial.to_dict()) if as_json else modelled.show_trial(trial)
        return _code(trial.comparisons)
    if live is None or candidate is None or table is None or not target:
        raise BadInput(_("give either --run RUN, or LIVE CANDIDATE TABLE --target COL"))
    source = Source(table, matrix, references, group, id_column, kind)  # type: ignore[arg-type]  # parsed by choice
    evidence = compare_table(live, candidate, source, target)
    out.as_json(evidence.to_dict()) if as_json else modelled.show_evidence(evidence)
    return _code(evidence.comparisons)


@app.command(
    "promote",
    cls=Verb,
    help=N_(
        "Make a model the live one, on the evidence of fruit that neither it nor the old one was made from.\n\n"
        "The bundle is copied into models/ beside line.toml, the step is logged with its evidence, and line.toml is switched in"
        " one step: after a crash the old model is live, or the new one. Exit code 2 if the evidence does not suffice."
    ),
    epilog=EXAMPLES.splitlines()[2]
    + '\ncitrus-grade models promote line.toml new-model --force --because "the lamp of all lanes was changed"',
)
def promote(
    line: Line,
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help=N_("Folder of the new model, or its id in models/."))],
    table: Annotated[
        Path | None, typer.Option("--table", metavar="TABLE", help=N_("Labelled fruit that neither model was made from."))
    ] = None,
    target: Target = None,
    group: Group = None,
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", metavar="FILE.json", help=N_("What `models compare --json` wrote, in place of --table.")),
    ] = None,
    kind: KindOption = None,
    matrix: Matrix = None,
    id_column: Id = None,
    force: Annotated[bool, typer.Option("--force", help=N_("Promote without sufficient evidence; --because is needed."))] = False,
    because: Because = "",
    as_json: Json = False,
) -> int:
    """Make a model live."""
    from citrus_grade.runtime import registry

    if table is not None and evidence is not None:
        raise BadInput(_("--table and --evidence: give one of them"))
    own = _in_registry(line, candidate)
    told = _evidence(evidence) if evidence is not None else None
    if table is not None:
        told = _measured(line, own, table, target, group, kind, matrix, id_column, as_json).to_dict()
    done = registry.promote(line, own, told, because=because, force=force)
    if as_json:
        out.as_json({"before": done.before, "model_id": done.model, "forced": done.forced, "evidence": told})
        return errors.DONE
    out.text(_("model {model} is live; before it was {before}").format(model=done.model, before=done.before or "-"), "bold green")
    if done.forced:
        out.text(_("without sufficient evidence: {because}").format(because=because), "yellow")
    return errors.DONE


@app.command(
    "rollback",
    cls=Verb,
    help=N_("Make the model live again that was live before, and log why."),
    epilog=EXAMPLES.splitlines()[3],
)
def rollback(
    line: Line,
    because: Because = "",
    to: Annotated[str | None, typer.Option("--to", metavar="ID", help=N_("Another model of the registry."))] = None,
    as_json: Json = False,
) -> int:
    """Go back to an earlier model."""
    from citrus_grade.runtime import registry

    done = registry.rollback(line, because, to)
    if as_json:
        out.as_json({"before": done.before, "model_id": done.model})
        return errors.DONE
    out.text(_("model {model} is live again; before it was {before}").format(model=done.model, before=done.before or "-"))
    return errors.DONE


def _code(comparisons: Any) -> int:
    return errors.DONE if all(one.enough for one in comparisons) else errors.FINDINGS


def _in_registry(line: Path, candidate: Path) -> Path:
    """Return a candidate's folder; a bare id is looked for in the line's registry."""
    from citrus_grade.runtime import registry

    stored = line.parent / registry.FOLDER / candidate.name
    return stored if not candidate.exists() and len(candidate.parts) == 1 and stored.is_dir() else candidate


def _evidence(path: Path) -> dict[str, Any]:
    """Read what ``models compare --json`` wrote."""
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = [(one["verdict"], one["n"], one["n_lots"]) for one in told["comparisons"].values()]
    except (ValueError, TypeError, KeyError, AttributeError):
        found = []
    if not found:
        raise BadInput(_("{path}: holds no comparison; write it with `models compare --json`").format(path=path))
    return told


def _measured(
    line: Path,
    candidate: Path,
    table: Path,
    target: list[str] | None,
    group: str | None,
    kind: str | None,
    matrix: str | None,
    id_column: str | None,
    as_json: bool,
) -> "Evidence":
    """Compare a candidate with the live model on a table, and show it."""
    from citrus_grade.runtime import registry
    from citrus_grade.runtime.comparing import compare_table
    from citrus_grade.runtime.spectral import Source

    live = registry.live_path(line)
    if live is None:
        raise BadInput(_("{path}: names no model to compare with; give --force --because TEXT to begin").format(path=line))
    if not target:
        raise BadInput(_("--table needs --target COL, once for each target of the live model"))
    source = Source(table, matrix, None, group, id_column, kind)  # type: ignore[arg-type]  # parsed by choice
    evidence = compare_table(live, candidate, source, target)
    if not as_json:
        modelled.show_evidence(evidence)
    return evidence
