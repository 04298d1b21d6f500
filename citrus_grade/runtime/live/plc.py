"""The process beside the PLC: it permits the belt to run and follows it, passes on what outlets report, queues ejections and has
shutters moved.

Nothing of the core waits for it, however slow the PLC is.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import replace

from citrus_grade.config import LineConfig
from citrus_grade.geometry import Ruler
from citrus_grade.messages import Alarm, Ejection, Message, OutletReport, Pulse, Reading
from citrus_grade.ports import DeviceGone, Plc, PlcState, Resumable
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.belt import Belt
from citrus_grade.runtime.live.clock import SECOND_NS, BeltClock, tick_at
from citrus_grade.runtime.live.devices import PLCS, opened, opener
from citrus_grade.runtime.live.fired import Orders
from citrus_grade.runtime.live.permission import Permission
from citrus_grade.runtime.live.shutters import Mover
from citrus_grade.runtime.live.work import CORE, FIRE_OUT_S, Work, real_time
from citrus_grade.words import _

PRIORITY = 51
"""Above the core's: what it does is short, and what the core has decided must not wait here."""
STANDING_S = 2.0
"""A running line whose encoder stands still for so long has lost its encoder."""
AGAIN_NS = 5 * SECOND_NS
"""How often an emergency stop is told while it is pressed: its alarm ends when it has not been told for 10 s."""
SLOW_POLLS = 5
"""A look at the PLC that takes so many times `poll_ms` is a slow one."""


def watch_plc(work: Work) -> None:
    """Follow the belt, pass on what outlets report, queue ejections and have shutters moved, until the line stops."""
    open_ = opener(PLCS, work.config.plc, "plc")
    follower = Follower(work)
    if work.config.live.realtime:
        real_time(work, PRIORITY)
    while (plc := opened(work, lambda: open_(work.config), work.going)) is not None:
        try:
            follower.follow(plc)
        except DeviceGone as error:
            work.tell(str(error))
            work.gone(0, True)
            work.station.count("reopened")
        finally:
            plc.close()


class Follower:
    """Follows the belt through one connection to the PLC after another.

    What its successor must know, should it die, it writes on the board at every look.
    """

    def __init__(self, work: Work) -> None:
        self._work, self._core, self._shared = work, work.end("core"), work.board.shared
        self._ruler = Ruler.of(work.config.encoder.ratio)
        before = [int(self._shared[name][0]) for name in ("origin", "count", "pitches")] if self._known else ()
        self._belt, self._clock = Belt(work.config.encoder.bits, self._ruler, *before), BeltClock()
        self._mover, self._permission = Mover(work.config, work.board), Permission(work.config, work.board)
        self._stopped, self._orders = Stopped(work), Orders(float(work.config.encoder.ratio))
        self._pitch: int | None = None
        self._moved_ns = 0
        self._last_fire = 0
        self._core_told = -1
        """Which core was told all that the PLC said."""

    @property
    def _known(self) -> bool:
        """Whether anybody has ever looked at the belt of this line."""
        return bool(self._shared["origin_known"][0])

    def follow(self, plc: Plc) -> None:
        """Follow the belt until the line stops.

        Raises
        ------
        DeviceGone : if the PLC is. DeviceError : if it is not as line.toml says.
        """
        work = self._work
        due, self._moved_ns = time.monotonic(), work.now_ns()
        self._mover.opened(plc)
        self._resume(plc)
        self._permission.keep(plc, anew=True)
        work.station.ready()
        while work.going() and self._permission.waits(plc):  # the line's count begins with the belt
            time.sleep(work.config.live.poll_ms / 1000)
        self._permission.keep(plc)
        while work.going():
            self._tell_anew(plc)
            tick, state = self._look(plc)
            self._mover.move(plc)
            self._permission.keep(plc)
            due = max(due + work.config.live.poll_ms / 1000, time.monotonic())
            _look_for_answers(work, self._orders, state, tick)
            self._eject_until(due, plc)
        self._eject_until(0.0, plc)  # the core has ended: what it decided last
        self._fire_out(plc)
        self._mover.let_go(plc)
        self._permission.end(plc)

    def _fire_out(self, plc: Plc) -> None:
        """Have a belt that runs go on until what is queued has fired: decisions that are kept say where these fruit went."""
        work, until = self._work, time.monotonic() + FIRE_OUT_S
        while time.monotonic() < until and not work.orphaned():
            work.station.beat()
            state = _looked(work, plc)
            tick = self._belt.tick(state.count)
            self._clock.look(tick, state.t_ns - work.spec.start_ns)
            stands = not (state.running and self._clock.ticks_per_s)
            if stands or self._ruler.passed(tick, 0) > self._ruler.passed(self._last_fire, 0) + 1:
                return
            self._permission.keep(plc)
            time.sleep(work.config.live.poll_ms / 1000)

    def _look(self, plc: Plc) -> tuple[int, PlcState]:
        """Look at the PLC once, write down where the belt is and give the core what there is to tell."""
        work, shared, belt = self._work, self._shared, self._belt
        state = _looked(work, plc)
        t_ns = state.t_ns - work.spec.start_ns
        state, stepped = _followed(work, belt, self._orders, state, t_ns)
        tick = belt.tick(state.count)
        if stepped:
            self._clock = BeltClock()
        shared["origin"], shared["count"], shared["origin_known"] = belt.origin, tick + (belt.origin or 0), 1
        shared["boot"] = state.boot
        shared["pitches"] = belt.pitches = state.pitches
        self._clock.look(tick, t_ns)
        work.board.set_clock(tick, t_ns, self._clock.ticks_per_s)
        self._stands_still(state, t_ns)
        self._stopped.look(state, tick, t_ns)
        told = [*_told(belt, state, t_ns), *self._mover.told(state, belt.near, self._clock, t_ns), *self._pulse(tick, t_ns)]
        if work.give(self._core, told):
            self._mover.heard()
        else:
            self._core_told = -1  # what it was not told of outlets it must be told anew
        shared["report"] = state.report
        return tick, state

    def _tell_anew(self, plc: Plc) -> None:
        """Have the PLC say how every outlet stands where the core, or what it was told last, is gone."""
        if self._work.board.station(CORE).epoch != self._core_told:
            self._resume(plc)

    def _resume(self, plc: Plc) -> None:
        """Have the PLC go on after what was read last."""
        self._core_told = self._work.board.station(CORE).epoch
        if self._known and isinstance(plc, Resumable):
            plc.resume(int(self._shared["boot"][0]), int(self._shared["report"][0]))

    def _stands_still(self, state: PlcState, t_ns: int) -> None:
        """Tell of a line that runs by its own word while its encoder does not."""
        if self._clock.ticks_per_s or not state.running:
            self._moved_ns = t_ns
        elif t_ns - self._moved_ns > STANDING_S * SECOND_NS:
            self._work.tell(_("plc: it says that the line runs, but the encoder stands still; check the encoder and its cable"))
            self._moved_ns = t_ns

    def _pulse(self, tick: int, t_ns: int) -> Iterator[Pulse]:
        """Yield the pulse of a pitch that was not reached before."""
        reached = self._ruler.passed(tick, 0)
        if self._pitch is None or reached > self._pitch:
            self._pitch = reached
            self._work.station.count("pulses")
            yield Pulse(tick, tick, t_ns)

    def _eject_until(self, due_s: float, plc: Plc) -> None:
        """Queue ejections as they come until the next look at the PLC is due."""
        while True:
            left_s = due_s - time.monotonic()
            if not wire.wait(self._core, max(left_s, 0.0)):
                return
            for data in wire.receive(self._core):
                self._eject(plc, *wire.ejections_of(data))
            if left_s <= 0:
                return

    def _eject(self, plc: Plc, t_ns: int, ejections: list[Ejection]) -> None:
        """Queue ejections that what came at ``t_ns`` decided."""
        station = self._work.station
        ejections = self._in_time(ejections)
        if not ejections:
            return
        raw = [type(e)(e.lane, e.cup, e.outlet, self._belt.count(e.fire_tick)) for e in ejections]
        began_ns = self._work.now_ns()
        try:
            taken = plc.eject(raw)
        except DeviceGone:
            station.count("ejections_refused", len(raw))  # how many it took nobody knows
            raise
        self._orders.sent(ejections[:taken])
        self._last_fire = max(self._last_fire, *(e.fire_tick for e in ejections[:taken]), 0)
        station.count("ejections", taken)
        station.count("ejections_refused", len(raw) - taken)
        now_ns = self._work.now_ns()
        station.took("queue", now_ns - began_ns)
        station.took("eject", now_ns - t_ns)
        _margins(self._work, ejections[:taken])

    def _in_time(self, ejections: list[Ejection]) -> list[Ejection]:
        """Return ejections whose tick has not passed. Others may lie ahead again on a counter that turns over: they are not sent,
        and the core is told of them as by the PLC."""
        tick = belt[0] if (belt := self._work.board.belt()) else -1
        if late := [e for e in ejections if e.fire_tick <= tick]:
            t_ns = self._work.now_ns()
            self._work.give(self._core, [OutletReport(tick, t_ns, e.lane, e.outlet, "late", e.cup) for e in late])
            self._work.station.count("ejections_late", len(late))
        return [e for e in ejections if e.fire_tick > tick]


class Stopped:
    """Tells of an emergency stop for as long as it is pressed, often enough that its alarm stands."""

    def __init__(self, work: Work) -> None:
        self._work, self._told_ns = work, -AGAIN_NS

    def look(self, state: PlcState, tick: int, t_ns: int) -> None:
        """Take in a look at the PLC."""
        if state.emergency and t_ns - self._told_ns >= AGAIN_NS:
            self._work.alarm(Alarm(tick, "emergency_stop", "plc"))
            self._told_ns = t_ns
        if not state.emergency:
            self._told_ns = -AGAIN_NS


def _looked(work: Work, plc: Plc) -> PlcState:
    """Look once, and count how long it took and which reports were never seen.

    A PLC whose program stands still is as good as gone, though it answers: what is queued in it may never fire.
    """
    began_ns = work.now_ns()
    state = plc.poll()
    took_ns = work.now_ns() - began_ns
    if not state.heartbeat_ok and not work.station.is_gone(0):
        work.tell(_("plc: it answers, but its program stands still; look for its fault and set it to run"))
    work.gone(0, not state.heartbeat_ok)
    work.station.took("poll", took_ns)
    work.station.count("slow_polls", took_ns > SLOW_POLLS * work.config.live.poll_ms * 1e6)
    work.station.count("reports_lost", state.lost)
    return state


def _followed(work: Work, belt: Belt, orders: Orders, state: PlcState, t_ns: int) -> tuple[PlcState, bool]:
    """Follow the belt; return the look without what nobody can place any more, and whether the line's count has stepped."""
    far = belt.may_have_wrapped(_most_ticks(work, t_ns))
    why = _anew(work, belt, state, far=far)
    if why:
        work.tell(why)
        belt.begin_anew(state.count, _length(work.config))
        orders.forget()
    belt.tick(state.count)
    if far:
        state = replace(state, index_counts=())  # in which turn of the counter each passed
    in_step = not state.index_counts or belt.in_step(state.index_counts[0][1])
    return state, bool(why) or not in_step


def _most_ticks(work: Work, t_ns: int) -> float:
    """Return how far the belt can have moved since the last look."""
    last = work.board.belt()
    if last is None:
        return 0.0
    return max(last[2], work.config.line.cups_per_s * float(work.config.encoder.ratio)) * (t_ns - last[1]) / SECOND_NS


def _anew(work: Work, belt: Belt, state: PlcState, *, far: bool) -> str:
    """Say why the belt's count begins anew at this look; nothing if it goes on. ``far`` : the counter may have turned over."""
    shared = work.board.shared
    restarted = bool(shared["origin_known"][0]) and state.boot != int(shared["boot"][0])
    if far and not restarted and not belt.wrapped(state.count, state.pitches):
        return _(
            "plc: it was away for so long that its counter may have turned over, and it counts no pitches; all fruit on the belt"
            " goes to the default outlet"
        )
    if restarted or belt.restarted(state.count):
        return _("plc: it was started again and counts anew; all fruit on the belt goes to the default outlet")
    return ""


def _length(config: LineConfig) -> int:
    """Return how many cups lie between the loading point and the last outlet."""
    return math.ceil(max((outlet.station for outlet in config.outlet), default=config.line.decision_station)) + 2


def _told(belt: Belt, state: PlcState, t_ns: int) -> list[Message]:
    reports: list[Message] = [OutletReport(belt.near(r.tick), t_ns, r.lane, r.outlet, r.state, r.cup) for r in state.reports]
    flags = [(lane, belt.flag(lane, count)) for lane, count in state.index_counts]
    return [*reports, *(Reading(tick, t_ns, lane, "cup_index", 0.0) for lane, tick in flags if tick is not None)]


def _look_for_answers(work: Work, orders: Orders, state: PlcState, tick: int) -> None:
    """Count orders without an answer, and tell of an outlet that gives none; what a PLC that stands had queued is lost."""
    before = orders.unanswered
    if state.lost or not (state.running and state.heartbeat_ok):
        orders.forget()
    for alarm in orders.look(state.reports, tick):
        work.alarm(alarm)
    work.station.count("ejections_unanswered", orders.unanswered - before)


def _margins(work: Work, taken: list[Ejection]) -> None:
    """Count how long before the last moment, the PLC's lead before it fires, each ejection was in its queue."""
    belt = work.board.belt()
    if belt is None or belt[2] <= 0:
        return
    tick = tick_at(belt, work.now_ns())
    for ejection in taken:
        margin_ns = (ejection.fire_tick - tick) / belt[2] * SECOND_NS - work.config.line.lead_ms * 1e6
        work.station.took("margin", max(int(margin_ns), 0))
        work.station.count("ejections_late", margin_ns < 0)
