"""A connection's limits, on a pair of sockets in place of gevent's."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from api import connection as connection_module
from api.connection import (
    FREE_CHUNKS,
    GRACE_S,
    HURRIED_S,
    IDLE_BODY_S,
    PIECE_BYTES,
    SEND_S,
    Arrival,
    Connection,
    Patience,
    limited,
)
from api.problems import BadRequest, TooSlow
from shares import Shares

KBPS = 8
PATIENCE = Patience(KBPS, 10**9, lambda: False)
LARGE = bytes(50_000_000)  # more than the kernel keeps for a connection


@dataclass(frozen=True)
class Pair:
    ours: Connection
    callers: socket.socket


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            yield Pair(Connection(accepted, PATIENCE), client)


@pytest.mark.parametrize(("received", "waited_s", "left_s"), [
    (0, 0, GRACE_S), (0, 9.9, 0.1), (79_000, 9.9, 0.1), (1000 * KBPS * 11, 10.5, 0.5),
    (1000 * KBPS * 100, 60, IDLE_BODY_S), (1000 * KBPS * 100, 90, 10), (10**9, 100, IDLE_BODY_S)])
def test_what_came_pays_for_the_time_that_may_pass(received: int, waited_s: float, left_s: float) -> None:
    assert Arrival(KBPS, False, waited_s, received).patience_s() == pytest.approx(left_s)


@pytest.mark.parametrize(("received", "waited_s"), [
    (0, GRACE_S), (100, 10.1), (1000 * KBPS * 11, 11.1), (1000 * KBPS * 100, 100.1)])
def test_a_body_that_comes_too_slowly_on_average_is_given_up(received: int, waited_s: float) -> None:
    with pytest.raises(TooSlow, match=f"{received} bytes.* 8 kB a second.*PUNNET_MIN_UPLOAD_KBPS"):
        Arrival(KBPS, False, waited_s, received).patience_s()


def chunks(size: int, count: int) -> bytes:
    return (f"{size:x}\r\n".encode() + b"x" * size + b"\r\n") * count


@pytest.mark.parametrize("data", [
    chunks(1, FREE_CHUNKS), chunks(16_384, 1000), chunks(76, 20_000), bytes(range(256)) * 100_000, b"\r\n" * 500,
])
def test_chunks_of_a_usual_size_and_a_few_small_ones_are_taken(data: bytes) -> None:
    arrival = Arrival(KBPS, chunked=True)
    for at in range(0, len(data), 8192):
        arrival.count(data[at:at + 8192], 0.0)


@pytest.mark.parametrize("size", [1, 2, 10, 50])
def test_absurdly_small_chunks_are_refused_before_many_were_parsed(size: int) -> None:
    arrival, sent = Arrival(KBPS, chunked=True), chunks(size, 100_000)
    with pytest.raises(BadRequest, match="64 bytes"):
        for at in range(0, len(sent), 8192):
            arrival.count(sent[at:at + 8192], 0.0)
    assert arrival.line_ends <= 2 * FREE_CHUNKS + 8192


def test_a_body_with_a_length_may_hold_any_line_ends() -> None:
    Arrival(KBPS).count(b"\r\n" * 100_000, 0.0)


def test_a_part_of_a_body_is_read_through_the_limits(pair: Pair) -> None:
    arrival = pair.ours.arrival(chunked=False)
    pair.callers.sendall(b"abc")
    assert pair.ours.read_body(pair.ours.recv, 10, arrival) == b"abc"
    assert arrival.received == 3
    assert pair.ours.gettimeout() is None


def test_a_caller_of_whom_nothing_comes_is_given_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "GRACE_S", 0.05)
    with pytest.raises(TooSlow):
        pair.ours.read_body(pair.ours.recv, 10, pair.ours.arrival(chunked=False))
    assert pair.ours.gettimeout() is None


def test_a_byte_now_and_then_is_too_slow_though_a_pause_is_never_long(pair: Pair,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "GRACE_S", 0.2)
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.02):
            pair.callers.sendall(b"x")

    sender = threading.Thread(target=trickle)
    sender.start()
    arrival = pair.ours.arrival(chunked=False)
    try:
        with pytest.raises(TooSlow):
            while True:
                pair.ours.read_body(pair.ours.recv, 10, arrival)
    finally:
        stop.set()
        sender.join()
    assert arrival.received > 1


def test_outside_of_a_body_the_socket_is_as_it_was(pair: Pair) -> None:
    pair.callers.sendall(b"GET /")
    assert pair.ours.recv(3, socket.MSG_PEEK) == b"GET"
    assert pair.ours.recv(100) == b"GET /"
    pair.ours.settimeout(0.01)
    with pytest.raises(TimeoutError):
        pair.ours.recv(1)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3_000_000])
def test_an_answer_of_any_size_arrives_whole(pair: Pair, size: int) -> None:
    data, received = bytes(range(256)) * (size // 256 + 1), bytearray()

    def send() -> None:
        pair.ours.sendall(data[:size])
        pair.ours.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    while step := pair.callers.recv(1 << 20):
        received += step
    sender.join()
    assert bytes(received) == data[:size]


def test_a_caller_who_reads_nothing_is_cut_off(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "SEND_S", 0.1)
    with pytest.raises(ConnectionResetError):
        pair.ours.sendall(LARGE)
    pair.ours.close()
    with pytest.raises(ConnectionResetError):  # the kernel does not go on sending for us
        while pair.callers.recv(1 << 20):
            pass


def test_a_caller_who_reads_a_little_now_and_then_is_cut_off(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often some bytes are taken, a piece of an answer has its time."""
    monkeypatch.setattr(connection_module, "SEND_S", 0.5)
    pair.callers.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 13)
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.02):
            pair.callers.recv(1000)

    reader = threading.Thread(target=trickle)
    reader.start()
    try:
        with pytest.raises(ConnectionResetError):
            pair.ours.sendall(LARGE)
    finally:
        stop.set()
        reader.join()


def test_who_does_not_read_has_less_time_where_much_is_held_or_the_service_stops() -> None:
    draining: list[bool] = []
    patience = Patience(KBPS, 100, lambda: bool(draining))
    assert patience.send_s == SEND_S
    with patience.holding(100):
        assert patience.send_s == SEND_S
        with patience.holding(1):
            assert patience.send_s == HURRIED_S
    assert (patience.send_s, patience.unsent_bytes) == (SEND_S, 0)
    draining.append(True)
    assert patience.send_s == HURRIED_S


def test_a_caller_whose_answer_waits_is_cut_off_soon_once_the_service_stops(monkeypatch: pytest.MonkeyPatch,
                                                                            pair: Pair) -> None:
    monkeypatch.setattr(connection_module, "HURRIED_S", 0.1)
    draining: list[bool] = []
    ours = Connection(pair.ours._socket, Patience(KBPS, 10**9, lambda: bool(draining)))
    threading.Timer(0.3, draining.append, (True,)).start()
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        ours.sendall(LARGE)
    assert 0.3 <= time.monotonic() - began < SEND_S / 2


def test_a_caller_who_reads_slowly_but_steadily_gets_all_of_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "SEND_S", 0.3)
    pair.callers.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    received = 0

    def read() -> None:
        nonlocal received
        while step := pair.callers.recv(1 << 15):
            received += len(step)
            threading.Event().wait(0.005)

    reader = threading.Thread(target=read)
    reader.start()
    pair.ours.sendall(LARGE[:5_000_000])
    pair.ours.shutdown(socket.SHUT_WR)
    reader.join()
    assert received == 5_000_000


@pytest.mark.parametrize(("address", "handled"), [
    (("10.0.0.1", 1), False), (("10.0.0.2", 1), True), (("2001:db8::1", 1, 0, 0), True), ("", True)])
def test_an_address_that_has_all_connections_gets_no_further_one_and_others_do(pair: Pair, address: tuple,
                                                                               handled: bool) -> None:
    places, seen = Shares(4), list[object]()
    for _ in range(4):
        places.take("10.0.0.1", 1)
    limited(lambda *given: seen.append(places.total), PATIENCE, places)(None, pair.ours._socket, address)
    assert seen == [5] * handled
    assert places.total == 4
    assert (pair.ours.fileno() >= 0) is handled
