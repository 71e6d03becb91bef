"""`Content-Encoding`: a compressed body -> what was compressed, in steps that hold up nobody."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.body import STEP_BYTES
from api.problems import BadRequest, UnsupportedCoding

# That go into one call: blocks that hold nothing take time and give nothing, at most 4 ms for so many.
SLICE_BYTES = 1 << 14
GZIP_BITS, ZLIB_BITS, DEFLATE_BITS = 31, 15, -15
CODINGS = {"gzip": GZIP_BITS, "x-gzip": GZIP_BITS, "deflate": ZLIB_BITS}


def coding_of(environ: Mapping[str, Any]) -> str:
    """How the body is compressed, "" for one that is not: by its own coding, or by that of its transfer, of which
    gunicorn undoes the chunks alone."""
    transfer = environ.get("HTTP_TRANSFER_ENCODING", "").lower().split(",")
    codings = [environ.get("HTTP_CONTENT_ENCODING", ""), *(name.strip() for name in transfer)]
    return ", ".join(name for name in codings if name not in ("", "chunked"))


def unpacked(steps: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The body's steps, unpacked; some are empty, so that whoever takes them can let others in.

    Raises:
        UnsupportedCoding, at once.
        BadRequest: it is not what it says, or ends in the middle.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return iter(steps)
    if name not in CODINGS:
        raise UnsupportedCoding(f"Content-Encoding {coding} is not unpacked: send gzip, deflate, or the body as it is")
    return _unpacked(steps, name)


def _unpacked(steps: Iterable[bytes], name: str) -> Iterator[bytes]:
    stream = None
    try:
        for piece in _sliced(steps):
            stream = stream or zlib.decompressobj(_bits(name, piece))
            while piece:
                yield stream.decompress(piece, STEP_BYTES)
                piece = stream.unconsumed_tail
            if stream.unused_data:
                raise BadRequest(f"something follows the end of the body's {name}")
        if stream:
            yield stream.flush()
    except zlib.error as error:
        raise BadRequest(f"the body is no {name}: {error}") from error
    if stream and not stream.eof:
        raise BadRequest(f"the body's {name} ends in the middle")


def _sliced(steps: Iterable[bytes]) -> Iterator[bytes]:
    for step in steps:
        for at in range(0, len(step), SLICE_BYTES):
            yield step[at:at + SLICE_BYTES]


def _bits(name: str, begin: bytes) -> int:
    """What `deflate` means is zlib's format; what some clients send under this name lacks its header."""
    is_zlib = begin[0] & 15 == 8 and int.from_bytes(begin[:2]) % 31 == 0
    return DEFLATE_BITS if name == "deflate" and not is_zlib else CODINGS[name]
