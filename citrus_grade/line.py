"""The line as one deterministic function: ``Line.feed(message) -> outputs``.

What comes out depends only on the initial state and the messages: no clock, file, socket, thread or random number is inside.
Live, simulated and replayed runs differ only in who calls it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from citrus_grade import __version__
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.geometry import Ruler
from citrus_grade.grading import chance, outlets
from citrus_grade.grading.classifier import GradeModel, bind, nobody
from citrus_grade.grading.decide import OutletBooks, Rules, Scale, decide
from citrus_grade.grading.plan import Plan, misfits
from citrus_grade.imaging import health, surface
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import (
    Alarm,
    ArtefactKind,
    Command,
    Decisions,
    Ejection,
    Frame,
    Joined,
    Message,
    OutletReport,
    Output,
    Pulse,
    Reading,
    Scans,
    Views,
    over,
)
from citrus_grade.rings import join_lanes, place_scans, place_views
from citrus_grade.spectra import references, step
from citrus_grade.spectra import watch as spectra_watch
from citrus_grade.spectra.keeper import READINGS, Keeper
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import Aligned, align, predict
from citrus_grade.spectra.traits import TRAITS
from citrus_grade.state import TROUBLES, initial, of_bytes, to_bytes
from citrus_grade.stations import Stations
from citrus_grade.tables import DECISION, FRUIT, empty, fresh, stack

SOFTWARE = sum(int(part) << shift for part, shift in zip(__version__.split(".")[:3], (16, 8, 0), strict=True))
"""The software version as every decision names it: major, minor and patch in one number."""
PULSES_THAT_AGREE = 3
ARTEFACTS = get_args(ArtefactKind)
"""What a command may put another in place of."""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What the shell has loaded: everything a `Command` may switch to, by id."""

    plans: Mapping[str, Plan]
    models: Mapping[str, SpectralModel]
    calibrations: Mapping[str, CalibrationSet]
    classifiers: Mapping[str, GradeModel] = field(default_factory=dict)


class Line:
    """A line: feed it messages, it answers with decisions, ejections and alarms.

    Parameters
    ----------
    config : the line. artefacts : all that commands may name. plan, calibration, model, classifier : ids in use at the start;
        ``model`` is "" on a line without spectrometers, ``classifier`` where none grades. ``shadow`` is a model on trial of
        the same targets: what it says is kept beside the live model's values, and decides nothing.

    Raises
    ------
    ValueError : a plan that cannot sort by this model and this classifier.
    """

    def __init__(
        self,
        config: LineConfig,
        artefacts: Artefacts,
        *,
        plan: str,
        calibration: str,
        model: str = "",
        classifier: str = "",
        shadow: str = "",
    ) -> None:
        self.config = config
        self.artefacts = artefacts
        self.state = initial(config, plan, model, calibration, classifier, shadow)
        self._ruler = Ruler.of(config.encoder.ratio)
        self._least_views = config.line.min_views or config.n_views
        self._blank = empty(DECISION, config.line.lanes)
        self._blank["lane"] = np.arange(config.line.lanes)
        self._blank["software"] = SOFTWARE
        self._blank_fruit = empty(FRUIT, config.line.lanes)
        self._no_traits = empty(TRAITS, config.line.lanes)
        self._no_traits["status"] = 1
        self._room = surface.room(config.n_views)
        self._work = np.empty((2, max(config.n_views, 1)))
        self._turned = np.empty(len(health.KINDS), np.int8)
        self._stations = Stations.of(config, self._ruler)
        self._bind_artefacts()
        self._begin("calibration", "model")
        self._handlers: dict[type, Callable[[Any], list[Output]]] = {
            Frame: self._on_frame,
            Views: self._on_views,
            Joined: self._on_joined,
            Scans: self._on_scans,
            Pulse: self._on_pulse,
            OutletReport: self._on_report,
            Reading: self._on_reading,
            Command: self._on_command,
        }

    def feed(self, message: Message) -> tuple[Output, ...]:
        """Take one message, in order of arrival; return what follows from it."""
        return tuple(self._handlers[type(message)](message))

    def imaged(self, message: Message) -> Message:
        """Return the views a frame of this line gives, anything else as it is; feeding either is the same."""
        if not isinstance(message, Frame) or not 0 <= message.camera < len(self._imagers):
            return message
        imager = self._imagers[message.camera]
        return imager(message, self.state.offset) if imager.accepts(message.mosaic) else message

    def snapshot(self) -> bytes:
        """Return the whole state as bytes; `restore` takes them back."""
        return to_bytes(self.state)

    def restore(self, snapshot: bytes, **artefacts: str) -> None:
        """Become the line that `snapshot` described; the artefacts it names must be loaded.

        ``plan``, ``model``, ``calibration``: ids to take in place of the snapshot's.
        """
        self.state = of_bytes(snapshot)
        changed = [kind for kind, artefact_id in artefacts.items() if getattr(self.state, f"{kind}_id") != artefact_id]
        for kind in changed:
            setattr(self.state, f"{kind}_id", artefacts[kind])
        self._bind_artefacts()
        self._begin(*changed)

    def _misfits(self, **instead: str) -> list[str]:
        """Return why the artefacts in use, some of them taken ``instead``, cannot work together; nothing if they can."""
        kinds = ("plan", "model", "classifier")
        plan_id, model_id, classifier_id = (instead.get(kind, getattr(self.state, f"{kind}_id")) for kind in kinds)
        held = self.artefacts
        residuals = held.models[model_id].residuals if model_id else {}
        return misfits(held.plans[plan_id], residuals, held.classifiers[classifier_id] if classifier_id else None)

    def _bind_artefacts(self) -> None:
        if problems := self._misfits():
            raise ValueError("; ".join(problems))
        state = self.state
        self._plan = self.artefacts.plans[state.plan_id]
        self._model = self.artefacts.models[state.model_id] if state.model_id else None
        self._calibration = self.artefacts.calibrations[state.calibration_id]
        self._aligned = self._align(self._model) if self._model else None
        self._shadow = self.artefacts.models[state.shadow_id] if state.shadow_id else None
        self._shadow_aligned = self._align(self._shadow) if self._shadow else None
        graded_by = self.artefacts.classifiers[state.classifier_id] if state.classifier_id else None
        self._rules = Rules(
            self._plan.low,
            self._plan.high,
            self._plan.allowed,
            self._plan.needs_spectrum(graded_by),
            chance.bind(self._plan.chances, self._model.residuals if self._model else {}),
        )
        calibration = self._calibration
        self._imagers = [Imager.of(self.config, camera, calibration) for camera in self.config.camera]
        self._scale = Scale(self._stations.optics, calibration.scale, calibration.scale_sigma_mm, calibration.density_g_per_ml)
        self._books = OutletBooks(state.due_tick, state.outlet_open, state.outlet_sound, state.last_cup)
        self._classifier = bind(graded_by, self._plan.features, state.classifier_id) if graded_by else nobody()
        self._blank["classifier_id"] = int(state.classifier_id or "0", 16)
        self._blank["model_id"] = int(state.model_id or "0", 16)
        self._blank["shadow_model_id"] = int(state.shadow_id or "0", 16)
        self._blank["plan_id"] = int(state.plan_id, 16)
        self._blank["calibration_id"] = int(state.calibration_id, 16)
        self._keeper = Keeper.of(self.config, calibration, self._model)

    def _begin(self, *changed: str) -> None:
        """Begin anew what is remembered of the artefacts that have changed: references, and what the spectra are held against."""
        if "calibration" in changed:
            references.take(self.state.references, self._calibration)
            spectra_watch.begin_lamps(self.state.spectra_watched)
        if "model" in changed:
            spectra_watch.begin_model(self.state.spectra_watched, self._model)

    def _align(self, model: SpectralModel) -> Aligned | None:
        """Where each lane's pixels lie on the model's wavelengths, and what its values are corrected by."""
        if self.config.spectrometer is None:
            return None
        corrections = [model.correction(str(lane)) for lane in range(self.config.line.lanes)]
        return align(self._calibration.axis_nm(self.config), model.wavelength_nm, np.stack(corrections))

    def _on_frame(self, frame: Frame) -> list[Output]:
        views = self.imaged(frame)
        return self._on_views(views) if isinstance(views, Views) else [Alarm(frame.tick, "bad_frame", f"camera {frame.camera}")]

    def _on_views(self, views: Views) -> list[Output]:
        state = self.state
        if not 0 <= views.camera < len(self._imagers) or len(views.clarity) not in (0, self._places(views.camera)):
            return [_bad(views.tick, f"views of camera {views.camera}")]
        last = int(state.frame_seq[views.camera])
        state.troubles[0] += place_views(views.rows, state.next_cup, state.views, state.views_seen)
        state.troubles[1] += max(views.seq - last - 1, 0) if last >= 0 else 0
        state.frame_seq[views.camera] = max(views.seq, last)
        self._join_whole(views)
        return self._watch(views) if len(views.clarity) else []

    def _join_whole(self, views: Views) -> None:
        """Join the fruit of which this frame has shown the last view, on all lanes: their pulse need not wait for that."""
        state = self.state
        first = int(views.rows["cup"].min(initial=state.next_cup))
        for cup in range(max(first, state.next_cup), first + 2):
            slot = cup % len(state.joined)
            if state.views_seen[slot].all() and not state.joined[slot].any():
                state.fruit[slot] = self._join(cup)
                state.joined[slot] = True

    def _places(self, camera: int) -> int:
        return self.config.line.lanes * self.config.camera[camera].windows

    def _watch(self, views: Views) -> list[Output]:
        state, camera = self.state, views.camera
        clarity = views.clarity.reshape(self.config.line.lanes, -1)
        lane, window = health.watch(state.watched[camera], state.watch_told[camera], clarity, self._turned)
        place = f"camera {camera}"
        begun = {"lens_dirty": f"{place} lane {lane} window {window}"}
        return [
            Alarm(views.tick, kind, begun.get(kind, place)) if turn > 0 else over(views.tick, kind, place)
            for kind, turn in zip(health.KINDS, self._turned.tolist(), strict=True)
            if turn
        ]

    def _on_joined(self, joined: Joined) -> list[Output]:
        state = self.state
        ring = len(state.joined)
        for row in joined.rows:
            cup, lane = int(row["cup"]), int(row["lane"])
            if state.next_cup <= cup < state.next_cup + ring and 0 <= lane < self.config.line.lanes:
                state.fruit[cup % ring, lane] = row
                state.joined[cup % ring, lane] = True
        return []

    def _on_scans(self, scans: Scans) -> list[Output]:
        state = self.state
        missed, gap = place_scans(
            scans.lane,
            scans.seq,
            scans.tick,
            scans.counts,
            state.next_cup,
            state.offset,
            self._stations.scan_milli,
            self._stations.chord_milli,
            self._ruler.num,
            self._ruler.den,
            state.references.light_from,
            state.scan_seq,
            state.counts,
            state.scans_seen,
        )
        state.troubles[2] += missed
        state.troubles[3] += gap
        if state.references.busy[0]:
            references.collect(scans.lane, scans.tick, scans.counts, state.references.lanes, state.references.scans)
        return []

    def _on_pulse(self, pulse: Pulse) -> list[Output]:
        state = self.state
        reached = self._ruler.passed(pulse.tick, self.config.line.decision_station, state.offset)
        if reached < state.next_cup:
            return []
        if reached - state.next_cup >= 4 * len(state.joined) and not self._agreed(reached):
            return [Alarm(pulse.tick, "encoder_jump", "encoder", reached - state.next_cup)]
        keeper, known, watched = self._keeper, state.references, state.spectra_watched
        taken = keeper.settle(known, watched, pulse.tick, state.next_cup) if keeper and known.busy[0] else []
        outputs = self._troubles(pulse.tick)
        if reached > state.next_cup and state.next_cup > 0:
            outputs.append(Alarm(pulse.tick, "pulse_gap", "encoder", reached - state.next_cup))
        batches = []
        for cup in range(state.next_cup, reached + 1):
            rows, ejected = self._decide(cup, pulse)
            batches.append(rows)
            slot = cup % len(state.joined)
            if keeper:
                scans = state.counts[slot], state.scans_seen[slot]
                outputs += keeper.watch(known, watched, rows, *scans, pulse.tick)
                outputs += step.watch(state.spectra_step, rows, *scans, known.dark, pulse.tick)
            state.views_seen[slot] = state.joined[slot] = state.scans_seen[slot] = False
            state.next_cup = cup + 1
            if ejected:
                where = enumerate(zip(rows["outlet"].tolist(), rows["fire_tick"].tolist(), strict=True))
                outputs += [Ejection(lane, cup, outlet, tick) for lane, (outlet, tick) in where if tick >= 0]
        rows = batches[0] if len(batches) == 1 else stack(batches, DECISION)
        rows.setflags(write=False)
        return [*taken, Decisions(rows), *outputs]

    def _agreed(self, reached: int) -> bool:
        """Say whether enough pulses in a row have told of the same far place: then the counter was set, and the line goes on
        there.

        One pulse that jumps is noise and must not pass hundreds of cups unseen.
        """
        state = self.state
        follows = 0 <= reached - state.ahead_cup <= 2
        state.ahead_pulses = state.ahead_pulses + 1 if follows else 1
        state.ahead_cup = reached
        if state.ahead_pulses < PULSES_THAT_AGREE:
            return False
        state.next_cup, state.ahead_pulses = reached, 0
        state.views_seen[:] = state.scans_seen[:] = False
        state.joined[:] = False
        return True

    def _troubles(self, tick: int) -> list[Output]:
        troubles = self.state.troubles
        if not troubles.any():
            return []
        told: list[Output] = [Alarm(tick, name, "sensors", int(n)) for name, n in zip(TROUBLES, troubles, strict=True) if n]
        troubles[:] = 0
        return told

    def _decide(self, cup: int, pulse: Pulse) -> tuple[NDArray[Any], int]:
        state = self.state
        slot = cup % len(state.joined)
        fruit = self._join(cup)
        traits = self._traits(slot, self._model, self._aligned)
        rows = fresh(self._blank)
        # A decision begins with the fields of the joined fruit: the same packed bytes.
        rows.view(np.uint8).reshape(len(rows), -1)[:, : FRUIT.itemsize] = fruit.view(np.uint8).reshape(len(rows), -1)
        rows["tick"] = pulse.tick
        rows["reference_id"] = state.references.lanes["reference_id"]
        rows["lot"] = state.lot[max(int(np.searchsorted(state.lot_from, cup, side="right")) - 1, 0)]
        for name, source in (("trait", "value"), ("trait_sigma", "sigma"), ("trait_low90", "low90"), ("trait_high90", "high90")):
            rows[name] = traits[source]
        for name in ("t2", "q", "scans_received", "scans_kept", "clipped_scans", "scan_spread"):
            rows[name] = traits[name]
        if self._shadow is not None:
            rows["shadow_trait"] = self._traits(slot, self._shadow, self._shadow_aligned)["value"]
        ejected = decide(
            rows,
            traits["status"],
            state.lane_on,
            self._least_views,
            self._scale,
            self._rules,
            self._stations.routes,
            self._books,
            self._classifier,
            pulse.tick,
            pulse.head_tick,
            state.offset,
        )
        return rows, ejected

    def _join(self, cup: int) -> NDArray[Any]:
        state, slot = self.state, cup % len(self.state.joined)
        fruit = fresh(self._blank_fruit)
        join_lanes(
            state.views[slot],
            state.views_seen[slot],
            state.fruit[slot],
            state.joined[slot],
            self._stations.pitch_px,
            self._stations.travel,
            self._stations.turn_px,
            self._room,
            cup,
            self._work,
            fruit,
        )
        return fruit

    def _traits(self, slot: int, model: SpectralModel | None, aligned: Aligned | None) -> NDArray[Any]:
        state, spectrometer = self.state, self.config.spectrometer
        if model is None or aligned is None or spectrometer is None:
            return self._no_traits
        out = np.zeros(self.config.line.lanes, TRAITS)
        predict(
            model,
            aligned,
            state.counts[slot],
            state.scans_seen[slot],
            state.references.dark,
            state.references.white,
            spectrometer.full_scale,
            out,
        )
        # A neighbour's spectrum is as good as none.
        unbelieved = state.spectra_step.out
        out[unbelieved] = self._no_traits[unbelieved]
        return out

    def _on_report(self, report: OutletReport) -> list[Output]:
        told = outlets.take(report, self.state.outlet_open, self.state.outlet_sound)
        return [_bad(report.tick, f"report of lane {report.lane} outlet {report.outlet}")] if told is None else told

    def _on_reading(self, reading: Reading) -> list[Output]:
        if reading.kind in READINGS:
            state, lit = self.state, self.state.references.light_from < references.NEVER
            told = self._keeper.reading(state.references, reading, state.next_cup) if self._keeper else None
            # What a shutter does unasked is told after it was seen.
            state.scans_seen[:, lit & (state.references.light_from == references.NEVER)] = False
            return [_bad(reading.tick, f"{reading.kind} of lane {reading.lane}: {reading.value:g}")] if told is None else told
        if reading.kind != "cup_index":
            return []
        slip = self._ruler.slip(reading.tick, self.state.offset)
        self.state.offset -= slip
        # A tenth of a pitch is more than belt stretch and jitter: the encoder has slipped.
        return [Alarm(reading.tick, "encoder_slip", "encoder")] if 10 * abs(slip) > self._ruler.num else []

    def _on_command(self, command: Command) -> list[Output]:
        state = self.state
        if command.kind in ARTEFACTS:
            return self._switch(command)
        if self._keeper and (told := self._keeper.command(state.references, command, state.next_cup)) is not None:
            return told
        number = int(command.value) if command.value.isdecimal() and len(command.value) < 10 else -1
        if command.kind == "lot" and number >= 0:
            self._start_lot(command.tick, number)
        elif command.kind in ("lane_on", "lane_off") and 0 <= number < len(state.lane_on):
            state.lane_on[number] = command.kind == "lane_on"
        else:
            return [_bad(command.tick, f"command {command.kind} {command.value}")]
        return []

    def _switch(self, command: Command) -> list[Output]:
        """From the next cup to be decided on, work by another artefact, or say why not."""
        known: Mapping[str, Any] = getattr(self.artefacts, f"{command.kind}s")
        if command.value not in known:
            return [Alarm(command.tick, "unknown_artefact", f"{command.kind} {command.value}")]
        if self._misfits(**{command.kind: command.value}):
            return [Alarm(command.tick, "unfit_artefact", f"{command.kind} {command.value}")]
        setattr(self.state, f"{command.kind}_id", command.value)
        imagers, calibration = self._imagers, self._calibration
        self._bind_artefacts()
        told = self._learn_anew(imagers, command.tick)
        self._begin(command.kind)
        return told + references.agreed(self.state.references, calibration, self._calibration, command.tick)

    def _learn_anew(self, before: list[Imager], tick: int) -> list[Output]:
        """Forget what the watch has learnt of cameras that a new calibration has look at other places; return what ends by it."""
        state, ended = self.state, list[Output]()
        memory, told = health.nothing_yet(self.config)
        for camera, (old, new) in enumerate(zip(before, self._imagers, strict=True)):
            if not np.array_equal(old.gap, new.gap):
                stood = np.flatnonzero(state.watch_told[camera]).tolist()
                ended += [over(tick, health.KINDS[kind], f"camera {camera}") for kind in stood]
                state.watched[camera], state.watch_told[camera] = memory[camera], told[camera]
        return ended

    def _start_lot(self, tick: int, lot: int) -> None:
        """The lot begins with the first cup that has not yet passed the loading point."""
        state = self.state
        state.lot_from[:-1], state.lot[:-1] = state.lot_from[1:].copy(), state.lot[1:].copy()
        begins = self._ruler.passed(tick, 0, state.offset) + 1
        state.lot_from[-1] = max(begins, int(state.lot_from[-2]), 0)
        state.lot[-1] = lot


def _bad(tick: int, what: str) -> Alarm:
    """Return the alarm for a message that names something this line does not have."""
    return Alarm(tick, "bad_message", what)
