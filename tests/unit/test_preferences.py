import time
from typing import cast

import pytest

from api.preferences import Mode, Preference, cancel_after_s, parse, preferences_of, wait_seconds
from api.problems import BadRequest

WAIT_MAX_S = 60


@pytest.mark.parametrize("mode", ["auto", "async"])
@pytest.mark.parametrize("prefer", [None, "respond-async", "wait=7", "respond-async, wait=7"])
def test_mode_beats_the_header(mode: str, prefer: str | None) -> None:
    assert parse(mode, prefer, WAIT_MAX_S) == Preference(cast(Mode, mode))


@pytest.mark.parametrize(("prefer", "expected"), [
    (None, Preference("sync", WAIT_MAX_S)), ("respond-async", Preference("sync", WAIT_MAX_S)),
    ("wait=soon", Preference("sync", WAIT_MAX_S)), ("wait=7", Preference("sync", 7, "wait=7")),
    ("wait=0", Preference("sync", 0, "wait=0")), ("wait=600", Preference("sync", 60, "wait=60")),
    ("respond-async, wait=7", Preference("sync", 7, "wait=7"))])
def test_with_mode_sync_the_header_says_how_long(prefer: str | None, expected: Preference) -> None:
    assert parse("sync", prefer, WAIT_MAX_S) == expected


@pytest.mark.parametrize("mode", ["", "SYNC", "later", 5, [], {}])
def test_an_unknown_mode_is_refused(mode: str) -> None:
    with pytest.raises(BadRequest, match="auto, sync, async"):
        parse(mode, None, WAIT_MAX_S)


@pytest.mark.parametrize(("header", "expected"), [
    ("respond-async", Preference("async", 0, "respond-async")),
    ("Respond-Async", Preference("async", 0, "respond-async")),
    ("respond-async; note=x", Preference("async", 0, "respond-async")),
    ('respond-async=""', Preference("async", 0, "respond-async")),
    ("wait=7", Preference("sync", 7, "wait=7")),
    ("wait = 7", Preference("sync", 7, "wait=7")),
    ('wait="7"', Preference("sync", 7, "wait=7")),
    ("wait=0", Preference("sync", 0, "wait=0")),
    ("wait=600", Preference("sync", 60, "wait=60")),
    ("wait=99999999999999999999", Preference("sync", 60, "wait=60")),
    ("wait=7, wait=9", Preference("sync", 7, "wait=7")),
    ("respond-async, wait=5", Preference("async", 5, "respond-async, wait=5")),
    ("wait=5,respond-async", Preference("async", 5, "respond-async, wait=5")),
    ("handling=lenient, wait=5", Preference("sync", 5, "wait=5")),
])
def test_a_good_header_is_followed_and_told(header: str, expected: Preference) -> None:
    assert parse(None, header, WAIT_MAX_S) == expected


@pytest.mark.parametrize("header", [
    "", ",", "wait", "wait=", "wait=soon", "wait=-1", "wait=1.5", "wait=1e3", "wait=\xb2",
    "respond-async=yes", "return=minimal", ";", "=", "wait=7 8", 'note="a, wait=5"', r'foo="a\", respond-async"',
    'foo="unterminated, respond-async', "=,respond-async",
])
def test_a_malformed_or_foreign_header_is_ignored(header: str) -> None:
    assert parse(None, header, WAIT_MAX_S) == Preference()


@pytest.mark.parametrize(("header", "expected"), [
    ("a", {"a": ""}), ("A=b", {"a": "b"}), ("a, b", {"a": "", "b": ""}), ("a=1,a=2", {"a": "1"}), ('a=""', {"a": ""}),
    (",a,, b ,", {"a": "", "b": ""}), ("a\t= b", {"a": "b"}), ('a="b, c";d="e, f" ; g, h', {"a": "b, c", "h": ""}),
    (r'a="\"\\", b', {"a": '"\\', "b": ""}), ("a;;b; ;, c", {"a": "", "c": ""}), ('a="é\t", b', {"a": "é\t", "b": ""}),
    ("a; b=c; d", {"a": ""}),
])
def test_a_header_is_read_as_the_rfc_writes_it(header: str, expected: dict[str, str]) -> None:
    assert preferences_of(header) == expected


@pytest.mark.parametrize("wrong", [
    "=", "=b", "a=", "a=,", "a b", "a=b c", 'a="b', r'a="b\"', 'a="b"c', 'a"b"', "a;=b", "a;b=", "a;b c", ";", ";a",
    "a=(b)", "é", "a=é", 'a="\x00"', "a\n", "\xa0a", "a==b", "a=b=c", "a=b;c=d=e"])
def test_of_a_header_that_is_malformed_anywhere_nothing_counts(wrong: str) -> None:
    for header in (wrong, f"respond-async, {wrong}", f"{wrong}, respond-async"):
        assert preferences_of(header) == {}, header


@pytest.mark.parametrize("piece", ["a", "a,", ";", "a;", "a; ", " ", "\t;", '"', '\\"', "a=", 'a="b";'])
def test_a_long_header_is_read_in_no_time(piece: str) -> None:
    began = time.monotonic()
    preferences_of("a;" + piece * 8000 + "é")
    assert time.monotonic() - began < 1


def test_without_any_wish_it_is_auto() -> None:
    assert parse(None, None, WAIT_MAX_S) == Preference("auto", 0, "")


@pytest.mark.parametrize(("text", "seconds"), [
    (None, 0), ("0", 0), ("0.5", 0.5), ("7", 7), ("61", 60), ("1e9", 60), ("inf", 60)])
def test_wait_is_clamped(text: str | None, seconds: float) -> None:
    assert wait_seconds(text, WAIT_MAX_S) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "1,5", "-inf"])
def test_a_wait_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="is not a number of seconds"):
        wait_seconds(text, WAIT_MAX_S)


@pytest.mark.parametrize(("text", "seconds"), [
    ("30", 30), ("30s", 30), ("1.5", 1.5), ("0.25s", 0.25), ("500ms", 0.5), ("2m", 120), ("1m30s", 90), ("1h", 3600),
    ("1h1m1s", 3661), (" 5s ", 5)])
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert cancel_after_s(None, text) == pytest.approx(seconds)
    assert cancel_after_s(text, "7s") == pytest.approx(seconds)


@pytest.mark.parametrize(("field", "seconds"), [(3, 3), (0.5, 0.5)])
def test_a_json_number_is_seconds(field: float, seconds: float) -> None:
    assert cancel_after_s(field, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "soon", "1d", "s", "5 s", "1s1m", "nan", "inf", "1e3", "²"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="30s"):
        cancel_after_s(None, text)


def test_without_either_there_is_no_deadline() -> None:
    assert cancel_after_s(None, None) is None
