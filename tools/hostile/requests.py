"""HTTP as it should not be: by hand, and a good request with bytes of its head changed."""

import random
from collections.abc import Iterator

from settings import ROOT
from tools.hostile.inputs import PATH, Input, upload

HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n".encode()
VALUES = (b"", b"0", b"-1", b"1e9", b"99999999999999999999", b"chunked", b"identity", b"\xff\xfe", b"a" * 9000, b"\0",
          "딸기".encode("cp949"), b"multipart/form-data", b"multipart/form-data; boundary=", b"*/*;q=2", b"image/*;q=0",
          b"text/html, */*", b"wait=-5", b"wait=99999999", b"respond-async, respond-async", b"bytes=0-", b"nan", b"30s")
NAMES = (b"Content-Length", b"Content-Type", b"Content-Encoding", b"Transfer-Encoding", b"Accept", b"Expect", b"Host",
         b"Prefer", b"Cancel-After", b"X-Request-ID", b"Origin", b"Sec-Fetch-Site", b"Authorization", b"X-API-Key",
         b"Idempotency-Key", b"Connection", b"Upgrade", b"Range", b"X-Forwarded-Prefix", b"Cookie",
         b"Content-Disposition")
LINES = (b"", b"GET", b"GET /", b"GET / HTTP/9.9", b"get /livez HTTP/1.1", b"POST /predict HTTP/1.1",
         b"\x16\x03\x01\x02", b"GET /%ff%fe HTTP/1.1",
         b"GET /../../etc/passwd HTTP/1.1", b"GET //livez HTTP/1.1", b"GET /jobs/%00 HTTP/1.1",
         b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"TRACE / HTTP/1.1", b"PUT /predict HTTP/1.1",
         b"GET /jobs/" + b"a" * 9000 + b" HTTP/1.1", b"GET /models/..%2f..%2fetc HTTP/1.1",
         b"GET /predict?" + b"a=b&" * 900,
         b"DELETE /jobs/0 HTTP/1.1", b"GET /jobs/0?wait=nan HTTP/1.1", b"PRI * HTTP/2.0")
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = (b"0\r\n\r\n", b"zz\r\n", b"-1\r\n\r\n", b"ffffffffffffffff\r\n", b"5\r\nabc", b"3\r\nabcdef\r\n0\r\n\r\n",
          b"3;a=b\r\nabc\r\n0\r\nTrailer: x\r\n\r\n", b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n", b"3\nabc\n0\n\n")


def by_hand(_: random.Random) -> Iterator[Input]:
    for line in LINES:
        yield Input("malformed HTTP", f"line {line[:40]!r}", line + b"\r\nHost: localhost\r\n\r\n")
    for chunks in CHUNKS:
        yield Input("malformed HTTP", f"chunks {chunks[:40]!r}", CHUNKED + chunks)
    for count in (101, 2_000):
        yield Input("malformed HTTP", f"{count} headers", HEAD + b"X-A: b\r\n" * count + b"\r\n")
    both = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield Input("malformed HTTP", "length and chunks", HEAD + both)
    yield Input("malformed HTTP", "two lengths", HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")


def odd_headers(_: random.Random) -> Iterator[Input]:
    """A good body under one odd header after the other."""
    leaf = (ROOT / "samples" / "leaf.jpg").read_bytes()
    for name in NAMES:
        for value in VALUES:
            length = b"Content-Length: %d\r\n" % len(leaf)
            lengths = b"" if name in (b"Content-Length", b"Transfer-Encoding") else length
            head = HEAD.replace(b"Host: localhost\r\n", b"") if name == b"Host" else HEAD
            yield Input("odd header", f"{name.decode()}: {value[:30]!r}",
                        head + lengths + name + b": " + value + b"\r\n\r\n" + leaf)


def changed_heads(numbers: random.Random) -> Iterator[Input]:
    """A good upload with some bytes of its head, or of its form, changed. Has no end."""
    good = upload("", "", (ROOT / "samples" / "leaf.jpg").read_bytes()).request
    form_end = good.index(b"\xff\xd8")
    while True:
        changed = bytearray(good)
        for _ in range(numbers.choice((1, 1, 2, 5))):
            at = numbers.randrange(form_end)
            changed[at:at + numbers.randrange(3)] = bytes(numbers.randrange(256) for _ in range(numbers.randrange(3)))
        yield Input("changed head", f"{bytes(changed[:form_end])!r:.60}", bytes(changed))
