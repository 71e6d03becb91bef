"""Server-Sent Events: what happens to a job, told as it happens.

An event's id is a number that grows with everything that happens to the job, and that can be read from its record. So
nobody has to keep events for those who come back: they get where the job stands, if something has happened since.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

from flask import Response, request

from api import answers
from api.auth import caller
from api.inline import is_connected
from api.parking import STREAM_KEY
from api.services import Services
from jobs.errors import JobExpired
from jobs.following import Followed, Following
from jobs.job import JobRecord

KIND = "text/event-stream; charset=utf-8"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second is for nginx
AWAKE_S = 15.0  # without news there is a comment, so that no proxy takes the connection for dead
COMMENT = b": nothing new\n\n"
RETRY_S = 2  # until a client whose stream broke off comes back
CROWDED_RETRY_S = 15  # the same where too many wait
NUMBER = re.compile(r"[0-9]{1,18}")
PIECE_BYTES = 1 << 16


def number(record: JobRecord) -> int:
    """The id of the event that tells of this record. Whatever ended the job, its end has the greatest."""
    return record.changes + (2 if record.ended else 1)


def seen(last_event_id: str, record: JobRecord) -> int:
    """The number of the newest event that the caller has; 0 for one that this job never had."""
    given = int(last_event_id) if NUMBER.fullmatch(last_event_id) else 0
    return given if given <= number(record) else 0


def event_of(record: JobRecord, told: JobRecord | None) -> str:
    """Which event tells of a record to one who was told the other; "" where he would see no difference."""
    if record.ended:
        return "done"
    if told is None or (record.state, record.started_at) != (told.state, told.started_at):
        return "state"
    return "progress" if record.tiles_done != told.tiles_done else ""


def response(service: Services, record: JobRecord, last_event_id: str) -> Response:
    """The stream of a job's events after this one. It holds a place among those who wait; where there is none it ends
    at once, and its client comes back. A caller who was told the end gets 204, after which no browser comes back."""
    last = seen(last_event_id, record)
    if record.ended and last == number(record):
        nothing_more = Response(status=204)
        del nothing_more.headers["Content-Type"]
        return nothing_more
    is_wanted = partial(is_connected, request.environ.get("gunicorn.socket"))
    request.environ[STREAM_KEY] = True
    stream = _held(service, record, caller().share, last, request.script_root, is_wanted)
    return Response(stream, headers=HEADERS, content_type=KIND, direct_passthrough=True)


class Stream:
    """A job's events for one caller."""

    def __init__(self, following: Following, followed: Followed, url_prefix: str,
                 is_wanted: Callable[[], bool]) -> None:
        self._following, self._followed = following, followed
        self._url_prefix, self._is_wanted = url_prefix, is_wanted

    def told(self, last: int, stays: bool = True) -> Iterator[bytes]:
        """The stream's text, until the job has ended, its caller has gone, or the service is being stopped. An empty
        piece says that it begins to wait."""
        yield f"retry: {1000 * (RETRY_S if stays else CROWDED_RETRY_S)}\n\n".encode()
        record = self._followed.record
        if number(record) > last:
            yield from self._event(record, None)
        yield b""
        while stays and not record.ended and not self._followed.is_left and self._is_wanted():
            self._followed.wait_beyond(record, AWAKE_S)
            told, record = record, self._followed.record
            yield from self._event(record, told) if record is not told else self._nothing_new()

    def _event(self, record: JobRecord, told: JobRecord | None) -> Iterator[bytes]:
        name = event_of(record, told)
        if not name:
            return
        try:
            record = self._following.with_result(self._followed) if record.ended else record
        except JobExpired:
            return  # its client comes back, and is told so
        head = f"id: {number(record)}\nevent: {name}\ndata: ".encode()
        yield from _cut([head, *answers.joined(answers.document(record, self._url_prefix), record.result), b"\n\n"])

    def _nothing_new(self) -> Iterator[bytes]:
        """Also looked at: what RQ's own tools do with a job is no news here."""
        self._followed.look_again()
        yield COMMENT


def _held(service: Services, record: JobRecord, share: str, last: int, url_prefix: str,
          is_wanted: Callable[[], bool]) -> Iterator[bytes]:
    """A stream with its place among those who wait, from its first piece to its end."""
    service.count_open(1)
    try:
        with service.place(share, "events") as has_place, service.following.follow(record) as followed:
            yield from Stream(service.following, followed, url_prefix, is_wanted).told(last, has_place)
    finally:
        service.count_open(-1)


def _cut(pieces: list[bytes]) -> Iterator[bytes]:
    """An event in one piece, or in many of such a length that sending does not copy all of it at once."""
    if sum(map(len, pieces)) <= PIECE_BYTES:
        yield b"".join(pieces)
        return
    for piece in pieces:
        yield from (piece[at:at + PIECE_BYTES] for at in range(0, len(piece), PIECE_BYTES))
