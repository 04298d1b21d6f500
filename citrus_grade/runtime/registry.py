"""The registry: the models a line has had, which one is live, and a log of who put it there, when and on what evidence.

``models/ID/`` beside ``line.toml`` holds the bundles, ``models/registry.jsonl`` the log (see `journal`). What line.toml's
``[files] model`` names is live, nothing else: a switch is logged, then done by one atomic rename, then logged as done. After a
crash line.toml says which of the two models is live, and `settle` writes down what became of the switch.
"""

import fcntl
import getpass
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from citrus_grade import __version__, artefacts, config
from citrus_grade.artefacts import ArtefactError
from citrus_grade.config import ConfigError, LineConfig
from citrus_grade.rundir import load_line, with_value
from citrus_grade.runtime import journal
from citrus_grade.runtime.writing import write_whole
from citrus_grade.spectra import bundle
from citrus_grade.words import Refused, _

Json = Any  # a JSON value; what an event holds is its kind's affair

FOLDER: Final = "models"
LOG: Final = "registry.jsonl"
DONE: Final = {"promote": "promoted", "rollback": "rolled_back"}
"""What is logged before a switch, and after it."""
GOOD: Final = ("better", "not_worse")
"""Verdicts of a comparison that carry a promotion."""


class RegistryError(Refused):
    """A step that the registry does not take; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Switch:
    """What a promotion or a rollback did: the model that was live and the one that is."""

    before: str
    model: str
    forced: bool = False


def log_of(line_toml: Path) -> Path:
    """Return where a line's log lies."""
    return line_toml.parent / FOLDER / LOG


def live_path(line_toml: Path, line: LineConfig | None = None) -> Path | None:
    """Return the folder of a line's live model, None where it has none."""
    model = (line or config.load(line_toml)).files.model
    return line_toml.parent / model if model else None


def id_of(path: Path | None) -> str:
    """Return the id of a bundle that is whole, "" of None."""
    return artefacts.load(path, bundle.KIND).id if path is not None else ""


def promote(
    line_toml: Path, candidate: Path, evidence: Mapping[str, Json] | None, *, because: str = "", force: bool = False
) -> Switch:
    """Make a candidate the live model.

    Parameters
    ----------
    evidence : what `comparing.compare_table` or `trial.compare_run` found of these two models, as plain data. Every target of
        the live model must be better or no worse, unless ``force`` is given with a reason.

    Raises
    ------
    RegistryError, ArtefactError, ConfigError : what stands against it and the remedy; the old model stays live.
    """
    with _locked(line_toml):
        live = live_path(line_toml)
        before, model_id = id_of(live), id_of(candidate)
        if model_id == before:
            raise RegistryError(_("{path}: model {id} is live already").format(path=candidate, id=model_id))
        stored = _stored(line_toml, model_id)
        _fits(line_toml, _text(line_toml, candidate, model_id), live)
        problems = objections(evidence, before, model_id, _targets(live))
        if force and not because.strip():
            raise RegistryError(_("--force needs a reason that is kept in the log: give --because TEXT"))
        if problems and not force:
            raise RegistryError("\n  ".join([_("{path}: not promoted").format(path=candidate), *problems, _remedy()]))
        for path in (live, candidate):
            _add(line_toml, path)
        told = {"evidence": dict(evidence) if evidence else None, "forced": bool(problems), "problems": problems}
        _switch(line_toml, "promote", before, model_id, _text(line_toml, stored, model_id), told | {"because": because})
        return Switch(before, model_id, bool(problems))


def rollback(line_toml: Path, because: str, to: str | None = None) -> Switch:
    """Make the model live again that was live before, or the model ``to`` of the registry.

    Raises
    ------
    RegistryError, ArtefactError, ConfigError : nothing to go back to, no reason given, or a model that no longer fits the line.
    """
    if not because.strip():
        raise RegistryError(_("a rollback needs a reason that is kept in the log: give --because TEXT"))
    with _locked(line_toml):
        live = live_path(line_toml)
        before = id_of(live)
        model_id = _goal(line_toml, before, to)
        stored = _stored(line_toml, model_id)
        if id_of(stored) != model_id:
            raise ArtefactError(_("{path}: holds another model than its name says").format(path=stored))
        text = _text(line_toml, stored, model_id)
        _fits(line_toml, text, None)
        _add(line_toml, live)
        _switch(line_toml, "rollback", before, model_id, text, {"because": because})
        return Switch(before, model_id)


def settle(line_toml: Path) -> str | None:
    """Write down what became of a switch that a crash cut short; return it in words, None if there was none."""
    log = log_of(line_toml)
    found = journal.read(log)
    last = found.events[-1] if found.events else {}
    if last.get("event") not in DONE or found.broken_at is not None:
        return None
    done = id_of(live_path(line_toml)) == last["model"]
    event = DONE[last["event"]] if done else "not_done"
    journal.append(log, _event(event, last["model"], last["before"], settled=True))
    text = (
        _("the switch from model {before} to {model} was cut short after it was made: {model} is live")
        if done
        else _("the switch from model {before} to {model} was cut short: {before} is live")
    )
    return text.format(before=last["before"] or "-", model=last["model"])


def whole(line_toml: Path) -> None:
    """Raise `RegistryError` if a line's log was changed by hand."""
    log = log_of(line_toml)
    broken_at = journal.read(log).broken_at
    if broken_at is not None:
        raise RegistryError(
            _(
                "{path}: line {line} was changed, taken out or put in by hand; take the log from a backup, or move it away to"
                " begin a new one"
            ).format(path=log, line=broken_at)
        )


def lineage(events: Sequence[Mapping[str, Json]]) -> list[str]:
    """Return the models that were live, in order, those left by a rollback taken out; the last is live."""
    live: list[str] = []
    for event in events:
        if event["event"] == "promoted":
            live = [*(live or [event["before"]]), event["model"]]
        elif event["event"] == "rolled_back":
            kept = live[: live.index(event["model"]) + 1] if event["model"] in live else [*live, event["model"]]
            live = kept
    return [one for one in live if one]


def objections(evidence: Mapping[str, Json] | None, before: str, model_id: str, targets: Sequence[str]) -> list[str]:
    """Return what stands against a promotion on this evidence."""
    if not before:
        return [_("the line has no live model to compare with")]
    if evidence is None:
        return [_("no evidence was given")]
    pair = (evidence.get("live"), evidence.get("candidate"))
    if pair != (before, model_id):
        said = _("the evidence speaks of models {live} and {candidate}, not of {before} and {model}")
        return [said.format(live=pair[0], candidate=pair[1], before=before, model=model_id)]
    found = evidence.get("comparisons", {})
    missing = [_("the evidence says nothing of {target}").format(target=name) for name in targets if name not in found]
    weak = _("{target}: the verdict is {verdict!r} on {n} fruit, lots: {lots}")
    return missing + [
        weak.format(target=name, verdict=one["verdict"], n=one["n"], lots=one["n_lots"] or "-")
        for name, one in found.items()
        if one["verdict"] not in GOOD
    ]


def _remedy() -> str:
    return _("compare the two on more fruit that neither was made from (models compare), or give --force --because TEXT")


def _goal(line_toml: Path, before: str, to: str | None) -> str:
    if to is not None:
        if to == before:
            raise RegistryError(_("model {id} is live already").format(id=to))
        return to
    known = lineage(journal.read(log_of(line_toml)).events)
    earlier = known[:-1] if known and known[-1] == before else known
    if not earlier:
        raise RegistryError(_("{path}: no model was live before this one; name one with --to ID").format(path=line_toml))
    return earlier[-1]


def _stored(line_toml: Path, model_id: str) -> Path:
    return line_toml.parent / FOLDER / model_id


def _text(line_toml: Path, model: Path, model_id: str) -> str:
    """Return line.toml with another live model; a model on trial that becomes live is no longer on trial."""
    line = config.load(line_toml)
    named = Path(os.path.relpath(model.resolve(), line_toml.parent.resolve())).as_posix()
    text = with_value("\n" + line_toml.read_text(encoding="utf-8"), "files", "model", named)
    if line.files.shadow and id_of(line_toml.parent / line.files.shadow) == model_id:
        text = with_value(text, "files", "shadow", None)
    if config.parse(text, str(line_toml)).files.model != named:
        raise RegistryError(
            _("{path}: its [files] cannot be changed by a program; write it as lines of `key = value`").format(path=line_toml)
        )
    return text.removeprefix("\n")


def _fits(line_toml: Path, text: str, live: Path | None) -> None:
    """Refuse a model the line cannot run with, or that says less than the live one."""
    new = load_line(line_toml, text=text)
    lacking = [name for name in _targets(live) if name not in new.targets]
    if lacking:
        raise ArtefactError(
            _("{path}: does not predict {names}, as the live model does; train it with --target for each").format(
                path=new.model_path, names=", ".join(lacking)
            )
        )


def _targets(path: Path | None) -> tuple[str, ...]:
    return bundle.from_artefact(artefacts.load(path, bundle.KIND)).names if path is not None else ()


def _add(line_toml: Path, path: Path | None) -> None:
    """Copy a bundle whole into the registry, unless it is there."""
    if path is None:
        return
    stored = artefacts.load(path, bundle.KIND)
    to = _stored(line_toml, stored.id)
    if not to.exists():
        artefacts.save(to, bundle.KIND, stored.card, stored.arrays)
        shutil.copystat(path / artefacts.CARD, to / artefacts.CARD)  # when it was made
        journal.append(log_of(line_toml), _event("added", stored.id, "", taken_from=str(path)))


def _switch(line_toml: Path, event: str, before: str, model_id: str, text: str, told: Mapping[str, Json]) -> None:
    log = log_of(line_toml)
    journal.append(log, _event(event, model_id, before, **told))
    write_whole(line_toml, text.encode("utf-8"))
    journal.append(log, _event(DONE[event], model_id, before))


def _event(event: str, model_id: str, before: str, **more: Json) -> journal.Event:
    return {
        "event": event,
        "model": model_id,
        "before": before,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": _who(),
        "software": __version__,
        **more,
    }


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that no account has
        return str(os.getuid())


@contextmanager
def _locked(line_toml: Path) -> Iterator[None]:
    """Keep others out while a switch is made; begin from a log that is whole and settled."""
    folder = log_of(line_toml).parent
    if not line_toml.is_file():
        raise ConfigError(str(line_toml), [_("there is no such file; give a line's line.toml")])
    if (line_toml.parent / "run.json").exists():
        raise RegistryError(_("{path}: is of a run, which stays as it was; give the line's own line.toml").format(path=line_toml))
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole(line_toml)
        settle(line_toml)
        yield
