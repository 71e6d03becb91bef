import gzip
import random
import zlib
from collections.abc import Iterator

import pytest

from api.body import STEP_BYTES
from api.problems import BadRequest, UnsupportedCoding
from api.unpacking import coding_of, unpacked

BODY = random.Random(0).randbytes(100_000) + bytes(300_000)
RAW = zlib.compressobj(wbits=-15)
DEFLATED = RAW.compress(BODY) + RAW.flush()


def steps(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    return (data[at:at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize(("coding", "packed"), [
    ("", BODY), ("identity", BODY), ("gzip", gzip.compress(BODY)), ("GZIP ", gzip.compress(BODY)),
    ("x-gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("deflate", DEFLATED),
    ("gzip", gzip.compress(b"")), ("gzip", b""),
])
@pytest.mark.parametrize("size", [2, 1000, 200_000])
def test_a_body_is_unpacked_by_its_coding(coding: str, packed: bytes, size: int) -> None:
    assert b"".join(unpacked(steps(packed, size), coding)) in (BODY, b"")
    assert len(b"".join(unpacked(steps(packed, size), coding))) == (len(BODY) if len(packed) > 50 else 0)


@pytest.mark.parametrize(("content", "transfer", "coding"), [
    (None, None, ""), (None, "chunked", ""), ("gzip", None, "gzip"), ("gzip", "Chunked", "gzip"),
    (None, "GZIP, chunked", "gzip"), ("gzip", "gzip, chunked", "gzip, gzip"), ("br", None, "br")])
def test_a_body_may_be_compressed_for_its_transfer(content: str | None, transfer: str | None, coding: str) -> None:
    given = {"HTTP_CONTENT_ENCODING": content, "HTTP_TRANSFER_ENCODING": transfer}
    assert coding_of({name: value for name, value in given.items() if value is not None}) == coding


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "chunked"])
def test_another_coding_is_refused_at_once(coding: str) -> None:
    with pytest.raises(UnsupportedCoding, match="gzip, deflate"):
        unpacked(iter(()), coding)


@pytest.mark.parametrize(("coding", "packed", "told"), [
    ("gzip", BODY, "is no gzip"), ("deflate", b"\xff" * 10, "is no deflate"),
    ("gzip", zlib.compress(BODY), "is no gzip"),
    ("gzip", gzip.compress(BODY)[:-1], "in the middle"), ("deflate", zlib.compress(BODY)[:500], "in the middle"),
    ("gzip", gzip.compress(b"a") + gzip.compress(b"b"), "follows"), ("deflate", zlib.compress(b"a") + b"x", "follows"),
    ("gzip", gzip.compress(BODY)[:-8] + bytes(8), "is no gzip"),
])
def test_what_is_not_what_it_says_is_refused(coding: str, packed: bytes, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        list(unpacked(steps(packed), coding))


def test_a_bomb_is_unpacked_one_step_at_a_time() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    seen = iter(unpacked(steps(bomb), "deflate"))
    assert all(len(next(seen)) <= STEP_BYTES for _ in range(5))


def test_blocks_that_hold_nothing_give_way_too() -> None:
    """A megabyte of empty blocks takes long and gives nothing: empty steps let the other connections in."""
    empty = zlib.compressobj(wbits=-15)
    block = empty.flush(zlib.Z_FULL_FLUSH) or b"\x00\x00\x00\xff\xff"
    packed = block * (1_000_000 // len(block)) + empty.flush()
    assert len([step for step in unpacked(steps(packed), "deflate") if not step]) > 50
