from pathlib import Path

import pytest

from api import lane_processes
from api.lane_processes import LaneProcesses
from api.lanes import Lanes
from inference.errors import InferenceFailed
from inference.remote import Lost, Question, Unavailable
from inference.stop import Stop

QUESTION = Question("leaf", "mark", {})


def predict(answers: list[bytes | Exception], monkeypatch: pytest.MonkeyPatch) -> object:
    def ask(*_: object) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(lane_processes.remote, "ask", ask)
    monkeypatch.setattr(lane_processes.remote, "read_answer", bytes.decode)
    return LaneProcesses(Path("s"), Lanes(1)).predict(QUESTION, b"image", Stop())


def test_another_process_is_asked_where_the_first_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert predict([Lost(), b"prediction"], monkeypatch) == "prediction"


def test_a_picture_of_which_two_processes_die_is_not_tried_on_a_third(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InferenceFailed, match="died"):
        predict([Lost(), Lost(), b"prediction"], monkeypatch)


def test_who_was_lost_may_have_been_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable):
        predict([Lost(), Unavailable()], monkeypatch)
