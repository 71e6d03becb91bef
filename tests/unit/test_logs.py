import json
import logging
import sys

import pytest

from logs import formatter, stamp


def record(exception: bool = False) -> logging.LogRecord:
    try:
        raise ValueError("잎")
    except ValueError:
        found = sys.exc_info() if exception else None
    return logging.LogRecord("jobs", logging.WARNING, __file__, 1, "%s failed\nagain", ("a job",), found)


def test_a_record_is_a_line_of_text() -> None:
    assert formatter("text").format(record()).endswith("WARNING jobs: a job failed\nagain")


def test_a_record_is_an_object_on_one_line() -> None:
    line = formatter("json").format(record(exception=True))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("warning", "jobs", "a job failed\nagain")
    assert "ValueError: 잎" in told["exception"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "1970-01-01T00:00:00.000Z"), (1_795_000_000.25, None)])
def test_a_moment_is_told_in_milliseconds(seconds: float, text: str | None) -> None:
    assert stamp(seconds).endswith(".250Z") if text is None else stamp(seconds) == text
