"""Messages between asker and predictor, however the socket cuts them."""

import socket
import threading
from collections.abc import Iterator

import pytest

from predictors.protocol import STEP_BYTES, Inbox, Message, packed, split

Pair = tuple[socket.socket, socket.socket]
BIG = bytes(range(256)) * 20_000


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def message_bytes(head: dict, *bodies: bytes) -> bytes:
    return b"".join(packed(head, bodies))


def test_a_message_that_comes_byte_by_byte_is_put_together(pair: Pair) -> None:
    ours, theirs = pair
    ours.setblocking(False)
    inbox = Inbox(ours)
    sent = message_bytes({"kind": "answer"}, b"abc", b"de")
    for position in range(len(sent) - 1):
        theirs.sendall(sent[position:position + 1])
        with pytest.raises(BlockingIOError):
            inbox.receive()
    theirs.sendall(sent[-1:])
    assert inbox.receive() == Message({"kind": "answer"}, b"abcde")


@pytest.mark.parametrize("step", [1, 7, 50, 1000])
def test_messages_that_come_together_are_told_apart(pair: Pair, step: int) -> None:
    ours, theirs = pair
    ours.settimeout(5)
    expected = [Message({"number": number}, b"x" * number) for number in (0, 40, 0, 3)]
    sent = b"".join(message_bytes(dict(message.head), message.body) for message in expected)
    for begin in range(0, len(sent), step):
        theirs.sendall(sent[begin:begin + step])
    inbox = Inbox(ours)
    assert [inbox.receive() for _ in expected] == expected


def test_a_timeout_in_the_middle_loses_nothing(pair: Pair) -> None:
    ours, theirs = pair
    sent = message_bytes({"kind": "answer"}, b"0123456789") + message_bytes({"kind": "next"})
    ours.settimeout(0.01)
    inbox = Inbox(ours)
    for begin, end in ((0, 5), (5, 20), (20, len(sent) - 30)):
        theirs.sendall(sent[begin:end])
        with pytest.raises(TimeoutError):
            inbox.receive()
    theirs.sendall(sent[len(sent) - 30:])
    assert inbox.receive().body == b"0123456789"
    assert inbox.receive().head == {"kind": "next"}


def test_a_body_larger_than_the_sockets_buffer_arrives(pair: Pair) -> None:
    ours, theirs = pair
    assert len(BIG) > 10 * STEP_BYTES
    sending = threading.Thread(target=theirs.sendall, args=(message_bytes({}, BIG, b"end"),))
    sending.start()
    assert Inbox(ours).receive().body == BIG + b"end"
    sending.join(5)


@pytest.mark.parametrize("arrived", [0, 3, 14, 30])
def test_a_connection_that_is_closed_in_the_middle_is_told(pair: Pair, arrived: int) -> None:
    ours, theirs = pair
    theirs.sendall(message_bytes({"kind": "answer"}, b"x" * 100)[:arrived])
    theirs.close()
    with pytest.raises(ConnectionError):
        Inbox(ours).receive()


@pytest.mark.parametrize("parts", [[b"abc"], [b"ab", b"", b"cde"], [b"", b""]])
def test_a_body_is_split_into_what_it_was_made_of(parts: list[bytes]) -> None:
    assert split(b"".join(parts), [len(part) for part in parts]) == parts
