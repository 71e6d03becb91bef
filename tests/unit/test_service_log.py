import time
from pathlib import Path

import pytest

from ops import service_log
from ops.service_log import ServiceLog


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_log, "POLL_S", 0.001)


def test_what_is_logged_meanwhile_is_shown_in_whole_lines(tmp_path: Path, capfdbinary: pytest.CaptureFixture) -> None:
    (tmp_path / "worker.log").write_text("before\n")
    (tmp_path / "supervisor.log").write_text("CRIT\n")
    with ServiceLog(tmp_path), (tmp_path / "worker.log").open("a") as worker:
        (tmp_path / "access.log").write_text("GET /\n")
        for part in ("one\ntw", "o\nthr"):
            print(part, end="", file=worker, flush=True)
            time.sleep(0.01)  # it is looked at between the parts, or not: nothing shows which
    assert sorted(capfdbinary.readouterr().out.splitlines()) == [b"GET /", b"one", b"two"]


def test_a_file_that_is_moved_away_is_followed_to_its_end_and_then_the_new_one(
        tmp_path: Path, capfdbinary: pytest.CaptureFixture) -> None:
    log = tmp_path / "worker.log"
    log.touch()
    with ServiceLog(tmp_path):
        with log.open("a") as file:
            file.write("old\n")
        log.rename(tmp_path / "worker.log.1")
        log.write_text("new\n")
    assert capfdbinary.readouterr().out == b"old\nnew\n"
