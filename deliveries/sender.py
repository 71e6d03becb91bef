"""One POST to a receiver: signed as Standard Webhooks are, to an address that is allowed, and with an end in any case.

The only import of h11 and of standardwebhooks.
"""

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

import h11
from standardwebhooks import Webhook

from jobs.addresses import may_be_told
from jobs.outbox import Delivery

CONNECT_S, TOTAL_S = 5.0, 15.0
READ_BYTES = 4096  # at a time, of the answer's head; its body is not read
PORTS = {"https": 443, "http": 80}


class Unreachable(Exception):
    """The receiver gave no answer; the text says why, for the caller who named the receiver."""


class Sender:
    """Posts within an event loop, each time on a connection of its own."""

    def __init__(self, secret: str, private: bool) -> None:
        """Without a secret what is posted bears no signature. `private`: not to public addresses only."""
        self._signer, self._private = Webhook(secret) if secret else None, private
        self._tls = ssl.create_default_context()

    async def post(self, delivery: Delivery, body: bytes) -> int:
        """The receiver's status. Redirects are not followed.

        Raises:
            Unreachable.
        """
        url = urlsplit(delivery.url)
        try:
            async with asyncio.timeout(TOTAL_S):
                reader, writer = await self._connected(url)
                try:
                    return await _exchange(reader, writer, self._request(delivery, url, body), body)
                finally:
                    writer.close()
        except TimeoutError as error:
            raise Unreachable(f"no answer within {TOTAL_S:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"the certificate is not trusted: {error.verify_message}") from error
        except (OSError, h11.RemoteProtocolError) as error:
            raise Unreachable(str(error) or "the connection broke") from error

    async def _connected(self, url: SplitResult) -> tuple[StreamReader, StreamWriter]:
        """To the first address that takes a connection. Raises Unreachable, OSError."""
        host, port = url.hostname or "", url.port or PORTS[url.scheme]
        *others, last = await self._allowed(host, port)
        for address in others:
            with suppress(OSError):
                return await self._connect(address, port, url)
        return await self._connect(last, port, url)

    async def _allowed(self, host: str, port: int) -> list[str]:
        """The addresses that are connected to are those that are looked at: a name that is asked for twice may mean
        two things."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Unreachable(f"the name {host} is not known: {error.strerror or error}") from error
        allowed = [str(address[0]) for *_, address in found if may_be_told(str(address[0]), self._private)]
        if not allowed:
            raise Unreachable(f"{host} has no address that is allowed: it should be public (PUNNET_WEBHOOK_PRIVATE)")
        return allowed

    async def _connect(self, address: str, port: int, url: SplitResult) -> tuple[StreamReader, StreamWriter]:
        is_secure = url.scheme == "https"
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(address, port, ssl=self._tls if is_secure else None,
                                                 server_hostname=url.hostname if is_secure else None)

    def _request(self, delivery: Delivery, url: SplitResult, body: bytes) -> h11.Request:
        now, message_id = datetime.now(UTC), delivery.message_id
        headers = [("Host", url.netloc), ("Content-Type", "application/json"), ("Content-Length", str(len(body))),
                   ("Connection", "close"), ("User-Agent", "Punnet"), ("Punnet-Event", delivery.event),
                   ("webhook-id", message_id), ("webhook-timestamp", str(int(now.timestamp())))]
        if delivery.traceparent:
            headers.append(("traceparent", delivery.traceparent))
        if self._signer is not None:
            headers.append(("webhook-signature", self._signer.sign(message_id, now, body.decode())))
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return h11.Request(method="POST", target=target, headers=headers)


async def _exchange(reader: StreamReader, writer: StreamWriter, request: h11.Request, body: bytes) -> int:
    """The status of the answer. Raises OSError, h11.RemoteProtocolError."""
    connection = h11.Connection(h11.CLIENT)
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    while not isinstance(heard := connection.next_event(), h11.Response):
        if heard is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
    return heard.status_code
