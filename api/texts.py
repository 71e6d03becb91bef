"""An image as text: base64 or a data: URL, decoded piece by piece. Also what of a JSON body is too long to be parsed:
the parser reads a text of 40 MB in one call, for 0.1 s in which nothing else runs in the process."""

import binascii
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from api.problems import BadRequest

PIECE = 1 << 16  # characters that are decoded at a time: each step makes copies of them
ESCAPE = 6  # characters of \u0041, which a piece does not cut
SCHEME = 1 << 10  # characters of a data: URL before its comma, at most, and of blanks behind it
PADDING = 8  # characters at the end of base64 that may be "="
SLASHES = 64  # more backslashes than this do not stand before a quotation mark
BASE64_TABLE = bytes.maketrans(b"-_ =", b"+/+!")  # URL-safe, '+' that a form turned to a space; padding is taken off
LINE_BREAKS = b"\t\n\v\f\r"


@dataclass(frozen=True)
class LongText:
    """A long text of a JSON body as it came, with its escapes: what lies between two of its quotation marks."""

    body: bytes
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def pieces(self) -> Iterator[str]:
        """Raises ValueError for what is no text."""
        at = self.begin
        while at < self.end:
            stop = self._stop(at)
            piece = self.body[at:stop]
            yield json.loads(b'"%b"' % piece) if b"\\" in piece else piece.decode("ascii")
            at = stop

    def _stop(self, at: int) -> int:
        stop = min(at + PIECE, self.end)
        escape = self.body.rfind(b"\\", max(at + 1, stop - ESCAPE + 1), stop)
        return stop if escape < 0 or stop == self.end else escape


def without_long_texts(body: bytes) -> tuple[bytes, dict[str, LongText]]:
    """JSON in UTF-8 with a name in the place of each long text, and the texts by these names."""
    kept: list[bytes] = []
    texts: dict[str, LongText] = {}
    at = 0
    for begin, end in _strings(body):
        if end - begin > PIECE:
            name = f"long text {len(texts)}"
            texts[name] = LongText(body, begin, end)
            kept += (body[at:begin], name.encode())
            at = end
    return b"".join((*kept, body[at:])), texts


def _strings(body: bytes) -> Iterator[tuple[int, int]]:
    """Where the strings of a JSON text begin and end, without their quotation marks."""
    begin = body.find(b'"') + 1
    while begin and (end := _closing(body, begin)) >= 0:
        yield begin, end
        begin = body.find(b'"', end + 1) + 1


def _closing(body: bytes, at: int) -> int:
    """The next quotation mark that is not escaped, or -1."""
    while (at := body.find(b'"', at)) >= 0:
        before = body[max(0, at - SLASHES):at]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            return at
        at += 1
    return -1


def decode_text(text: str | LongText) -> bytes:
    """base64 (also its URL-safe alphabet, line breaks, or '+' that a form turned to a space), or a data: URL.

    Raises:
        BadRequest: anything else; http URLs are not fetched.
    """
    pieces = text.pieces() if isinstance(text, LongText) else _cut(text)
    try:
        return _decoded(_base64_of(pieces))
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"the image's text is not base64: {error}") from error


def _cut(text: str) -> Iterator[str]:
    text = text.strip()
    return (text[at:at + PIECE] for at in range(0, len(text), PIECE))


def _base64_of(pieces: Iterable[str]) -> Iterator[str]:
    """The base64 alone: without blanks around it, the words of a data: URL, and the padding."""
    held, is_first = "", True
    for piece in pieces:
        if is_first:
            piece, is_first = piece.lstrip(), False
            piece = piece[_after_scheme(piece):]
        if len(piece) > SCHEME:  # a shorter one is the last, and the padding may begin in the one before it
            yield held
            held = ""
        held += piece
    held = held.rstrip()
    yield held[:-PADDING] + held[-PADDING:].rstrip("=")


def _after_scheme(text: str) -> int:
    """Where the base64 begins: behind the comma of a data: URL, whose words may be in capitals, with blanks between.

    Raises:
        BadRequest: a URL of another kind.
    """
    head, comma, _ = text[:SCHEME].partition(",")
    words = "".join(head.split()).lower()
    if words.startswith(("http://", "https://")):
        raise BadRequest("image URLs are not fetched: send the image itself")
    if not words.startswith("data:"):
        return 0
    if not comma or not words.endswith(";base64"):
        raise BadRequest("a data: URL should be in base64")
    begin = len(head) + 1
    follows = text[begin:begin + SCHEME]
    return begin + len(follows) - len(follows.lstrip())


def _decoded(pieces: Iterable[str]) -> bytes:
    data, rest = io.BytesIO(), b""
    for piece in pieces:
        plain = rest + piece.encode("ascii").translate(BASE64_TABLE, LINE_BREAKS)
        whole = len(plain) // 4 * 4
        data.write(binascii.a2b_base64(plain[:whole], strict_mode=True))
        rest = plain[whole:]
    data.write(binascii.a2b_base64(rest + b"=" * (-len(rest) % 4), strict_mode=True))
    return data.getvalue()
