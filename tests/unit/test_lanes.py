"""gevent without monkey patching: `threading` here is native, as it is inside a lane's call."""

import os
import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from api.lanes import BORROW_S, INTAKE_THREADS, LOW_PRIORITY, Lane, Lanes
from inference.remote import Unavailable

PATIENCE_S = 20


def started(slots: int = 1, shared: Any = None) -> Lane:
    lane = Lane(slots, shared=shared)
    lane.start()
    return lane


class Gate:
    """A native call that lasts until it is let go."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.entered.set()
        return self.open.wait(PATIENCE_S)

    def wait_until_entered(self) -> None:
        """Without blocking the hub."""
        while not self.entered.is_set():
            gevent.sleep(0.001)


def wait_for_all(*greenlets: gevent.Greenlet) -> list:
    gevent.joinall(greenlets, timeout=PATIENCE_S, raise_error=True)
    assert all(greenlet.ready() for greenlet in greenlets), "still waiting"
    return [greenlet.value for greenlet in greenlets]


def test_the_value_and_the_wait_come_back() -> None:
    value, waited_ms = started().run(lambda: 6 * 7)
    assert value == 42
    assert 0 <= waited_ms < 1000


def test_calls_run_in_a_native_thread_while_the_hub_goes_on() -> None:
    lane, gate = started(), Gate()
    call = gevent.spawn(lane.run, lambda: (gate(), threading.get_ident()))
    gate.wait_until_entered()
    gate.open.set()
    [((was_let_go, thread), _)] = wait_for_all(call)
    assert was_let_go
    assert thread != threading.get_ident()


def test_first_come_first_served() -> None:
    lane, gate, order = started(), Gate(), []
    first = gevent.spawn(lane.run, gate)
    gate.wait_until_entered()
    others = [gevent.spawn(lane.run, lambda number=number: order.append(number)) for number in range(5)]
    gevent.sleep(0)
    gate.open.set()
    wait_for_all(first, *others)
    assert order == [0, 1, 2, 3, 4]


def test_who_gives_a_slot_back_does_not_take_it_again_before_the_line() -> None:
    lane, gate, order = started(), Gate(), []

    def greedy() -> None:
        lane.run(gate)
        lane.run(lambda: order.append("greedy again"))

    first = gevent.spawn(greedy)
    gate.wait_until_entered()
    patient = gevent.spawn(lane.run, lambda: order.append("patient"))
    gevent.sleep(0)
    gate.open.set()
    wait_for_all(first, patient)
    assert order == ["patient", "greedy again"]


def test_no_more_calls_than_slots_run_at_a_time() -> None:
    lane, gates, lock = started(2), [Gate() for _ in range(5)], threading.Lock()
    running, most = 0, 0

    def counted(gate: Gate) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate()
        with lock:
            running -= 1

    calls = [gevent.spawn(lane.run, lambda gate=gate: counted(gate)) for gate in gates]
    for gate in gates:
        gate.wait_until_entered()
        gate.open.set()
    wait_for_all(*calls)
    assert most == 2


def test_the_wait_for_a_slot_is_told() -> None:
    lane, gate = started(), Gate()
    first = gevent.spawn(lane.run, gate)
    gate.wait_until_entered()
    second = gevent.spawn(lane.run, lambda: None)
    gevent.sleep(0.03)
    gate.open.set()
    [_, (_, waited_ms)] = wait_for_all(first, second)
    assert waited_ms >= 25


def fail() -> None:
    raise LookupError("as the call said")


def test_an_exception_comes_back_and_so_does_the_slot(capfd: pytest.CaptureFixture[str]) -> None:
    lane = started()
    for _ in range(3):
        with pytest.raises(LookupError, match="as the call said"):
            lane.run(fail)
    assert lane.run(lambda: "still there")[0] == "still there"
    assert "Traceback" not in capfd.readouterr().err


def test_the_slot_of_a_killed_caller_comes_back_when_its_native_call_ends() -> None:
    lane, gate, order = started(), Gate(), []

    def call() -> None:
        gate()
        order.append("native call ended")

    killed = gevent.spawn(lane.run, call)
    gate.wait_until_entered()
    killed.kill()
    following = gevent.spawn(lane.run, lambda: order.append("next began"))
    gevent.sleep(0.01)
    assert order == []
    gate.open.set()
    wait_for_all(following)
    assert order == ["native call ended", "next began"]


def test_who_is_killed_in_line_leaves_it() -> None:
    lane, gate, order = started(), Gate(), []
    first = gevent.spawn(lane.run, gate)
    gate.wait_until_entered()
    leaving, staying = (gevent.spawn(lane.run, lambda name=name: order.append(name)) for name in ("gone", "stayed"))
    gevent.sleep(0)
    leaving.kill()
    gate.open.set()
    wait_for_all(first, staying)
    assert order == ["stayed"]


def test_who_is_killed_with_a_slot_just_handed_over_passes_it_on() -> None:
    lane, gate = started(), Gate()
    first = gevent.spawn(lane.run, gate)
    gate.wait_until_entered()
    turn = lane.begin(lambda: "never")
    gate.open.set()
    turn.has_slot.wait()
    leaving = gevent.spawn(turn.wait)
    leaving.kill(block=False)
    wait_for_all(first)
    turn.withdraw()
    following = gevent.spawn(lane.run, lambda: "following")
    assert wait_for_all(following)[0][0] == "following"


def test_a_wait_can_be_given_up_and_taken_up_again() -> None:
    lane, gate = started(), Gate()
    turn = lane.begin(gate)
    assert not turn.wait(0.01)
    gate.open.set()
    assert turn.wait(PATIENCE_S)
    assert turn.result()[0] is True


def test_who_withdraws_is_never_run_and_who_runs_cannot() -> None:
    lane, gate, order = started(), Gate(), []
    running = lane.begin(gate)
    assert not running.wait(0.01)
    waiting = lane.begin(lambda: order.append("ran"))
    assert not waiting.wait(0.01)
    assert waiting.withdraw()
    assert not running.withdraw()
    gate.open.set()
    assert running.wait(PATIENCE_S)
    assert lane.run(lambda: "next")[0] == "next"
    assert order == []


def test_the_backlog_is_the_predicted_cost_of_all_that_wait_and_run() -> None:
    lane, gate = started(2), Gate()
    turns = [lane.begin(gate, cost_ms=30) for _ in range(3)]
    leaving = lane.begin(gate, cost_ms=100)
    assert lane.backlog_ms == pytest.approx(95)
    leaving.withdraw()
    assert lane.backlog_ms == pytest.approx(45)
    gate.open.set()
    wait_for_all(*(gevent.spawn(turn.wait) for turn in turns))
    gevent.sleep(0)
    assert lane.backlog_ms == pytest.approx(0)


def test_calls_that_hold_too_much_together_wait_and_one_that_is_too_large_runs_alone() -> None:
    lane = Lane(slots=3, max_bytes=100)
    lane.start()
    gates = [Gate() for _ in range(3)]
    turns = [lane.begin(gate, size_bytes=size) for gate, size in zip(gates, (60, 60, 500), strict=True)]
    calls = [gevent.spawn(turn.wait) for turn in turns]
    for gate, next_gate in zip(gates, [*gates[1:], None], strict=True):
        gate.wait_until_entered()
        gevent.sleep(0.01)
        assert next_gate is None or not next_gate.entered.is_set()
        gate.open.set()
    wait_for_all(*calls)


class Idle:
    """SharedSlots: those that other processes leave idle."""

    count = 4

    def __init__(self, *slots: int) -> None:
        self.slots = list(slots)

    def start(self) -> None:
        pass

    def take(self) -> int | None:
        return self.slots.pop() if self.slots else None

    def give_back(self, slot: int) -> None:
        self.slots.append(slot)


def test_who_waits_uses_a_slot_that_another_process_leaves_idle() -> None:
    idle, gates = Idle(0, 1), [Gate() for _ in range(3)]
    lane = started(shared=idle)
    calls = [gevent.spawn(lane.run, gate) for gate in gates]
    gates[0].wait_until_entered()
    gates[1].wait_until_entered()
    gevent.sleep(10 * BORROW_S)
    assert not gates[2].entered.is_set()
    idle.give_back(2)
    gates[2].wait_until_entered()
    for gate in gates:
        gate.open.set()
    wait_for_all(*calls)
    gevent.sleep(0)
    assert sorted(idle.slots) == [0, 1, 2]


def test_its_own_slot_a_lane_may_always_use() -> None:
    assert started(shared=Idle()).run(lambda: "ran")[0] == "ran"


def test_no_lane_borrows_anothers_slots() -> None:
    lanes = Lanes(1)
    lanes.start()
    gate = Gate()
    flood = [gevent.spawn(lanes.long.run, gate) for _ in range(3)]
    gate.wait_until_entered()
    assert lanes.quick.run(lambda: "quick")[0] == "quick"
    assert lanes.intake.run(lambda: "intake")[0] == "intake"
    gate.open.set()
    wait_for_all(*flood)


def test_only_the_long_lane_has_low_priority() -> None:
    lanes, own = Lanes(1), os.getpriority(os.PRIO_PROCESS, 0)
    lanes.start()
    [quick, long, intake] = [lane.run(lambda: os.getpriority(os.PRIO_PROCESS, 0))[0]
                             for lane in (lanes.quick, lanes.long, lanes.intake)]
    assert (quick, long, intake) == (own, LOW_PRIORITY, own)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_the_intake_has_threads_of_its_own() -> None:
    lanes, gates = Lanes(1), [Gate() for _ in range(INTAKE_THREADS)]
    lanes.start()
    calls = [gevent.spawn(lanes.intake.run, gate) for gate in gates]
    for gate in gates:
        gate.wait_until_entered()
    for gate in gates:
        gate.open.set()
    assert [value for value, _ in wait_for_all(*calls)] == [True] * INTAKE_THREADS


def elsewhere_or_here(elsewhere: Callable[[], str]) -> str:
    lane = Lane(1, LOW_PRIORITY)
    lane.start()
    turn = lane.begin(lambda: "here", elsewhere=elsewhere)
    assert gevent.spawn(turn.wait).get(timeout=PATIENCE_S)
    return turn.result()[0]


def test_a_call_may_run_elsewhere() -> None:
    assert elsewhere_or_here(lambda: "elsewhere") == "elsewhere"


def test_it_runs_here_where_nobody_else_takes_it() -> None:
    assert elsewhere_or_here(raising(Unavailable())) == "here"


def test_what_fails_elsewhere_is_not_run_again_here() -> None:
    with pytest.raises(ZeroDivisionError):
        elsewhere_or_here(raising(ZeroDivisionError()))


def raising(error: Exception) -> Callable[[], str]:
    def call() -> str:
        raise error

    return call
