"""What clients of all kinds send, and what comes of it: cases byte by byte, refusals of every layer, bodies that are
slow, absurd or larger than they look. What takes ten seconds begins with the module and is looked at in its end."""

import gzip
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.images import leaf, photograph
from tests.integration.server import Answer, Server, memory_mb, wait_until

CASES = Path(__file__).parents[1] / "cases"
RAW = ("POST /predict?model_type=strawberry&mode=sync HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\n"
       "Content-Length: {}\r\n{}\r\n")
TCP_CLOSE = 7  # the state of a connection that was reset, in the first byte of TCP_INFO
MB = 1_000_000


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def read_answer(client: socket.socket) -> Answer:
    response = http.client.HTTPResponse(client)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def is_reset(client: socket.socket) -> bool:
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE


def exchange(server: Server, sent: bytes) -> Answer:
    """The answer to these bytes, which may come before all are sent."""
    with connect(server) as client:
        sender = threading.Thread(target=client.sendall, args=(sent,))
        sender.start()
        answer = read_answer(client)
        sender.join()
        return answer


@pytest.fixture(scope="module", autouse=True)
def slow_senders(server: Server) -> Iterator[list[socket.socket]]:
    """Eight that announce a large JSON body and send one byte."""
    head = RAW.format("application/json", 42 * MB, "").encode()
    clients = [connect(server) for _ in range(8)]
    for client in clients:
        client.sendall(head + b"{")
    yield clients
    for client in clients:
        client.close()


@pytest.fixture(scope="module", autouse=True)
def who_read_nothing(server: Server) -> Iterator[list[socket.socket]]:
    """Three who ask for megabytes."""
    image = photograph(2)
    clients = [connect(server) for _ in range(3)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        client.sendall(RAW.format("image/jpeg", len(image), "Accept: image/png\r\n").encode() + image)
    yield clients
    for client in clients:
        client.close()


EXPECTED = {"picture-wanted.http": "image/png"}


@pytest.mark.parametrize("path", sorted(CASES.rglob("*.http")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_case_is_answered_as_it_should_be(server: Server, path: Path) -> None:
    answer = exchange(server, path.read_bytes())
    assert (answer.status, answer.headers["Content-Type"]) == (200, EXPECTED.get(path.name, "application/json"))


def test_who_announces_and_does_not_send_keeps_nobody_out(server: Server, slow_senders: list[socket.socket]) -> None:
    body = json.dumps({"model_type": "strawberry", "image": "A" * 4 * MB})
    kind = {"Content-Type": "application/json"}
    answers = [server.request("POST", "/predict", body, kind).status for _ in range(4)]
    answers += [server.predict(leaf()).status for _ in range(20)]
    assert answers == [415] * 4 + [200] * 20


@pytest.mark.parametrize(("sent", "status"), [
    (b"GARBAGE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (b"GET /" + b"x" * MB + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 200-maybe\r\n\r\n", 417),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"x" * 9000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: x\r\n" * 200 + b"\r\n", 431),
    (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: br\r\n\r\n", 501),
    (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505), (b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
], ids=lambda value: str(value)[:40])
def test_what_gunicorn_refuses_is_a_problem_document(server: Server, sent: bytes, status: int) -> None:
    answer = exchange(server, sent)
    assert answer.is_problem(status, "not-implemented" if status == 501 else "bad-request"), answer
    assert answer.headers["X-Request-ID"] == answer.json["request_id"]
    assert f"{answer.json['request_id']} from 127.0.0.1 is refused with {status}" in server.log("error.log")


def test_a_compressed_body_is_unpacked(server: Server) -> None:
    packed = {"Content-Encoding": "gzip", "Content-Type": "image/jpeg"}
    path = "/predict?model_type=strawberry"
    assert server.request("POST", path, gzip.compress(leaf()), packed).status == 200
    body = gzip.compress(leaf())
    head = b"POST /predict?model_type=strawberry HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n" \
           b"Transfer-Encoding: gzip, chunked\r\n\r\n"
    assert exchange(server, head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)).status == 200
    bomb = gzip.compress(bytes(40 * MB))
    assert server.request("POST", path, bomb, packed).is_problem(413, "too-large")
    refused = server.request("POST", path, leaf(), packed | {"Content-Encoding": "br"})
    assert refused.is_problem(415, "unsupported-media-type")
    assert refused.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("body", [
    b'{"model_type":"strawberry","x":[' + b"{}," * 14 * MB + b"{}]}", b"a&" * 21 * MB], ids=["json", "form"])
def test_a_body_of_millions_of_values_is_refused_at_once(server: Server, body: bytes) -> None:
    web = server.pids()["web process"]
    before, begin = memory_mb(web), time.monotonic()
    kind = "application/json" if body.startswith(b"{") else "application/x-www-form-urlencoded"
    assert server.request("POST", "/predict", body, {"Content-Type": kind}).is_problem(400, "bad-request")
    assert time.monotonic() - begin < 2
    assert memory_mb(web) - before < 60


def test_absurd_chunking_is_refused_at_once(server: Server) -> None:
    head = b"POST /predict?model_type=strawberry HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n" \
           b"Transfer-Encoding: chunked\r\n\r\n"
    begin = time.monotonic()
    assert exchange(server, head + b"1\r\nx\r\n" * 3 * MB + b"0\r\n\r\n").is_problem(400, "bad-request")
    assert time.monotonic() - begin < 2
    lines = b"".join(b"4c\r\n" + b"x" * 76 + b"\r\n" for _ in range(3000))
    assert exchange(server, head + lines + b"0\r\n\r\n").is_problem(415, "unsupported-image")


def test_the_types_that_may_be_sent_are_told(server: Server) -> None:
    answer = server.request("OPTIONS", "/predict")
    assert (answer.status, answer.body) == (200, b"")
    assert "image/*" in answer.headers["Accept-Post"]


def test_a_body_that_comes_too_slowly_is_408(slow_senders: list[socket.socket]) -> None:
    for client in slow_senders:
        answer = read_answer(client)
        assert answer.is_problem(408, "too-slow"), answer
        assert re.search("1 bytes|0 bytes", answer.json["detail"])


def test_a_caller_who_reads_nothing_is_cut_off(who_read_nothing: list[socket.socket]) -> None:
    for client in who_read_nothing:
        wait_until(partial(is_reset, client), 30)
        with pytest.raises(ConnectionResetError):
            while client.recv(MB):
                pass
