"""A request -> its fields, and the bytes of the one image that they carry, name or write."""

import os
import stat
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl

from flask import Request

from api.body import InFlight, admit, counted, receive, reserve
from api.fields import (
    FORM_MARKS,
    HOW_TO,
    JSON_MARKS,
    Fields,
    Image,
    ImagePath,
    Marks,
    WholeBody,
    crowded_form,
    crowded_json,
    parse_form,
    parse_json,
    parse_raw,
)
from api.intake import Intake
from api.parts import MultipartBody
from api.problems import BadRequest, ImageNotFound, TooLarge, UnsupportedMediaType
from api.texts import decode_text
from api.unpacking import coding_of, unpacked
from settings import Settings

# Multipart headers, JSON punctuation and fields beside the image.
OVERHEAD_BYTES = 1 << 16


class Forms:
    """Reads the requests of one web process."""

    def __init__(self, settings: Settings, in_flight: InFlight, intake: Intake) -> None:
        self._image_root = settings.image_root
        self._max_bytes = settings.max_upload_bytes
        self._in_flight = in_flight
        self._intake = intake

    def fields(self, request: Request) -> Fields:
        """Read and parse the body and the query.

        Raises:
            BadRequest, TooLarge, TooSlow, UnsupportedMediaType, Busy.
        """
        body, limit = self._body_of(request)
        admit(request, limit, self._in_flight, body.copies)
        steps = unpacked(receive(request, limit), coding_of(request.environ))
        for step in counted(steps, request, limit, self._in_flight, body.copies):
            body.feed(step)
        reserve(request.environ, body.peak_bytes, self._in_flight)
        fields = self._intake.off_loop(body.text_bytes, body.fields)
        for name, value in parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True):
            fields.add(name, value)
        return fields

    def image(self, request: Request, fields: Fields) -> bytes:
        """The bytes of the one image, which leaves the fields, so that its text is not kept beside it.

        Raises:
            BadRequest: none, or more than one; text that is no base64.
            ImageNotFound: no such path below the image root.
            TooLarge, Busy.
        """
        if len(fields.images) != 1:
            raise BadRequest(f"no image: {HOW_TO}" if not fields.images else
                             f"{len(fields.images)} images: one request, one image")
        data = self._fetched(request, fields.images.pop())
        reserve(request.environ, len(data), self._in_flight)
        if len(data) > self._max_bytes:
            raise _too_large(len(data), self._max_bytes)
        return data

    def _body_of(self, request: Request) -> tuple[WholeBody | MultipartBody, int]:
        """What reads a body of this content type, and how large it may be."""
        media = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        encoded_limit = self._max_bytes * 4 // 3 + OVERHEAD_BYTES
        if media == "multipart/form-data":
            limit = self._max_bytes + OVERHEAD_BYTES
            return MultipartBody(request.mimetype_params.get("boundary", ""), limit), limit
        if media == "application/json":
            return WholeBody(parse_json, 2, Marks(JSON_MARKS, crowded_json).count), encoded_limit
        if media == "application/x-www-form-urlencoded":
            return WholeBody(parse_form, 3, Marks(FORM_MARKS, crowded_form).count), encoded_limit
        if not media or media == "application/octet-stream" or media.startswith("image/"):
            return WholeBody(parse_raw, copies=1), self._max_bytes
        raise UnsupportedMediaType(f"content type {media} carries no image: {HOW_TO}")

    def _fetched(self, request: Request, image: Image) -> bytes:
        """Of a text in a multipart form curl's users often meant the file, and forgot the @ before its name."""
        try:
            return self._fetch(image)
        except (ImageNotFound, BadRequest) as error:
            if request.mimetype != "multipart/form-data":
                raise
            raise type(error)(f"{error}; to upload a file write img_file=@path") from error

    def _fetch(self, image: Image) -> bytes:
        if isinstance(image, bytes):
            return image
        if isinstance(image, ImagePath):
            return self._read_path(image.path)
        return self._intake.off_loop(len(image.text), lambda: decode_text(image.text))

    def _read_path(self, path: str) -> bytes:
        root = self._image_root
        if root is None:
            raise ImageNotFound("paths are turned off on this server (PUNNET_IMAGE_ROOT is empty): upload the image")
        return self._intake.run(lambda: read_below(root, path, self._max_bytes))


def read_below(root: Path, path: str, max_bytes: int) -> bytes:
    """Read a regular file below `root`.

    Raises:
        ImageNotFound: missing, outside, linked out of `root`, or no regular file: one and the same for all, so that
            it tells nothing about the machine.
        TooLarge.
    """
    try:
        file = _open_below(root, path)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise ImageNotFound("no such image below PUNNET_IMAGE_ROOT") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise _too_large(size, max_bytes)
        return file.read(max_bytes)


def _open_below(root: Path, path: str) -> BinaryIO:
    real_root, real = root.resolve(strict=True), (root / path).resolve(strict=True)
    if not real.is_relative_to(real_root):
        raise PermissionError(path)
    file = open(real, "rb", opener=_open_unblocked)  # noqa: SIM115 the caller closes it
    if not _is_regular_below(real_root, file.fileno()):
        file.close()
        raise PermissionError(path)
    return file


def _open_unblocked(path: str, flags: int) -> int:
    """A FIFO that nobody writes to does not block it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_regular_below(real_root: Path, descriptor: int) -> bool:
    """What was opened decides, not what the path meant a moment ago."""
    opened = Path(f"/proc/self/fd/{descriptor}").readlink()
    return opened.is_relative_to(real_root) and stat.S_ISREG(os.fstat(descriptor).st_mode)


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(f"the image has {size} bytes, at most {limit} are taken (PUNNET_MAX_UPLOAD_MB)")
