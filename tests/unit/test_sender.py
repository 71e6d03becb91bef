import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from deliveries import sender as sender_module
from deliveries.sender import Sender, Unreachable
from jobs.outbox import Delivery

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def posted(answer: Answer, private: bool = True, host: str = "127.0.0.1", body: bytes = b"{}",
           scheme: str = "http") -> int:
    """The status that one post to a server of this test gets."""
    async def post() -> int:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return await Sender("", private).post(Delivery("id", f"{scheme}://{host}:{port}/x", "start", 1,
                                                          traceparent=TRACE), body)

    return asyncio.run(post())


def test_a_receiver_is_told_the_trace() -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    posted(answer)
    assert f"\r\ntraceparent: {TRACE}\r\n".encode() in heard[0]


def says(words: bytes, then_s: float = 0) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(words)
        await asyncio.sleep(then_s)
        writer.close()

    return answer


@pytest.mark.parametrize(("words", "status"), [
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204), (b"HTTP/1.0 500 Oh\r\nContent-Length: 3\r\n\r\noh!", 500),
    (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    (b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1/\r\n\r\n", 307)])
def test_the_status_is_what_the_receiver_says(words: bytes, status: int) -> None:
    assert posted(says(words)) == status


def test_an_answer_is_not_read_to_its_end() -> None:
    assert posted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nxxxx", then_s=60)) == 200


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000])
def test_what_is_no_answer_is_told(words: bytes) -> None:
    with pytest.raises(Unreachable):
        posted(says(words))


def test_a_receiver_who_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "TOTAL_S", 0.1)
    with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
        posted(says(b"", then_s=60))


def test_a_byte_now_and_then_is_no_answer_either(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    monkeypatch.setattr(sender_module, "TOTAL_S", 0.1)
    with pytest.raises(Unreachable, match="no answer"):
        posted(drip)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_a_name_of_this_machine_is_not_connected_to(host: str) -> None:
    with pytest.raises(Unreachable, match="no address that is allowed"):
        posted(says(b"HTTP/1.1 200 OK\r\n\r\n"), private=False, host=host)


def test_a_name_is_asked_for_once_and_connected_to_by_the_address_that_was_looked_at(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """One that means a public address first and a private one then would else be connected to."""
    asked: list[str] = []

    async def mean(_: object, host: str, port: int, **__: object) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected: list[str] = []
    connect = asyncio.open_connection

    async def note(address: str, *given: Any, **options: Any) -> Any:
        connected.append(address)
        return await connect(address, *given, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", mean)
    monkeypatch.setattr(asyncio, "open_connection", note)

    async def post() -> int:
        sender = Sender("", private=True)
        reader_answers = says(b"HTTP/1.1 200 OK\r\n\r\n")
        server = await asyncio.start_server(reader_answers, sock=bound())
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await sender.post(Delivery("id", f"http://rebinding.example:{port}/", "start", 1), b"{}")

    assert asyncio.run(post()) == 200
    assert asked[:1] == ["rebinding.example"]
    assert connected == ["127.0.0.1"]


def bound() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


def test_tls_is_checked() -> None:
    with pytest.raises(Unreachable):
        posted(says(b"HTTP/1.1 200 OK\r\n\r\n"), scheme="https")
    context = Sender("", private=False)._tls
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
