"""How a question is asked, and asked again, against predictors that play a script on a real socket."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.errors import (
    CalledOff,
    InferenceError,
    InferenceFailed,
    ModelLoading,
    ModelNotFound,
    Overdue,
    PoisonImage,
    PredictorsAway,
    SlowToDecode,
    UnsupportedImage,
)
from inference.registry import Entry
from predictors import catalogue, client, deaths
from predictors.catalogue import Catalogue, Listing
from predictors.client import MOST_LOST, Prediction, Predictors, Run, Tensor
from predictors.deaths import Deaths
from predictors.protocol import Inbox, Message, packed
from state_dir import StateDir
from tests.unit.fake_predictors import LEAF

ANSWER = {"kind": "answer", "model_version": "1", "image": {"width": 4}, "timings_ms": {"decode": 1.0}, "queue_ms": 2.0,
          "samples": [["decode", [1.0, 2.0], 3.0]]}
LARGE = bytes(20_000_000)
Act = Callable[[socket.socket, Message], object]  # what a predictor does with one question


def tell(connection: socket.socket, head: dict[str, Any], body: bytes = b"") -> None:
    connection.sendall(b"".join(packed(head, [body])))


def answers(connection: socket.socket, question: Message) -> None:
    tell(connection, {"kind": "begun", "predictor": "quick-1"})
    tell(connection, ANSWER, b'{"n": 1}')


def refuses(error: str) -> Act:
    return lambda connection, question: tell(connection, {"kind": "error", "error": error, "detail": "as it said"})


def not_mine(connection: socket.socket, question: Message) -> None:
    tell(connection, {"kind": "begun", "predictor": "quick-1"})
    tell(connection, {"kind": "not-mine"})


def goes_before_it_begins(connection: socket.socket, question: Message) -> None:
    """The connection is closed."""


class Scripted:
    """A group of predictors: each question is met by the next act, and its connection closed then."""

    def __init__(self, state: StateDir, name: str = "quick") -> None:
        self.path, self.acts, self.asked = state.socket(name), list[Act](), list[Message]()
        self.died: Callable[[str], object] = lambda name: None
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve)

    def start(self, *acts: Act) -> None:
        self.acts += acts
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread.start()

    def dies(self, status: int) -> Act:
        """A predictor begins, ends in that way, and its parent notes it."""
        def act(connection: socket.socket, question: Message) -> None:
            name = f"quick-{len(self.asked)}"
            tell(connection, {"kind": "begun", "predictor": name})
            Deaths(self.path.parent / "deaths").note(name, status, 7, is_replaced=True)

        return act

    def end(self) -> None:
        """Whatever act is missing or too much, the thread ends."""
        self._listener.close()
        if self._thread.is_alive():
            self._thread.join(10)
        assert not self._thread.is_alive()
        assert not self.acts, "not all was asked that the test expects"

    def _serve(self) -> None:
        while self.acts:
            connection = self._listener.accept()[0]
            with connection, suppress(ConnectionError):  # an asker may be gone
                question = Inbox(connection).receive()
                self.asked.append(question)
                self.acts.pop(0)(connection, question)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    catalogue.write(tmp_path / "catalogue.json", Listing([
        Entry("leaf", "1", "ready", model=LEAF), Entry("late", "1", "loading"), Entry("empty", "1", "failed", "empty"),
        Entry("gpu", "1", "ready", model=replace(LEAF, on_device=True, spec=replace(LEAF.spec, name="gpu")))]))
    return StateDir(tmp_path)


@pytest.fixture
def predictors(state: StateDir) -> Predictors:
    return Predictors(state, Catalogue(state.catalogue))


@pytest.fixture
def quick(state: StateDir) -> Iterator[Scripted]:
    scripted = Scripted(state)
    yield scripted
    scripted.end()


def ask(predictors: Predictors, image: bytes = b"image", model: str = "leaf",
        deadline: float | None = None) -> Run[Prediction]:
    return predictors.predict("quick", model, {"top_k": 3}, image, deadline)


def ends(run: Run[Prediction]) -> Prediction:
    assert run.wait(20)
    return run.result()


def test_an_answer_is_told_as_it_came(predictors: Predictors, quick: Scripted) -> None:
    quick.start(answers)
    found = ends(ask(predictors))
    assert found == Prediction(b'{"n": 1}', "1", {"width": 4}, {"decode": 1.0}, 2.0, (("decode", (1.0, 2.0), 3.0),))


def test_a_question_names_the_model_that_is_served(predictors: Predictors, quick: Scripted) -> None:
    quick.start(answers)
    ends(ask(predictors, deadline=time.monotonic() + 20))
    [asked] = quick.asked
    assert asked.body == b"image"
    assert asked.head["parameters"] == {"top_k": 3}
    assert [asked.head[name] for name in ("name", "version", "fingerprint")] == ["leaf", "1", LEAF.fingerprint]
    assert asked.head["deadline"] > asked.head["sent_at"]


@pytest.mark.parametrize(("route", "name"), [("quick", "device-inline"), ("long", "device-inline"),
                                             ("job", "device-job")])
def test_a_model_on_a_device_is_asked_at_its_own_sockets(predictors: Predictors, state: StateDir, route: Any,
                                                         name: str) -> None:
    device = Scripted(state, name)
    device.start(answers)
    assert ends(predictors.predict(route, "gpu", {}, b"image")).model_version == "1"
    device.end()


def test_a_drawing_is_asked_for_on_the_long_route(predictors: Predictors, state: StateDir) -> None:
    long = Scripted(state, "long")
    long.start(lambda connection, question: tell(connection, {"kind": "answer"}, b"drawn"))
    run = predictors.draw("long", b"image", b"{}", "image/png", {})
    assert run.wait(20)
    assert run.result().data == b"drawn"
    assert (long.asked[0].head["sizes"], long.asked[0].body) == ([5, 2], b"image{}")
    long.end()


def test_plain_numbers_are_told_with_what_they_are(predictors: Predictors, quick: Scripted) -> None:
    head = ANSWER | {"tensor": {"shape": [1, 2], "datatype": "FP32"}}
    quick.start(lambda connection, question: tell(connection, head, b"numbers"))
    found = ends(predictors.predict("quick", "leaf", {}, b"image", tensor_type="application/x-npy"))
    assert quick.asked[0].head["tensor_type"] == "application/x-npy"
    assert (found.result, found.tensor) == (b"", Tensor(b"numbers", [1, 2], "FP32"))


def test_plain_numbers_of_a_result_are_asked_for_on_the_long_route(predictors: Predictors, state: StateDir) -> None:
    long, head = Scripted(state, "long"), {"kind": "answer", "tensor": {"shape": [1, 2], "datatype": "FP32"}}
    long.start(lambda connection, question: tell(connection, head, b"numbers"))
    run = predictors.tensor(b"{}", "application/x-npy")
    assert run.wait(20)
    assert run.result() == Tensor(b"numbers", [1, 2], "FP32")
    assert (long.asked[0].head["media_type"], long.asked[0].body) == ("application/x-npy", b"{}")
    long.end()


@pytest.mark.parametrize(("name", "kind"), [("UnsupportedImage", UnsupportedImage), ("Overdue", Overdue),
                                            ("NewerThanThisClient", InferenceFailed)])
def test_an_error_is_raised_by_its_name(predictors: Predictors, quick: Scripted, name: str,
                                        kind: type[InferenceError]) -> None:
    quick.start(refuses(name))
    with pytest.raises(kind, match="as it said"):
        ends(ask(predictors))


@pytest.mark.parametrize(("model", "kind"), [("moon", ModelNotFound), ("empty", ModelNotFound),
                                             ("late", ModelLoading)])
def test_a_model_that_nobody_serves_is_told_at_once(predictors: Predictors, model: str,
                                                    kind: type[InferenceError]) -> None:
    with pytest.raises(kind):
        ask(predictors, model=model)


def test_begin_and_progress_can_be_seen_meanwhile(predictors: Predictors, quick: Scripted) -> None:
    go_on = [threading.Event() for _ in range(2)]

    def act(connection: socket.socket, question: Message) -> None:
        assert go_on[0].wait(10)
        tell(connection, {"kind": "begun", "predictor": "quick-1"})
        tell(connection, {"kind": "progress", "done": 3, "total": 9})
        assert go_on[1].wait(10)
        tell(connection, ANSWER)

    quick.start(act)
    run = ask(predictors)
    assert not run.wait(0.05)
    assert (run.begun, run.progress) == (False, (0, 0))
    go_on[0].set()
    while run.progress == (0, 0):
        assert not run.wait(0.01)
    assert (run.begun, run.progress) == (True, (3, 9))
    go_on[1].set()
    assert ends(run).queue_ms == 2.0


def test_what_is_not_theirs_is_asked_by_what_the_catalogue_says_then(predictors: Predictors, quick: Scripted,
                                                                     state: StateDir) -> None:
    def swaps(connection: socket.socket, question: Message) -> None:
        catalogue.write(state.catalogue, Listing([Entry("leaf", "2", "ready",
                                                        model=replace(LEAF, fingerprint="new"))]))
        not_mine(connection, question)

    quick.start(not_mine, swaps, answers)
    ends(ask(predictors))
    assert [asked.head["fingerprint"] for asked in quick.asked] == [LEAF.fingerprint, LEAF.fingerprint, "new"]


def test_a_model_that_is_gone_by_then_is_told(predictors: Predictors, quick: Scripted, state: StateDir) -> None:
    def removes(connection: socket.socket, question: Message) -> None:
        catalogue.write(state.catalogue, Listing([]))
        not_mine(connection, question)

    quick.start(removes)
    with pytest.raises(ModelNotFound):
        ends(ask(predictors))


def test_where_nobody_listens_for_long_the_predictors_are_away(predictors: Predictors,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AWAY_S", 0.05)
    with pytest.raises(PredictorsAway):
        ends(ask(predictors))


def test_who_comes_to_listen_in_time_is_asked(predictors: Predictors, quick: Scripted) -> None:
    run = ask(predictors)
    assert not run.wait(0.05)
    quick.start(answers)
    assert ends(run).model_version == "1"


def test_a_question_that_nobody_began_is_asked_again_without_blame(predictors: Predictors, quick: Scripted) -> None:
    quick.start(*[goes_before_it_begins] * (MOST_LOST + 1), answers)
    assert ends(ask(predictors)).model_version == "1"


def test_a_long_wait_in_line_does_not_count_as_away(predictors: Predictors, state: StateDir, quick: Scripted,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """The predictors all end after a question waited longer than AWAY_S, and are back a moment later."""
    monkeypatch.setattr(client, "AWAY_S", 0.3)
    first = socket.socket(socket.AF_UNIX)
    first.bind(str(state.socket("quick")))
    first.listen()
    run = ask(predictors)
    assert not run.wait(0.5)
    first.close()
    state.socket("quick").unlink()
    assert not run.wait(0.1)
    quick.start(answers)
    assert ends(run).model_version == "1"


def test_a_full_line_is_waited_for_in_vain_until_the_deadline(predictors: Predictors, state: StateDir) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state.socket("quick")))
        listener.listen(0)
        waiting = [ask(predictors) for _ in range(2)]
        assert not any(run.wait(0.05) for run in waiting)
        began = time.monotonic()
        with pytest.raises(Overdue):
            ends(ask(predictors, deadline=began + 0.2))
        assert time.monotonic() - began < 5
        for run in waiting:
            run.call_off()
            assert run.wait(5)


def test_a_predictor_that_decoded_for_too_long_is_no_crash(predictors: Predictors, quick: Scripted) -> None:
    quick.start(quick.dies(-signal.SIGPROF))
    run = ask(predictors)
    assert run.wait(20)
    with pytest.raises(SlowToDecode):
        run.result()


def test_a_refusal_tells_what_it_took(predictors: Predictors, quick: Scripted) -> None:
    quick.start(lambda connection, question: tell(connection, {
        "kind": "error", "error": "UnsupportedImage", "detail": "cut off", "samples": [["decode PNG", [1.0], 7.0]]}))
    run = ask(predictors)
    assert run.wait(20)
    with pytest.raises(UnsupportedImage) as refusal:
        run.result()
    assert refusal.value.samples == (("decode PNG", (1.0,), 7.0),)


def test_an_image_that_ends_two_predictors_is_poison(predictors: Predictors, quick: Scripted,
                                                     state: StateDir) -> None:
    quick.start(quick.dies(-11), quick.dies(1))
    with pytest.raises(PoisonImage):
        ends(ask(predictors))
    others = Predictors(state, Catalogue(state.catalogue))
    with pytest.raises(PoisonImage, match="is not tried again"):
        ends(ask(others))


def test_poison_to_one_model_may_be_read_by_another(predictors: Predictors, quick: Scripted, state: StateDir) -> None:
    quick.start(quick.dies(-11), quick.dies(-11), answers)
    with pytest.raises(PoisonImage):
        ends(ask(predictors))
    catalogue.write(state.catalogue, Listing([Entry("leaf", "2", "ready", model=replace(LEAF, fingerprint="new"))]))
    assert ends(ask(predictors)).model_version == "1"


def test_one_crash_costs_an_attempt(predictors: Predictors, quick: Scripted) -> None:
    quick.start(quick.dies(-11), answers)
    assert ends(ask(predictors)).model_version == "1"


def test_a_kill_from_outside_is_not_the_images_doing(predictors: Predictors, quick: Scripted) -> None:
    quick.start(*[quick.dies(-9)] * (MOST_LOST - 1), answers)
    assert ends(ask(predictors)).model_version == "1"


def test_too_many_kills_are(predictors: Predictors, quick: Scripted) -> None:
    quick.start(*[quick.dies(-9)] * MOST_LOST)
    with pytest.raises(PoisonImage):
        ends(ask(predictors))


def test_predictors_that_died_with_who_would_tell_are_asked_again(predictors: Predictors, quick: Scripted,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "TOLD_WITHIN_S", 0.03)

    def vanishes(connection: socket.socket, question: Message) -> None:
        tell(connection, {"kind": "begun", "predictor": "quick-1"})

    quick.start(vanishes, vanishes, answers)
    assert ends(ask(predictors)).model_version == "1"


def until_closed(connection: socket.socket, question: Message) -> None:
    tell(connection, {"kind": "begun", "predictor": "quick-1"})
    connection.settimeout(10)
    assert connection.recv(1) == b""


def test_a_deadline_that_passes_closes_the_connection(predictors: Predictors, quick: Scripted) -> None:
    quick.start(until_closed)
    with pytest.raises(Overdue):
        ends(ask(predictors, deadline=time.monotonic() + 0.3))


def test_a_deadline_that_has_passed_asks_nobody(predictors: Predictors) -> None:
    with pytest.raises(Overdue):
        ends(ask(predictors, deadline=time.monotonic() - 1))


def test_a_run_that_is_called_off_before_it_was_asked_asks_nobody(predictors: Predictors) -> None:
    run = ask(predictors)
    run.call_off()
    with pytest.raises(CalledOff):
        ends(run)


def called_off_meanwhile(run: Run[Prediction], when: threading.Event) -> None:
    """Another thread calls it off while this one waits."""
    def call_off() -> None:
        assert when.wait(10)
        run.call_off()

    other = threading.Thread(target=call_off)
    other.start()
    began = time.monotonic()
    with pytest.raises(CalledOff):
        ends(run)
    assert time.monotonic() - began < 5
    other.join(5)


def test_a_run_is_called_off_while_nobody_listens(predictors: Predictors) -> None:
    soon = threading.Event()
    threading.Timer(0.05, soon.set).start()
    called_off_meanwhile(ask(predictors), soon)


def test_a_run_is_called_off_while_it_is_computed(predictors: Predictors, quick: Scripted) -> None:
    begun = threading.Event()

    def act(connection: socket.socket, question: Message) -> None:
        begun.set()
        until_closed(connection, question)

    quick.start(act)
    called_off_meanwhile(ask(predictors), begun)


def test_a_run_is_called_off_while_a_large_image_waits_to_be_read(predictors: Predictors, state: StateDir) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state.socket("quick")))
        listener.listen()
        is_connected, connections = threading.Event(), list[socket.socket]()

        def accept() -> None:
            connections.append(listener.accept()[0])
            connections[0].recv(1)
            is_connected.set()

        reader = threading.Thread(target=accept)
        reader.start()
        called_off_meanwhile(ask(predictors, LARGE), is_connected)
        reader.join(5)
        connections[0].close()


def test_a_large_image_arrives_while_its_asker_looks_elsewhere_now_and_then(predictors: Predictors,
                                                                            quick: Scripted) -> None:
    quick.start(answers)
    run = ask(predictors, LARGE)
    while not run.wait(0.001):
        pass
    assert run.result().model_version == "1"
    assert quick.asked[0].body == LARGE


def test_calling_off_what_has_ended_changes_nothing(predictors: Predictors, quick: Scripted) -> None:
    quick.start(answers)
    run = ask(predictors)
    ends(run)
    run.call_off()
    assert ends(run).model_version == "1"
