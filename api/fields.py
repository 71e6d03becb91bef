"""A request's body, in every content type of the contract -> its fields and its images, not yet fetched or decoded."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import unquote_plus

from api.problems import ApiError, BadRequest, UnsupportedMediaType
from api.texts import LongText, without_long_texts

PATH_FIELD = "img_file"
ENCODED_FIELDS = ("image", "file", "data")
IMAGE_FIELDS = (PATH_FIELD, *ENCODED_FIELDS)
# Megabytes of "a&" would keep the parser busy for many seconds.
MAX_FIELDS = 100
MAX_MARKS = 1000
FORM_MARKS, JSON_MARKS = (b"&",), (b",", b"[", b"{", b'"')
# A form's text is unquoted so many characters at a time: unquote_plus makes an object of each escape, in all twenty
# times as large as the image.
PIECE = 1 << 16
HOW_TO = ("send one image: a file part or a path named img_file, base64 in 'image', "
          "or the bytes as body with an image content type")
NO_FORM = ("the body is no form; for an image's bytes send the header 'Content-Type: image/jpeg' "
           "(curl: -H 'Content-Type: image/jpeg')")


@dataclass(frozen=True)
class ImagePath:
    """An image named by its path below the image root."""

    path: str


@dataclass(frozen=True)
class EncodedImage:
    """An image as base64 text or a data: URL."""

    text: str | LongText


Image = bytes | ImagePath | EncodedImage


@dataclass
class Fields:
    """What a request says, before any image is fetched or decoded: its values by name, and its images."""

    values: dict[str, Any] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)

    def add(self, name: str, value: Any) -> None:
        """A field; those that carry an image go with the images.

        Raises:
            BadRequest: a field is given twice with different values, or has a long text that is no image.
        """
        if isinstance(value, LongText) and name not in ENCODED_FIELDS:
            raise BadRequest(f"field {name} has {len(value)} characters")
        if name in IMAGE_FIELDS:
            self._add_image(name, value)
        elif self.values.setdefault(name, value) != value:
            raise BadRequest(f"field {name} is given twice, as {self.values[name]!r} and {value!r}")

    def _add_image(self, name: str, value: Any) -> None:
        if not isinstance(value, str | LongText):
            raise BadRequest(f"field {name} should be text")
        if value:
            self.images.append(ImagePath(str(value)) if name == PATH_FIELD else EncodedImage(value))


class WholeBody:
    """A body that is parsed when all of it is there. While it is parsed it exists `copies` times: as bytes, as text,
    in pieces. The bytes of a raw image are one and the same. `count` sees each step as it comes."""

    def __init__(self, parse: Callable[[io.BytesIO], Fields], copies: int,
                 count: Callable[[bytes], None] | None = None) -> None:
        self._parse, self.copies, self._count = parse, copies, count
        self._buffer = io.BytesIO()

    @property
    def text_bytes(self) -> int:
        return self._buffer.tell() if self.copies > 1 else 0

    @property
    def peak_bytes(self) -> int:
        return self._buffer.tell() * self.copies

    def feed(self, step: bytes) -> None:
        """Raises BadRequest, UnsupportedMediaType."""
        if self._count is not None:
            self._count(step)
        self._buffer.write(step)

    def fields(self) -> Fields:
        """Raises BadRequest, UnsupportedMediaType."""
        return self._parse(self._buffer)


class Marks:
    """Counts what parts the values of a text while it comes, before anything is made of them: of 42 MB of "{},{},…" the
    parser would make 1.3 GB of objects, in 13 s."""

    def __init__(self, marks: Sequence[bytes], refusal: Callable[[bytes], ApiError]) -> None:
        self._marks, self._refusal, self._seen = marks, refusal, 0

    def count(self, step: bytes) -> None:
        """Raises what `refusal` makes of the step with which there are too many."""
        for mark in self._marks:
            at = step.find(mark)  # which looks at sixteen bytes at a time, and count at each
            while at >= 0:
                self._seen += 1
                if self._seen > MAX_MARKS:
                    raise self._refusal(step)
                at = step.find(mark, at + 1)


def crowded_json(step: bytes) -> ApiError:
    return BadRequest(f"the body is not JSON with the fields of a request: it has more than {MAX_MARKS} values and "
                      "quotation marks")


def crowded_form(step: bytes) -> ApiError:
    try:
        step.decode("utf-8")
    except UnicodeDecodeError:
        return UnsupportedMediaType(NO_FORM)
    return BadRequest(f"the form has more than {MAX_FIELDS} fields")


def emptied(buffer: io.BytesIO) -> bytes:
    """What the buffer holds, which goes when the caller lets go of it."""
    data = buffer.getvalue()
    buffer.close()
    return data


def parse_raw(body: io.BytesIO) -> Fields:
    """The body is the image."""
    return Fields(images=[body.getvalue()] if body.tell() else [])


def parse_form(body: io.BytesIO) -> Fields:
    """The fields as `parse_qsl` finds them, with values unquoted in pieces. Raises BadRequest, UnsupportedMediaType."""
    try:
        text = emptied(body).decode("utf-8")
    except UnicodeDecodeError as error:  # no image is UTF-8
        raise UnsupportedMediaType(NO_FORM) from error
    if text.count("&") >= MAX_FIELDS:
        raise BadRequest(f"the form has more than {MAX_FIELDS} fields")
    pairs = filter(None, text.split("&"))
    del text  # the pairs are a copy of it
    return _fields(map(_name_and_value, pairs))


def _name_and_value(pair: str) -> tuple[str, str]:
    begin = pair.find("=") + 1 or len(pair) + 1
    return unquote_plus(pair[:begin - 1]), "".join(_unquoted(pair, begin))


def _unquoted(text: str, begin: int) -> Iterator[str]:
    while begin < len(text):
        end = begin + PIECE
        escape = text.find("%", end - 2, end)  # not to be cut
        end = end if escape < 0 else escape
        yield unquote_plus(text[begin:end])
        begin = end


class _Pairs(list):
    """A JSON object's members: a name that is given twice is not lost, as it is in a dict."""


def parse_json(body: io.BytesIO) -> Fields:
    """The members of a JSON object; null means absent. Raises BadRequest."""
    try:
        text, long_texts = _json_text(emptied(body))
        values = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(values, _Pairs):
        raise BadRequest("the JSON body should be an object with the fields of the request")
    return _fields((name, long_texts.get(value, value) if isinstance(value, str) else value)
                   for name, value in values if value is not None)


def _refuse(constant: str) -> NoReturn:
    """Python's parser takes NaN and Infinity, which JSON does not have; and NaN does not equal itself."""
    raise ValueError(f"{constant} is none of its numbers")


def _json_text(body: bytes) -> tuple[str, Mapping[str, LongText]]:
    """The text without what is too long to be parsed, which only the usual encoding allows to find."""
    encoding = json.detect_encoding(body)
    texts: Mapping[str, LongText] = {}
    if encoding.startswith("utf-8"):
        body, texts = without_long_texts(body)
    return body.decode(encoding, "surrogatepass"), texts  # as json.loads decodes it


def _fields(items: Iterable[tuple[str, Any]]) -> Fields:
    fields = Fields()
    for name, value in items:
        fields.add(name, value)
    return fields
