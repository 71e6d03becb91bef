import itertools
import json
import re
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from flask.testing import FlaskClient

from api.access_log import ARRIVED_KEY, TOLD_KEY, AccessLog, tell, without_webhook
from logs import Format

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENVIRON = {"REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": "POST", "RAW_URI": "/predict", "SERVER_PROTOCOL": "HTTP/1.1",
           "HTTP_USER_AGENT": 'a "quoted" client', ARRIVED_KEY: 0.0}


def test_a_request_is_one_line_with_its_id(tmp_path: Path) -> None:
    AccessLog(tmp_path / "access.log").write(ENVIRON, "200 OK", 457, "abc")
    line = (tmp_path / "access.log").read_text()
    assert re.fullmatch(r'127\.0\.0\.1 \[[^]]+\] "POST /predict HTTP/1\.1" 200 457 \d+us '
                        r'"a \'quoted\' client" abc\n', line)


def test_what_was_decided_stands_behind_it(tmp_path: Path) -> None:
    environ = {**ENVIRON}
    tell(environ, model="leaf", route="job", predicted_ms=612.5)
    tell(environ, job="7")
    AccessLog(tmp_path / "access.log").write(environ, "202 Accepted", 457, "abc")
    assert (tmp_path / "access.log").read_text().endswith(" abc model=leaf route=job predicted_ms=612.5 job=7\n")


def test_a_refusal_is_logged_with_its_problem(client: FlaskClient, tmp_path: Path) -> None:
    environ: dict[str, Any] = {**ENVIRON, TOLD_KEY: {}}
    client.get("/models/moon", headers={"traceparent": TRACEPARENT}, environ_overrides={TOLD_KEY: environ[TOLD_KEY]})
    for kind in get_args(Format):
        AccessLog(tmp_path / kind, kind).write(environ, "404 NOT FOUND", 9, "abc")
    assert " abc problem=model-not-found trace=" in (tmp_path / "text").read_text()
    assert json.loads((tmp_path / "json").read_text())["problem"] == "model-not-found"


def test_a_request_is_an_object_where_that_is_wanted(tmp_path: Path) -> None:
    environ = {**ENVIRON, "RAW_URI": "/predict?webhook=s3cret", ARRIVED_KEY: time.perf_counter() - 1}
    tell(environ, model="잎", route="quick", predicted_ms=8.5)
    AccessLog(tmp_path / "access.log", "json").write(environ, "200 OK", 457, "abc")
    told = json.loads((tmp_path / "access.log").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert 1000 <= told.pop("ms") < 5000
    assert told == {"client": "127.0.0.1", "method": "POST", "target": "/predict?webhook=...", "protocol": "HTTP/1.1",
                    "status": 200, "bytes": 457, "agent": 'a "quoted" client', "request_id": "abc", "model": "잎",
                    "route": "quick", "predicted_ms": 8.5}


@pytest.mark.parametrize(("target", "logged"), [
    ("/predict", "/predict"), ("/predict?", "/predict?"), ("/predict?a=1&&b", "/predict?a=1&&b"),
    ("/predict?webhook=https://a.org/?s3cret&top_k=1", "/predict?webhook=...&top_k=1"),
    ("/predict?a=%20&%77ebhook=s3cret", "/predict?a=%20&%77ebhook=..."),
    ("/predict?webhook_events_filter=start", "/predict?webhook_events_filter=start")])
def test_the_url_of_a_webhook_is_not_logged(target: str, logged: str) -> None:
    assert without_webhook(target) == logged


def test_a_log_that_was_moved_away_is_begun_anew_in_the_next_second(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", itertools.count(1_795_000_000).__next__)
    log, file = AccessLog(tmp_path / "access.log"), tmp_path / "access.log"
    log.write(ENVIRON, "200 OK", 1, "first")
    file.rename(tmp_path / "access.log.1")
    log.write(ENVIRON, "200 OK", 1, "second")
    assert "second" in file.read_text()
    assert "first" in (tmp_path / "access.log.1").read_text()


def test_where_the_file_cannot_be_opened_nothing_is_written_elsewhere_and_that_is_said_once(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(time, "time", itertools.count(1_795_000_000).__next__)
    log, file = AccessLog(tmp_path / "access.log"), tmp_path / "access.log"
    log.write(ENVIRON, "200 OK", 1, "first")
    file.unlink()
    file.mkdir()
    log.write(ENVIRON, "200 OK", 1, "second")
    with (tmp_path / "connection").open("w+") as other:  # would get the number of a file that was closed
        log.write(ENVIRON, "200 OK", 1, "second")
        assert other.read() == ""
    assert caplog.messages == [f"requests are not logged, {file} cannot be written: Is a directory"]
    file.rmdir()
    log.write(ENVIRON, "200 OK", 1, "third")
    assert "third" in file.read_text()


def test_two_processes_add_to_the_same_file(tmp_path: Path) -> None:
    logs = [AccessLog(tmp_path / "access.log") for _ in range(2)]
    for log in logs * 2:
        log.write(ENVIRON, "404 NOT FOUND", 9, "x")
    assert len((tmp_path / "access.log").read_text().splitlines()) == 4
