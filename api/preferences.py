"""How a caller wants to be answered, and until when: `mode`, or RFC 7240's `Prefer` header; `Cancel-After`. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from api.problems import BadRequest

Mode = Literal["auto", "sync", "async"]
# As RFC 7240, section 2, writes a preference, with its parameters, up to the next comma that stands in no quoted text.
NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
VALUE = rf"[ \t]*=[ \t]*({NAME}|{QUOTED})"
PARAMETERS = rf"(?:[ \t]*;(?:[ \t]*{NAME}(?:{VALUE})?)?)*"
PREFERENCE = re.compile(rf"[ \t]*(?:({NAME})(?:{VALUE})?{PARAMETERS})?[ \t]*(?:,|\Z)")
MODES = ("auto", "sync", "async")
DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,6})?)(?:s|$))?(?:(\d{1,9})ms)?")


@dataclass(frozen=True)
class Preference:
    """`wait_s`: how long the caller of a job wants to wait for it. `applied`: the value of `Preference-Applied`, or
    empty."""

    mode: Mode = "auto"
    wait_s: float = 0.0
    applied: str = ""


def parse(mode: str | None, prefer: str | None, wait_max_s: float) -> Preference:
    """`mode` beats the header, whose `wait` still says how long a call with `mode=sync` waits; a malformed header is
    ignored, as RFC 7240 wants it.

    Raises:
        BadRequest: an unknown mode.
    """
    respond_async, wait_s = _of_header(prefer or "", wait_max_s)
    if mode is None:
        return _preferred(respond_async, wait_s)
    if mode not in MODES:
        raise BadRequest(f"mode={mode}: it is one of {', '.join(MODES)}")
    if mode == "sync":
        return Preference("sync", wait_max_s) if wait_s is None else _preferred(False, wait_s)
    return Preference(cast(Mode, mode))


def wait_seconds(text: str | None, wait_max_s: float) -> float:
    """`?wait=N`, at most `wait_max_s`; 0 where it is absent.

    Raises:
        BadRequest: not a number of seconds.
    """
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError as error:
        raise BadRequest(f"wait={text} is not a number of seconds") from error
    if math.isnan(seconds) or seconds < 0:
        raise BadRequest(f"wait={text} is not a number of seconds")
    return min(seconds, wait_max_s)


def _preferred(respond_async: bool, wait_s: int | None) -> Preference:
    mode: Mode = "async" if respond_async else "auto" if wait_s is None else "sync"
    applied = ["respond-async"] * respond_async + ([] if wait_s is None else [f"wait={wait_s}"])
    return Preference(mode, float(wait_s or 0), ", ".join(applied))


def _of_header(header: str, wait_max_s: float) -> tuple[bool, int | None]:
    """Whether `respond-async` is preferred, and the seconds of `wait`, clamped."""
    given = preferences_of(header)
    wait_s = _whole_seconds(given.get("wait"))
    return given.get("respond-async") == "", None if wait_s is None else min(wait_s, int(wait_max_s))


def preferences_of(header: str) -> Mapping[str, str]:
    """What a `Prefer` header names, each with its value, "" without one; nothing of a header that is malformed
    anywhere. Of a preference given twice the first counts."""
    given: dict[str, str] = {}
    at = 0
    while at < len(header):
        found = PREFERENCE.match(header, at)
        if found is None:
            return {}
        if found[1]:
            given.setdefault(found[1].lower(), _unquoted(found[2] or ""))
        at = found.end()
    return given


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _whole_seconds(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,30}", text) else None


def cancel_after_s(field: Any, header: str | None) -> float | None:
    """After how many seconds a caller wants no answer any more: field `timeout`, or else `Cancel-After: 1m30s`.

    Raises:
        BadRequest: not a length of time above zero.
    """
    given = header if field is None else str(field)
    if given is None:
        return None
    found = DURATION.fullmatch(given.strip())
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups()) if found else (0.0,) * 4
    total_s = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    if total_s <= 0:
        name = "Cancel-After" if field is None else "timeout"
        raise BadRequest(f"{name}: {given!r} is no length of time above zero, such as 30s, 1m30s or 500ms")
    return total_s
