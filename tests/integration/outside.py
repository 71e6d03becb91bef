"""A queue server that is not Punnet's own, and a relay in front of it that can lead elsewhere, or speak TLS."""

import contextlib
import datetime
import ipaddress
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis import Redis

from ops import queue_server
from tests.integration.server import free_port, wait_until


@dataclass
class Outside:
    """A real queue server with a file, on a port of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=10)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [queue_server.find(), "--port", str(self.port), "--save", "", "--appendonly", "yes", "--dir", self.folder,
             "--repl-diskless-sync-delay", "0"], stdout=subprocess.DEVNULL)
        wait_until(self._answers, 20)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):
            return bool(self.client.ping())
        return False


@contextlib.contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    server = Outside(folder)
    server.start()
    try:
        yield server
    finally:
        server.send(signal.SIGCONT)
        server.send(signal.SIGKILL)


class Relay:
    """Leads new connections to the port that it is told; those that there are stay where they lead."""

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.target, self._context = target, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(connection,), daemon=True).start()

    def _lead(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            ours = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            with ours, socket.create_connection(("127.0.0.1", self.target)) as theirs:
                threading.Thread(target=_pass_on, args=(theirs, ours), daemon=True).start()
                _pass_on(ours, theirs)


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that is its own authority, and a server's context with it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a queue server")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
            .add_extension(address, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return certificate, context
