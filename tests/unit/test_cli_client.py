"""The client's own HTTP, against answers as servers and proxies write them."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.client import Client, Unreachable

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MODELS = b'{"models": []}'


@contextmanager
def answering(*connections: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that reads a request of each connection, answers it with these bytes, and closes."""
    def serve() -> None:
        for answer in connections:
            connection = listener.accept()[0]
            try:
                with tls.wrap_socket(connection, server_side=True) if tls else connection as accepted:
                    accepted.recv(1 << 16)
                    accepted.sendall(answer)
            except OSError:  # it did not trust this server
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


@pytest.mark.parametrize("answer", [
    JSON + b"Content-Length: 14\r\n\r\n" + MODELS,
    JSON + b"\r\n" + MODELS,
    JSON.replace(b"1.1", b"1.0").replace(b"\r\n", b"\n") + b"content-length:14\n\n" + MODELS,
    JSON + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n" + MODELS[:5] + b"\r\n9\r\n" + MODELS[5:]
    + b"\r\n0\r\nChecksum: none\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + JSON + b"Connection: close\r\nContent-Length: 14\r\n\r\n" + MODELS])
def test_an_answer_is_read_as_it_may_be_written(answer: bytes) -> None:
    with answering(answer) as address:
        assert Client(f"http://{address}").models() == []


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 what\r\n\r\n", b"\r\n\r\n",
    JSON + b"Content-Length: 15\r\n\r\n" + MODELS, JSON + b"Content-Length: many\r\n\r\n" + MODELS,
    JSON + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + MODELS[:5] + b"\r\n",
    JSON + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", b"HTTP/1.1 " + b"x" * (1 << 17)])
def test_what_is_no_whole_answer_is_none(answer: bytes) -> None:
    with answering(answer) as address, pytest.raises(Unreachable, match="does not answer"):
        Client(f"http://{address}").models()


def test_a_connection_that_was_closed_meanwhile_is_opened_again_where_nothing_is_done_twice() -> None:
    whole = JSON + b"Content-Length: 14\r\n\r\n" + MODELS
    with answering(whole, whole) as address:
        client = Client(f"http://{address}")
        assert (client.models(), client.models()) == ([], [])
    with answering(whole) as address:
        client = Client(f"http://{address}")
        client.models()
        with pytest.raises(Unreachable):
            client.post(b"image", "leaf")


def test_a_header_is_one_line() -> None:
    with answering() as address, pytest.raises(ValueError, match="line break"):
        Client(f"http://{address}", "key\r\nX-Forwarded-For: 10.0.0.1").models()


def test_https_is_believed_where_the_certificate_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=punnet", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                    certificate], capture_output=True, check=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    whole = JSON + b"Content-Length: 14\r\n\r\n" + MODELS
    with answering(whole, whole, tls=tls) as address:
        with pytest.raises(Unreachable, match="certificate"):
            Client(f"https://{address}").models()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Client(f"https://{address}").models() == []
