"""Small requests that ask for a lot of work or memory."""

import gzip
import json
import random
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from tools.hostile.inputs import PATH, Input, upload

MEGA = 1_000_000


def bombs(_: random.Random) -> Iterator[Input]:
    yield from (upload("bomb", name, image) for name, image in _images())
    yield from _bodies()


def _images() -> Iterator[tuple[str, bytes]]:
    for width, height, depth, colour in ((1, 100 * MEGA, 1, 0), (100 * MEGA, 1, 8, 2), (2**31 - 1, 2**31 - 1, 8, 2),
                                         (10_000, 10_000, 16, 6), (30_000, 30_000, 8, 2), (0, 0, 8, 2)):
        yield f"PNG that says {width}x{height}, {depth} bits", png(width, height, depth, colour, bytes(1000))
    yield "PNG of 100 MP, all black", png(10_000, 10_000, 1, 0, (b"\0" + bytes(1250)) * 10_000)
    small = (b"\0" + bytes(300)) * 100
    yield "PNG with 20 MB of text before its pixels", png(100, 100, 8, 2, small, before=_texts(20))
    yield "PNG with 20 MB of text behind its pixels", png(100, 100, 8, 2, small, behind=_texts(20))
    yield "PNG with text that unpacks to 100 MB", png(100, 100, 8, 2, small, before=_chunk(
        b"zTXt", b"x\0\0" + zlib.compress(bytes(100 * MEGA))))
    yield "PNG with 100,000 chunks", png(100, 100, 8, 2, small, before=_chunk(b"tEXt", b"a\0b") * 100_000)
    for encoded in (0, 1, 2):
        yield f"BMP of 100x100, encoding {encoded}, 5 MB of data", _bmp(100, 100, encoded, bytes([1, 7]) * 2_500_000)
    yield "BMP of 30000x3000, RLE, no data", _bmp(30_000, 3_000, 1, b"\0\1")
    yield "GIF of 30 frames of 2000x2000", _animated("GIF")
    yield "WebP of 30 frames of 2000x2000", _animated("WEBP")
    yield "WebP header alone", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(10)
    yield "TIFF of 5,000 strips", _tiff_of_strips(5_000)
    yield "progressive JPEG of 25 MP", _jpeg(5000, 5000, progressive=True)
    yield "JPEG of 95 MP", _jpeg(9_700, 9_700)
    yield "JPEG of one colour, 60000x1600", _jpeg(60_000, 1_600)
    yield "no bytes", b""
    yield "one byte", b"\xff"


def _bodies() -> Iterator[Input]:
    leaf = _jpeg(64, 64)
    yield _post("gzip that unpacks to 40 MB", gzip.compress(bytes(40 * MEGA)), "image/jpeg", "Content-Encoding: gzip")
    yield _post("gzip in gzip", gzip.compress(gzip.compress(leaf)), "image/jpeg", "Content-Encoding: gzip")
    yield _post("gzip that is none", leaf, "image/jpeg", "Content-Encoding: gzip")
    yield _post("gzip, cut off", gzip.compress(leaf)[:-9], "image/jpeg", "Content-Encoding: gzip")
    yield _post("deflate", zlib.compress(leaf), "image/jpeg", "Content-Encoding: deflate")
    yield _post("unknown encoding", leaf, "image/jpeg", "Content-Encoding: br")
    many = b",".join([b"{}"] * 3 * MEGA)
    yield _post("JSON of 3,000,000 objects", b'{"model_type":"strawberry","x":[' + many + b"]}", "application/json")
    yield _post("JSON 100,000 deep", b"[" * 100_000 + b"]" * 100_000, "application/json")
    yield _post("JSON of one long number", b'{"top_k":' + b"9" * MEGA + b"}", "application/json")
    yield _post("JSON with a text of 20 MB", json.dumps({"image": "A" * 20 * MEGA}).encode(), "application/json")
    yield _post("form of 200,000 fields", b"a=b&" * 200_000, "application/x-www-form-urlencoded")
    parts = b"".join(b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nb\r\n' % i for i in range(20_000))
    yield _post("multipart of 20,000 parts", parts + b"--x--\r\n", "multipart/form-data; boundary=x")
    yield _post("multipart without an end", parts[:100_000], "multipart/form-data; boundary=x")
    yield _post("40 MB", bytes(40 * MEGA), "image/jpeg")


def png(width: int, height: int, depth: int, colour: int, pixels: bytes, *, before: bytes = b"",
        behind: bytes = b"") -> bytes:
    """A PNG whose header need not tell the truth. `pixels` are rows, each with its filter's byte in front."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + before + _chunk(b"IDAT", zlib.compress(pixels)) + behind
            + _chunk(b"IEND", b""))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _texts(count: int) -> bytes:
    return _chunk(b"tEXt", b"Comment\0" + b"a" * MEGA) * count


def _bmp(width: int, height: int, encoding: int, data: bytes) -> bytes:
    """With 256 colours."""
    palette = bytes(1024)
    offset = 54 + len(palette)
    return (struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
            + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, encoding, len(data), 0, 0, 256, 0) + palette + data)


def _animated(file_format: str) -> bytes:
    frames = [Image.new("RGB", (2000, 2000), (shade * 8, 0, 0)) for shade in range(30)]
    file = BytesIO()
    frames[0].save(file, file_format, save_all=True, append_images=frames[1:])
    return file.getvalue()


def _jpeg(width: int, height: int, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "green").save(file, "JPEG", **options)
    return file.getvalue()


def _tiff_of_strips(count: int) -> bytes:
    """Each strip is one row of a grey image one pixel wide."""
    entries = ((256, 3, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (278, 3, 1, 1))
    data_at = 8 + 2 + 12 * 8 + 4
    lists_at = data_at + count
    tags = [*entries, (273, 4, count, lists_at), (277, 3, 1, 1), (279, 4, count, lists_at + 4 * count)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    data_at = 8 + len(directory)
    offsets = struct.pack(f"<{count}I", *range(data_at, data_at + count))
    body = b"II*\0" + struct.pack("<I", 8) + directory + bytes(count)
    return body[:lists_at].ljust(lists_at, b"\0") + offsets + struct.pack(f"<{count}I", *[1] * count)


def _post(name: str, body: bytes, content_type: str, *headers: str) -> Input:
    lines = (f"POST {PATH} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}",
             f"Content-Length: {len(body)}", *headers)
    return Input("bomb", name, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
