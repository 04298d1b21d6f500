"""The registry: what is live, how a model takes another's place, on what evidence, and what a crash leaves behind."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citrus_grade import artefacts
from citrus_grade.artefacts import ArtefactError
from citrus_grade.cli import errors, main
from citrus_grade.config import load
from citrus_grade.models import fingerprints
from citrus_grade.models.compare import BETTER, NOT_WORSE, UNKNOWN, WORSE, Said, compare, error_ratio
from citrus_grade.models.recipes import Recipe, preprocessing
from citrus_grade.models.search import Samples
from citrus_grade.models.train import train
from citrus_grade.rundir import with_value
from citrus_grade.runtime import journal, registry
from citrus_grade.runtime.comparing import compare_table
from citrus_grade.runtime.registry import RegistryError
from citrus_grade.runtime.spectral import Source, load_bundle
from citrus_grade.runtime.upkeep import keep_up
from citrus_grade.runtime.writing import write_table
from citrus_grade.spectra import bundle
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra_table import SpectraTableError
from citrus_grade.templates import LINE, PLAN
from citrus_grade.words import set_language

NM = np.linspace(720.0, 940.0, 45)
GOOD = {"verdict": "better", "n": 60, "n_lots": 6}


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    set_language("en")
    yield
    set_language("en")


def fruit(lots: int, each: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return absorbance (n, p), sugar (n,) and lots (n,) of fruit whose sugar shows at 900 nm."""
    rng = np.random.default_rng(seed)
    n = lots * each
    brix = 11.0 + rng.normal(0.0, 1.0, n)
    shape, water = np.exp(-0.5 * ((NM - 900.0) / 20.0) ** 2), np.exp(-0.5 * ((NM - 840.0) / 30.0) ** 2)
    path = 1.0 + 0.1 * rng.standard_normal((n, 1))
    clean = path * (1.0 + water + 0.03 * brix[:, None] * shape)
    groups = np.array([f"lot {seed}.{k}" for k in range(lots)]).repeat(each)
    return clean + 1e-3 * rng.standard_normal((n, len(NM))), brix, groups


def table(path: Path, lots: int, each: int, seed: int, name: str = "ssc_brix") -> Path:
    absorbance, brix, groups = fruit(lots, each, seed)
    spectra = {f"{nm:g}": absorbance[:, k] for k, nm in enumerate(NM)}
    write_table({"id": [f"{seed}-{k}" for k in range(len(brix))], "lot": groups, name: brix, **spectra}, path)
    return path


@pytest.fixture(scope="module")
def model() -> SpectralModel:
    absorbance, brix, groups = fruit(6, 20, seed=1)
    return train(Samples(NM, absorbance, brix[:, None], groups), ("ssc_brix",), families=("pls",)).model


def moved(model: SpectralModel, by: float) -> SpectralModel:
    """The same model with its values moved by so much."""
    corrections = np.array(model.corrections)
    corrections[:, :, 0] += by
    return replace(model, corrections=corrections)


def keep(model: SpectralModel, path: Path) -> str:
    return artefacts.save(path, bundle.KIND, *bundle.to_artefact(model))


@pytest.fixture
def place(tmp_path: Path, model: SpectralModel) -> Path:
    """A line whose model reads a degree too high, a better candidate, a worse one, and new fruit."""
    folder = tmp_path / "line"
    folder.mkdir()
    shutil.copy(PLAN, folder / "plan.toml")
    keep(moved(model, 1.0), folder / "model")
    keep(model, folder / "better")
    keep(moved(model, 3.0), folder / "worse")
    table(folder / "new.csv", 6, 15, seed=2)
    text = with_value(LINE.read_text(encoding="utf-8"), "files", "model", "model")
    (folder / "line.toml").write_text(text, encoding="utf-8")
    return folder


def live(place: Path) -> str:
    named = load(place / "line.toml").files.model
    assert named is not None
    return load_bundle(place / named)[1]


def evidence(place: Path, candidate: str = "better", **changed: Any) -> dict[str, Any]:
    ids = {"live": live(place), "candidate": load_bundle(place / candidate)[1]}
    return ids | {"comparisons": {"ssc_brix": GOOD | changed}}


def events(place: Path) -> list[str]:
    return [event["event"] for event in journal.read(registry.log_of(place / "line.toml")).events]


# The fingerprints of fruit


def test_a_fruit_is_known_again_whatever_it_is_called_and_only_it() -> None:
    absorbance, _brix, _groups = fruit(10, 100, seed=3)
    story = fingerprints.remember({"n": 1000}, NM, absorbance)
    assert story["n"] == 1000
    assert fingerprints.known(story, NM, absorbance[::-1]).all()
    assert fingerprints.known(story, NM, absorbance.round(6)).mean() > 0.9
    again = absorbance + 1e-3 * np.random.default_rng(0).standard_normal(absorbance.shape)
    assert not fingerprints.known(story, NM, again).any()
    wider = np.r_[NM[0] - 5.0, NM, NM[-1] + 5.0]
    assert fingerprints.known(story, wider, np.pad(absorbance, ((0, 0), (1, 1)))).all()
    assert not fingerprints.known(story, NM[10:], absorbance[:, 10:]).any()


def test_fruit_are_added_on_an_axis_of_their_own() -> None:
    first, second = fruit(2, 20, seed=3)[0], fruit(2, 20, seed=4)[0]
    story = fingerprints.remember(fingerprints.remember({}, NM, first), NM + 1.0, second)
    assert fingerprints.known(story, NM, first).all()
    assert fingerprints.known(story, NM + 1.0, second).all()
    assert not fingerprints.known(story, NM, second).any()
    assert (fingerprints.tells(story), fingerprints.tells({})) == (True, False)


def test_a_trained_model_tells_its_fruit(model: SpectralModel) -> None:
    assert fingerprints.known(model.training, NM, fruit(6, 20, seed=1)[0]).all()
    assert not fingerprints.known(model.training, NM, fruit(6, 20, seed=2)[0]).any()


def test_fruit_a_model_was_kept_up_with_are_known(place: Path) -> None:
    table(place / "sample.csv", 2, 12, seed=5)
    keep_up(place / "model", Source(place / "sample.csv"), ["ssc_brix"], None, place / "kept")
    with pytest.raises(SpectraTableError, match="0 of 24 fruit are left"):
        compare_table(place / "model", place / "kept", Source(place / "sample.csv", group="lot"), ("ssc_brix",))
    found = compare_table(place / "model", place / "kept", Source(place / "new.csv", group="lot"), ("ssc_brix",))
    assert found.comparisons[0].verdict == BETTER


# The comparison


def said(value: np.ndarray[Any, Any]) -> Said:
    return Said(value, value - 1.0, value + 1.0, np.ones(len(value), np.bool_))


@pytest.mark.parametrize(("by", "verdict"), [(-0.4, BETTER), (0.0, NOT_WORSE), (0.6, WORSE)], ids=["better", "no worse", "worse"])
def test_a_comparison_says_what_the_errors_say(by: float, verdict: str) -> None:
    rng = np.random.default_rng(1)
    reference, error = rng.normal(11.0, 1.0, 300), rng.normal(0.0, 1.0, 300)
    groups = np.arange(300) % 12
    found = compare("brix", reference, said(reference + error), said(reference + (1 + by) * error), groups)
    assert (found.verdict, found.n, found.n_lots, found.unit) == (verdict, 300, 12, "lot")
    assert found.ratio == pytest.approx(1 + by)
    assert found.live.rmsep == pytest.approx(np.sqrt((error**2).mean()))
    assert found.live.bias == pytest.approx(error.mean())
    assert found.live.covered90 == pytest.approx(np.mean(np.abs(error) <= 1))


def test_few_lots_are_not_taken_for_many_fruit() -> None:
    """Two lots, of which the candidate reads one right and one wrong by chance: hundreds of fruit say nothing more."""
    rng = np.random.default_rng(2)
    reference, groups = rng.normal(11.0, 1.0, 400), np.arange(400) % 2
    first = rng.normal(0.0, 0.2, 400) + np.where(groups == 0, 0.5, 0.1)
    second = rng.normal(0.0, 0.2, 400) + np.where(groups == 0, 0.1, 0.3)
    assert compare("brix", reference, said(reference + first), said(reference + second), groups).verdict == UNKNOWN
    assert compare("brix", reference, said(reference + first), said(reference + second), None).verdict == BETTER


def test_the_interval_of_the_ratio_holds_the_truth_as_often_as_it_says() -> None:
    """Six lots with their own bias, both models equally good: outside in about 5 of 100."""
    rng = np.random.default_rng(3)
    outside, times = 0, 1000
    cluster = np.arange(120) % 6
    for _ in range(times):
        biases = 0.4 * rng.standard_normal((2, 6))
        errors_of_both = biases[:, cluster] + rng.standard_normal((2, 120))
        _ratio, low, high = error_ratio(errors_of_both[0] ** 2, errors_of_both[1] ** 2, cluster)
        outside += not low <= 1.0 <= high
    assert 0.02 <= outside / times <= 0.08


def test_equal_models_without_any_error_are_equal() -> None:
    none = np.zeros(5)
    assert error_ratio(none, none, np.arange(5)) == (1.0, 1.0, 1.0)
    assert error_ratio(none, none + 1.0, np.arange(5))[0] == np.inf
    found = compare("brix", none, said(none), said(none + 1.0), None)
    assert (found.verdict, found.to_dict()["ratio"]) == (WORSE, None)


# On a table


def test_new_fruit_tell_which_model_is_better(place: Path) -> None:
    found = compare_table(place / "model", place / "better", Source(place / "new.csv", group="lot"), ("ssc_brix",))
    assert (found.comparisons[0].verdict, found.comparisons[0].n, found.left_out) == (BETTER, 90, 0)
    assert found.comparisons[0].live.bias == pytest.approx(found.comparisons[0].candidate.bias + 1.0)
    assert not found.notes


def test_fruit_a_model_was_made_from_are_refused_whatever_they_are_called(place: Path) -> None:
    table(place / "old.csv", 6, 20, seed=1)
    for group in ("lot", None):
        with pytest.raises(SpectraTableError, match="0 of 120 fruit are left"):
            compare_table(place / "model", place / "better", Source(place / "old.csv", group=group), ("ssc_brix",))
    renamed = (place / "old.csv").read_text(encoding="utf-8").replace("lot 1.", "other ").replace("\n1-", "\nfruit ")
    (place / "old.csv").write_text(renamed, encoding="utf-8")
    with pytest.raises(SpectraTableError, match="from these very spectra"):
        compare_table(place / "model", place / "better", Source(place / "old.csv", group="lot"), ("ssc_brix",))


def test_a_known_lot_is_left_out_and_said(place: Path) -> None:
    text = (place / "new.csv").read_text(encoding="utf-8").replace("lot 2.0", "lot 1.0")
    (place / "new.csv").write_text(text, encoding="utf-8")
    found = compare_table(place / "model", place / "better", Source(place / "new.csv", group="lot"), ("ssc_brix",))
    assert (found.left_out, found.comparisons[0].n, found.comparisons[0].n_lots) == (15, 75, 5)
    assert "lot 1.0" in found.notes[0]


def test_two_targets_are_told_apart_by_name(place: Path, model: SpectralModel) -> None:
    target = model.targets[0]
    twice = replace(
        model, targets=(target, replace(target, name="ta_pct")), corrections=np.concatenate([model.corrections] * 2, axis=1)
    )
    keep(twice, place / "two")
    with pytest.raises(SpectraTableError, match="predicts ssc_brix, ta_pct, not 'sugar'"):
        compare_table(place / "two", place / "better", Source(table(place / "s.csv", 6, 15, 4, "sugar")), ("sugar",))


# The switch


def test_a_promotion_needs_evidence_of_these_models(place: Path) -> None:
    line, better = place / "line.toml", place / "better"
    before = line.read_bytes()
    for told, match in (
        (None, "no evidence was given"),
        (evidence(place, "worse"), "the evidence speaks of models"),
        (evidence(place, verdict="cannot_be_told"), "'cannot_be_told' on 60 fruit, lots: 6"),
        (evidence(place) | {"comparisons": {}}, "says nothing of ssc_brix"),
    ):
        with pytest.raises(RegistryError, match=match):
            registry.promote(line, better, told)
    assert line.read_bytes() == before
    assert events(place) == []


def test_a_promotion_is_logged_with_its_evidence_and_rolled_back(place: Path) -> None:
    line, first = place / "line.toml", live(place)
    done = registry.promote(line, place / "better", evidence(place))
    assert (done.before, done.model, done.forced) == (first, live(place), False)
    assert load(line).files.model == f"models/{done.model}"
    shutil.rmtree(place / "better")
    shutil.rmtree(place / "model")
    found = journal.read(registry.log_of(line)).events
    assert [event["event"] for event in found] == ["added", "added", "promote", "promoted"]
    assert found[2]["evidence"]["comparisons"]["ssc_brix"] == GOOD
    assert all(event["who"] and event["time"] and event["software"] for event in found)
    back = registry.rollback(line, "reads high")
    assert (back.before, back.model, live(place)) == (done.model, first, first)
    assert journal.read(registry.log_of(line)).events[-2]["because"] == "reads high"
    with pytest.raises(RegistryError, match="no model was live before"):
        registry.rollback(line, "again")
    assert registry.rollback(line, "it was the lamp", to=done.model).model == live(place) == done.model


def test_force_needs_a_reason_and_keeps_what_stood_against_it(place: Path) -> None:
    line = place / "line.toml"
    with pytest.raises(RegistryError, match="give --because"):
        registry.promote(line, place / "worse", None, force=True)
    assert registry.promote(line, place / "worse", None, force=True, because="a trial").forced
    told = journal.read(registry.log_of(line)).events[-2]
    assert (told["forced"], told["because"], told["problems"]) == (True, "a trial", ["no evidence was given"])


def test_a_model_on_trial_that_is_promoted_is_no_longer_on_trial(place: Path) -> None:
    line = place / "line.toml"
    line.write_text(with_value(line.read_text(encoding="utf-8"), "files", "shadow", "better"), encoding="utf-8")
    registry.promote(line, place / "better", evidence(place))
    assert load(line).files.shadow is None


def test_a_model_that_does_not_fit_the_line_is_refused(place: Path, model: SpectralModel) -> None:
    nm = NM + 900.0
    flat = np.ones((30, len(nm))) + 0.01 * np.random.default_rng(0).standard_normal((30, len(nm)))
    made = preprocessing(Recipe(nm[0], nm[-1], "none", 0, 1), nm, flat)
    keep(replace(model, preprocessing=made), place / "far")
    keep(replace(model, targets=(replace(model.targets[0], name="dm_pct"),)), place / "other")
    for name, match in (("far", "train it on this line"), ("other", "does not predict ssc_brix")):
        with pytest.raises(ArtefactError, match=match):
            registry.promote(place / "line.toml", place / name, None, force=True, because="try")
    assert events(place) == []


@pytest.mark.parametrize("step", range(3))
def test_a_crash_between_two_steps_leaves_the_old_model_or_the_new_one(
    place: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles are copied by the first two renames, line.toml is switched by the third."""
    line, old, new = place / "line.toml", live(place), load_bundle(place / "better")[1]
    told, renamed, replaced = evidence(place), 0, os.replace

    def dies(source: Any, target: Any) -> None:
        nonlocal renamed
        if renamed == step:
            raise KeyboardInterrupt
        renamed += 1
        replaced(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        registry.promote(line, place / "better", told)
    monkeypatch.undo()
    assert live(place) == old
    note = registry.settle(line)
    assert (note is not None) == (step == 2)
    if step == 2:
        assert events(place)[-2:] == ["promote", "not_done"]
        assert f"{old} is live" in str(note)
    assert registry.settle(line) is None
    assert registry.promote(line, place / "better", evidence(place)).model == live(place) == new


def test_a_crash_after_the_switch_is_settled_as_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line, new, append = place / "line.toml", load_bundle(place / "better")[1], journal.append

    def dies(path: Path, event: dict[str, Any]) -> None:
        if event["event"] == "promoted":
            raise KeyboardInterrupt
        append(path, event)

    monkeypatch.setattr(journal, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        registry.promote(line, place / "better", evidence(place))
    monkeypatch.undo()
    assert live(place) == new
    assert f"{new} is live" in str(registry.settle(line))
    assert events(place)[-1] == "promoted"
    assert registry.rollback(line, "after all").before == new


def test_a_line_cut_short_is_dropped(place: Path) -> None:
    line = place / "line.toml"
    registry.promote(line, place / "better", evidence(place))
    log = registry.log_of(line)
    whole = log.read_bytes()
    log.write_bytes(whole + whole.splitlines()[0][:50])
    registry.rollback(line, "reads low")
    assert log.read_bytes().startswith(whole)
    assert events(place)[-1] == "rolled_back"


@pytest.mark.parametrize("how", ["changed", "last changed", "taken out", "not JSON"])
def test_a_log_changed_by_hand_is_seen_and_nothing_is_done(place: Path, how: str) -> None:
    line = place / "line.toml"
    registry.promote(line, place / "better", evidence(place))
    log = registry.log_of(line)
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    if how == "changed":
        lines[2] = lines[2].replace('"n": 60', '"n": 600')
    elif how == "last changed":
        lines[3] = lines[3].replace('"event": "promoted"', '"event": "not_done"')
    elif how == "taken out":
        del lines[1]
    else:
        lines[0] = "{\n"
    log.write_text("".join(lines), encoding="utf-8")
    with pytest.raises(RegistryError, match="by hand"):
        registry.rollback(line, "any")
    assert log.read_text(encoding="utf-8") == "".join(lines)


def test_a_run_stays_as_it_was(place: Path) -> None:
    (place / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RegistryError, match="stays as it was"):
        registry.promote(place / "line.toml", place / "better", evidence(place))


def test_a_file_section_no_program_can_change_is_refused(place: Path) -> None:
    line = place / "line.toml"
    text = line.read_text(encoding="utf-8")
    section = "[files]" + text.partition("[files]")[2].partition("\n[")[0]
    line.write_text('files = { plan = "plan.toml", model = "model" }\n' + text.replace(section, ""), encoding="utf-8")
    before = line.read_bytes()
    with pytest.raises((RegistryError, ValueError)):
        registry.promote(line, place / "better", evidence(place))
    assert line.read_bytes() == before


# As people meet it


def here(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main.main([str(arg) for arg in args])
    caught = capsys.readouterr()
    return code, caught.out, caught.err


def test_a_models_life_on_the_command_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, data = place / "line.toml", ("--target", "ssc_brix", "--group", "lot")
    first, better = live(place), load_bundle(place / "better")[1]
    code, text, _error = here(capsys, "models", "list", place)
    assert code == errors.DONE
    assert first in text
    code, text, _error = here(capsys, "models", "compare", place / "model", place / "better", place / "new.csv", *data)
    assert code == errors.DONE
    assert "the candidate is better" in text
    code, text, _error = here(capsys, "models", "compare", place / "model", place / "worse", place / "new.csv", *data, "--json")
    assert code == errors.FINDINGS
    assert json.loads(text)["comparisons"]["ssc_brix"]["verdict"] == "worse"
    (place / "worse.json").write_text(text, encoding="utf-8")
    code, _text, error = here(capsys, "models", "promote", line, place / "worse", "--evidence", place / "worse.json")
    assert code == errors.BAD_INPUT
    assert "not promoted" in error
    code, text, _error = here(capsys, "models", "promote", line, place / "better", "--table", place / "new.csv", *data)
    assert (code, live(place)) == (errors.DONE, better)
    code, text, _error = here(capsys, "models", "list", line, "--json")
    told = json.loads(text)
    assert {one["id"]: one["mark"] for one in told["models"]} == {first: "", better: "live"}
    assert told["log"]["findings"] == []
    switched = journal.read(registry.log_of(line)).events[-1]["time"]
    assert {one["id"]: one["since"] for one in told["models"]} == {first: "", better: switched}
    assert all(len(one["made"]) > 10 for one in told["models"])
    _code, text, _error = here(capsys, "models", "list", line)
    assert f"{better} is live since {switched[:10]}" in text
    code, _text, error = here(capsys, "models", "rollback", line)
    assert code == errors.BAD_INPUT
    assert "--because" in error
    code, text, _error = here(capsys, "models", "rollback", line, "--because", "reads high", "--json")
    assert (code, json.loads(text)["model_id"], live(place)) == (errors.DONE, first, first)
    code, text, _error = here(capsys, "models", "promote", line, better, "--force", "--because", "by its id")
    assert (code, live(place)) == (errors.DONE, better)


def test_a_card_is_told_in_words(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _error = here(capsys, "models", "show", place / "model")
    assert code == errors.DONE
    for words in ("ssc_brix: RMSE of fruit left out", "lot 1.0 (20)", "corrected on every lane", "out of domain beyond"):
        assert words in text
    code, text, _error = here(capsys, "models", "show", place / "model", "--json")
    told = json.loads(text)
    assert told["targets"]["ssc_brix"]["components"] >= 1
    assert fingerprints.KEY not in told["story"]


def test_what_is_wrong_with_a_registry_is_listed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = place / "line.toml"
    registry.promote(line, place / "better", evidence(place))
    line.write_text(with_value(line.read_text(encoding="utf-8"), "files", "model", "worse"), encoding="utf-8")
    code, text, _error = here(capsys, "models", "list", line)
    assert code == errors.FINDINGS
    assert "changed by hand" in text
    card = place / "models" / load_bundle(place / "better")[1] / "card.json"
    card.write_text(card.read_text(encoding="utf-8").replace("snv", "msc").replace("Brix", "brix"), encoding="utf-8")
    code, text, _error = here(capsys, "models", "list", place / "models")
    assert code == errors.FINDINGS
    assert "do not match the id" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("args", "said_"),
    [
        (("compare",), "give either --run RUN, or LIVE CANDIDATE TABLE"),
        (("list", "nowhere"), "there is no such file or folder"),
        (("promote", "nowhere.toml", "x"), "no such file"),
        (("show", "nowhere"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named(args: tuple[str, ...], said_: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _text, error = here(capsys, "models", *args)
    assert code == errors.BAD_INPUT
    assert said_ in error
