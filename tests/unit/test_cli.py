"""The command line and its client, against a server of a few lines."""

import http.server
import json
import os
import pty
import select
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unicodedata import normalize

import pytest

from cli import __main__ as program
from cli.address import own_url
from cli.client import Client, Refused, Unreachable
from cli.files import NoImage, drawings, images
from cli.journal import Journal
from cli.predict import Wish, predict_all
from cli.tables import lines, told

ANSWER = {"status": 200, "id": "1", "result": {"task": "image-classification", "predictions": [
    {"label": "[bold]leaf", "score": 0.9}]}, "timings_ms": {"total": 12.3}}
Reply = tuple[int, dict[str, str], Any]


class Script(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replies: list[Reply]
    asked: list[tuple[str, str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, dict(self.headers), body))
        status, headers, document = self.replies.pop(0) if self.replies else (200, {}, ANSWER)
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_DELETE = do_POST  # noqa: N815 (names of the library)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def script() -> Iterator[type[Script]]:
    kind = type("Scripted", (Script,), {"replies": [], "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        kind.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kind
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images, of which two have the same bytes, and something else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "images"
    made.mkdir()
    for name, data in (("a.jpg", b"one"), ("b.PNG", b"two"), ("c.webp", b"three"), ("notes.txt", b"")):
        (made / name).write_bytes(data)
    return made


def run(script: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["punnet", "--url", script.url, "--key", "secret", *arguments])
    return program.main()


def test_an_image_is_posted_with_the_key_and_answered(script: Any) -> None:
    client = Client(script.url, "secret")
    assert client.predict(b"image", "leaf", "once", threshold=0.5) == ANSWER
    method, path, headers, body = script.asked[0]
    assert (method, path, body) == ("POST", "/predict?model_type=leaf&threshold=0.5", b"image")
    assert (headers["Authorization"], headers["Idempotency-Key"]) == ("Bearer secret", "once")


def test_a_job_is_waited_for(script: Any) -> None:
    script.replies += [(202, {}, {"status": 202, "id": "7"}), (202, {}, {"status": 202, "id": "7"}), (200, {}, ANSWER)]
    assert Client(script.url).predict(b"image", "leaf") == ANSWER
    assert [path for _, path, _, _ in script.asked[1:]] == ["/jobs/7/result?wait=30"] * 2


def test_who_is_told_to_come_again_does_so(script: Any) -> None:
    script.replies += [(status, {"Retry-After": "0"}, {}) for status in (503, 429, 409)]
    assert Client(script.url).predict(b"image", "leaf", "once") == ANSWER
    assert len(script.asked) == 4


def test_a_problem_is_told(script: Any) -> None:
    script.replies += [(415, {"Content-Type": "application/problem+json"}, {"detail": "this is a text"})]
    with pytest.raises(Refused, match="this is a text") as raised:
        Client(script.url).predict(b"image", "leaf")
    assert raised.value.status == 415
    with pytest.raises(Unreachable, match="does not answer"):
        Client("http://127.0.0.1:1").models()


@pytest.mark.parametrize(("variable", "file", "url"), [
    (None, None, "http://127.0.0.1:4958"), (None, "PUNNET_BIND=0.0.0.0:80\n", "http://127.0.0.1:80"),
    (None, "PUNNET_WORKERS=2\n", "http://127.0.0.1:4958"), ("[::1]:81", "PUNNET_BIND=0.0.0.0:80\n", "http://[::1]:81")])
def test_the_server_of_this_machine_is_found_by_its_settings(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, file: str | None, url: str) -> None:
    monkeypatch.delenv("PUNNET_BIND", raising=False)
    if variable:
        monkeypatch.setenv("PUNNET_BIND", variable)
    if file:
        (tmp_path / ".env").write_text(file, "utf-8-sig")
    assert own_url(tmp_path / ".env") == url


def test_images_are_found_in_folders_once(folder: Path) -> None:
    found = images([str(folder), str(folder / "a.jpg"), str(folder / "notes.txt")])
    assert [path.name for path in found] == ["a.jpg", "b.PNG", "c.webp", "notes.txt"]
    for name in ("missing.jpg", "."):
        with pytest.raises(NoImage):
            images([str(folder.parent / "empty" if name == "." else folder / name)])


def test_no_drawing_takes_anothers_place(tmp_path: Path) -> None:
    files = [Path("a/1.jpg"), Path("b/1.jpg"), Path("b/1.png"), Path("b/2.jpg")]
    assert [str(path.relative_to(tmp_path)) for path in drawings(files, tmp_path).values()] == [
        "a/1.jpg.png", "b/1.jpg.png", "b/1.png.png", "2.png"]


def test_answers_are_a_table_or_lines_of_json(script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture) -> None:
    assert run(script, monkeypatch, "predict", str(folder), "--model", "leaf") == 0
    assert "[bold]leaf 90%" in capsys.readouterr().out
    script.replies += [(415, {}, {"detail": "this is a text"})]
    assert run(script, monkeypatch, "predict", str(folder), "--model", "leaf", "--json", "--at-a-time", "1") == 1
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert sorted(line["status"] for line in lines) == [200, 200, 415]
    assert "1 of 3 images were not answered" in printed.err


def test_lines_go_to_their_file_while_a_terminal_is_told_how_far_it_is(
        script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    screen, terminal = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(terminal, "w") as shown:
        monkeypatch.setattr("sys.stderr", shown)
        assert run(script, monkeypatch, "predict", str(folder), "--model", "leaf", "--json") == 0
        assert {json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()} == {200}
        seen = b""
        while select.select([screen], [], [], 0.1)[0]:
            seen += os.read(screen, 1 << 16)
        assert b"predicting" in seen
    os.close(screen)


def test_columns_are_aligned_as_a_terminal_shows_letters() -> None:
    rows = [("딸기.jpg", "1", "healthy 99%"), ("a.jpg", "12", ""), (normalize("NFD", "é.jpg"), "3", "x")]
    assert list(lines(("image", "ms", "answer"), rows)) == [
        "image     ms  answer", "딸기.jpg  1   healthy 99%", "a.jpg     12  ", normalize("NFD", "é.jpg     3   x")]
    assert list(lines(("id", "state"), ())) == ["id  state"]


@pytest.mark.parametrize(("answer", "text"), [
    (ANSWER, "[bold]leaf 90%"), ({"result": {"task": "tensor"}}, "tensor"),
    ({"result": {"task": "", "predictions": []}}, "nothing found"), ({"error": {"title": "Lost"}}, "Lost"),
    ({"result": {"task": "", "predictions": [{"label": "a", "score": None}] * 5}}, "a, a, a … 5 in all")])
def test_an_answer_is_told_in_a_line(answer: dict, text: str) -> None:
    assert told(answer) == text


def test_a_second_call_does_no_image_twice(script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture) -> None:
    script.replies += [(504, {}, {"detail": "a proxy's own"})]
    call = ("predict", str(folder), "--model", "leaf", "--json", "--at-a-time", "1")
    assert run(script, monkeypatch, *call) == 1
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in script.asked]
    capsys.readouterr()
    assert run(script, monkeypatch, *call, "--resume") == 0
    assert [headers["Idempotency-Key"] for _, _, headers, _ in script.asked] == [*keys, keys[0]]
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(script, monkeypatch, *call) == 0  # without --resume all are asked again, under other keys
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in script.asked}) == 6


def test_an_image_that_failed_is_tried_again_under_another_key(script: Any, folder: Path, capsys: Any,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """A job stays its key's, however it ended."""
    script.replies += [(500, {}, {"type": "/problems/worker-lost", "detail": "lost"})]
    call = ("predict", str(folder), "--model", "leaf", "--json", "--at-a-time", "1")
    assert run(script, monkeypatch, *call) == 1
    failed = script.asked[0][2]["Idempotency-Key"]
    asked = len(script.asked)
    assert run(script, monkeypatch, *call, "--resume") == 0
    assert [headers["Idempotency-Key"] for _, _, headers, _ in script.asked[asked:]] == [f"{failed}-1"]


def test_who_stops_looking_waits_for_those_alone_that_are_under_way(folder: Path, tmp_path: Path) -> None:
    files = [folder / f"{number}.jpg" for number in range(50)]
    for file in files:
        file.write_bytes(file.name.encode())
    asked: list[bytes] = []

    def predict(image: bytes, *_: str, **__: str) -> dict[str, Any]:
        asked.append(image)
        time.sleep(0.01)
        return ANSWER

    client, journal = cast(Client, SimpleNamespace(predict=predict)), Journal(tmp_path / "run", resume=False)
    done = predict_all(client, files, Wish("leaf", {}), journal, at_a_time=2)
    next(done)
    cast(Generator, done).close()
    assert 0 < len(asked) < len(files)


def test_a_line_that_a_kill_cut_short_is_asked_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", resume=False)
    journal.note("one", ANSWER)
    journal.close()
    with (tmp_path / "run").open("a") as file:
        file.write('["two", {"sta')
    again = Journal(tmp_path / "run", resume=True)
    assert (again.run, again.answer("one"), again.answer("two")) == (journal.run, ANSWER, None)
    again.note("two", ANSWER)
    again.close()
    assert Journal(tmp_path / "run", resume=True).answer("two") == ANSWER
