"""A request -> its fields and its image's bytes, in every form of the contract."""

import base64
import binascii
import json
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from flask import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from api.bodies import InFlight, hold, receive
from api.errors import BadRequest, ImageNotFound, TooLarge, UnsupportedMediaType
from api.lanes import Lanes
from settings import Settings

PATH_FIELD = "img_file"
ENCODED_FIELDS = ("image", "file", "data")
IMAGE_FIELDS = (PATH_FIELD, *ENCODED_FIELDS)
# Multipart headers, JSON punctuation and fields beside the image.
OVERHEAD_BYTES = 1 << 16
# 30 MB of "a&" would keep the parser busy for 24 s.
MAX_FIELDS = 100
HOW_TO = ("send one image: a file part or a path named img_file, base64 in 'image', "
          "or the bytes as body with an image content type")


@dataclass(frozen=True)
class ImagePath:
    """An image named by its path below the image root."""

    path: str


@dataclass(frozen=True)
class EncodedImage:
    """An image as base64 text or a data: URL."""

    text: str


Image = bytes | ImagePath | EncodedImage


@dataclass
class Parts:
    """What a body says, before any image is fetched or decoded."""

    fields: dict[str, Any] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)

    def add(self, name: str, value: Any) -> None:
        """A field; those that carry an image go with the images.

        Raises:
            BadRequest: a field is given twice with different values.
        """
        if name in IMAGE_FIELDS:
            self._add_image(name, value)
        elif self.fields.setdefault(name, value) != value:
            raise BadRequest(f"field {name} is given twice, as {self.fields[name]!r} and {value!r}")

    def _add_image(self, name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise BadRequest(f"field {name} should be text")
        if value:
            self.images.append(ImagePath(value) if name == PATH_FIELD else EncodedImage(value))


class Uploads:
    """Reads the uploads of one process."""

    def __init__(self, settings: Settings, in_flight: InFlight, lanes: Lanes) -> None:
        self._image_root = settings.image_root
        self._max_bytes = settings.max_upload_bytes
        self._in_flight = in_flight
        self._lanes = lanes

    def parts(self, request: Request) -> Parts:
        """Read and parse the body and the query.

        Raises:
            BadRequest, TooLarge, UnsupportedMediaType, Busy.
        """
        parse, limit = self._form_of(request)
        body = receive(request, limit, self._in_flight)
        parts = parse(body) if parse is _parse_raw else self._lanes.off_hub(len(body), lambda: parse(body))
        for name, value in parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True):
            parts.add(name, value)
        return parts

    def image(self, request: Request, parts: Parts) -> bytes:
        """The bytes of the one image.

        Raises:
            BadRequest: none, or more than one; text that is no base64.
            ImageNotFound: no such path below the image root.
            TooLarge, Busy.
        """
        if len(parts.images) != 1:
            raise BadRequest(f"no image: {HOW_TO}" if not parts.images else
                             f"{len(parts.images)} images: one request, one picture")
        data = self._fetch(request, parts.images[0])
        if len(data) > self._max_bytes:
            raise too_large(len(data), self._max_bytes)
        return data

    def _form_of(self, request: Request) -> tuple[Callable[[bytes], Parts], int]:
        """How to parse a body of this content type, and how large it may be."""
        media = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        encoded_limit = self._max_bytes * 4 // 3 + OVERHEAD_BYTES
        if media == "multipart/form-data":
            boundary = request.mimetype_params.get("boundary", "")
            return lambda body: _parse_multipart(body, boundary), self._max_bytes + OVERHEAD_BYTES
        if media == "application/json":
            return _parse_json, encoded_limit
        if media == "application/x-www-form-urlencoded":
            return _parse_form, encoded_limit
        if not media or media == "application/octet-stream" or media.startswith("image/"):
            return _parse_raw, self._max_bytes
        raise UnsupportedMediaType(f"content type {media} carries no image: {HOW_TO}")

    def _fetch(self, request: Request, image: Image) -> bytes:
        if isinstance(image, bytes):
            return image
        data = self._read_path(image.path) if isinstance(image, ImagePath) else (
            self._lanes.off_hub(len(image.text), lambda: decode_text(image.text)))
        hold(request.environ, len(data), self._in_flight)  # it was no part of the body
        return data

    def _read_path(self, path: str) -> bytes:
        root = self._image_root
        if root is None:
            raise ImageNotFound("paths are turned off on this server (PUNNET_IMAGE_ROOT is empty): upload the image")
        return self._lanes.intake.run(lambda: read_below(root, path, self._max_bytes))[0]


def too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(f"the image has {size} bytes, at most {limit} are taken (PUNNET_MAX_UPLOAD_MB)")


def decode_text(text: str) -> bytes:
    """base64 (also its URL-safe alphabet, line breaks, or '+' that a form turned to a space), or a data: URL.

    Raises:
        BadRequest: anything else; http URLs are not fetched.
    """
    if text.startswith(("http://", "https://")):
        raise BadRequest("image URLs are not fetched: send the image itself")
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise BadRequest("a data: URL should be in base64")
    plain = "".join(text.strip().replace(" ", "+").split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"the image's text is not base64: {error}") from error


def read_below(root: Path, path: str, max_bytes: int) -> bytes:
    """Read a regular file below `root`.

    Raises:
        ImageNotFound: missing, outside, linked out of `root`, or no regular file: one and the same for all, so that
            it tells nothing about the machine.
        TooLarge.
    """
    missing = ImageNotFound("no such image below PUNNET_IMAGE_ROOT")
    try:
        real_root, real = root.resolve(strict=True), (root / path).resolve(strict=True)
        if not real.is_relative_to(real_root):
            raise missing
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO does not block it
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise missing from error
    try:
        status = os.fstat(descriptor)
        # What was opened decides, not what the path meant a moment ago.
        opened = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not opened.is_relative_to(real_root) or not stat.S_ISREG(status.st_mode):
            raise missing
        if status.st_size > max_bytes:
            raise too_large(status.st_size, max_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)


def _parse_raw(body: bytes) -> Parts:
    return Parts(images=[body] if body else [])


def _parse_form(body: bytes) -> Parts:
    try:
        return _parts(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except UnicodeDecodeError as error:  # no image is UTF-8
        raise UnsupportedMediaType("the body is no form; for an image's bytes send the header 'Content-Type: "
                                   "image/jpeg' (curl: -H 'Content-Type: image/jpeg')") from error
    except ValueError as error:
        raise BadRequest(f"the form has more than {MAX_FIELDS} fields") from error


class _Pairs(list):
    """A JSON object's members: a name that is given twice is not lost, as it is in a dict."""


def _parse_json(body: bytes) -> Parts:
    try:
        values = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(values, _Pairs):
        raise BadRequest("the JSON body should be an object with the fields of the request")
    return _parts(values)


def _parse_multipart(body: bytes, boundary: str) -> Parts:
    if not boundary:
        raise BadRequest("the multipart content type names no boundary")
    parts = Parts()
    try:
        for segment, data in _segments(body, boundary):
            _add_segment(parts, segment, data)
    except (MultipartError, UnicodeDecodeError) as error:
        raise BadRequest(f"the multipart body cannot be read: {error}") from error
    return parts


def _segments(body: bytes, boundary: str) -> Iterable[tuple[MultipartSegment, bytes]]:
    segment, data = None, b""
    with PushMultipartParser(boundary, content_length=len(body), max_segment_size=len(body),
                             max_segment_count=MAX_FIELDS) as parser:
        for event in (*parser.parse(body), *parser.parse(b"")):
            if isinstance(event, MultipartSegment):
                segment, data = event, b""
            elif event:
                data = bytes(event) if not data else data + event
            elif segment is not None:
                yield segment, data


def _add_segment(parts: Parts, segment: MultipartSegment, data: bytes) -> None:
    if segment.filename is None:
        parts.add(segment.name, _text(segment.name, data))
    elif segment.name not in IMAGE_FIELDS:
        raise BadRequest(f"file part '{segment.name}': name it {PATH_FIELD}")
    elif segment.filename or data:  # a browser sends an empty, nameless part for no file chosen
        parts.images.append(data)


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"field {name} is no text: send an image as a file part, with a file name") from error


def _parts(items: Iterable[tuple[str, Any]]) -> Parts:
    parts = Parts()
    for name, value in items:
        parts.add(name, value)
    return parts
