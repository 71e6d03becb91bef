"""A multipart body -> its fields and its files, parsed step by step while it arrives. The only import of multipart."""

import io
import re

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from api.fields import IMAGE_FIELDS, MAX_FIELDS, PATH_FIELD, Fields, emptied
from api.problems import BadRequest

# Clients write file names in any encoding, as curl on a Korean Windows does in CP949. In this one every byte is a
# character.
ANY_BYTES = "latin-1"
FILE_NAME = re.compile(r";\s*filename\*?\s*=", re.IGNORECASE)


class MultipartBody:
    """Nothing of it is kept but its parts."""

    copies = 1

    def __init__(self, boundary: str, limit_bytes: int) -> None:
        if not boundary:
            raise BadRequest("the multipart content type names no boundary")
        self._parser = PushMultipartParser(boundary, max_segment_size=limit_bytes, max_segment_count=MAX_FIELDS,
                                           header_charset=ANY_BYTES)
        self._segments: list[tuple[MultipartSegment, io.BytesIO]] = []

    @property
    def text_bytes(self) -> int:
        return sum(data.tell() for segment, data in self._segments if not _is_file(segment))

    @property
    def peak_bytes(self) -> int:
        return sum(data.tell() for _, data in self._segments) + self.text_bytes

    def feed(self, step: bytes) -> None:
        """Raises BadRequest."""
        try:
            for event in self._parser.parse(step):
                if isinstance(event, MultipartSegment):
                    self._segments.append((event, io.BytesIO()))
                elif event:
                    self._segments[-1][1].write(event)
        except MultipartError as error:
            raise _unreadable(error) from error

    def fields(self) -> Fields:
        """Raises BadRequest."""
        fields = Fields()
        try:
            self._parser.close()
        except MultipartError as error:
            raise _unreadable(error) from error
        for segment, data in self._segments:
            _add_segment(fields, segment, data)
        return fields


def _unreadable(error: Exception) -> BadRequest:
    return BadRequest(f"the multipart body cannot be read: {error}")


def _add_segment(fields: Fields, segment: MultipartSegment, data: io.BytesIO) -> None:
    name = _name(segment)
    if not _is_file(segment):
        fields.add(name, _text(name, data))
    elif name not in IMAGE_FIELDS:
        raise BadRequest(f"file part '{name}': name it {PATH_FIELD}")
    elif segment.filename != "" or data.tell():  # a browser sends an empty, nameless part for no file chosen
        fields.images.append(data.getvalue())


def _is_file(segment: MultipartSegment) -> bool:
    """By a file name, in whatever form and bytes it is written, or by an image content type."""
    if segment.filename is not None or (segment.content_type or "").startswith("image/"):
        return True
    return FILE_NAME.search(segment.header("Content-Disposition")) is not None


def _name(segment: MultipartSegment) -> str:
    return segment.name.encode(ANY_BYTES, "replace").decode("utf-8", "replace")


def _text(name: str, data: io.BytesIO) -> str:
    try:
        return emptied(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"field {name} is no text: send an image as a file part, with a file name") from error
