from typing import Any

import pytest

from api.webhooks import parse
from inference.errors import BadParameter
from jobs.webhooks import Webhook

URL = "https://example.org/hook?token=s3cret"


def test_without_its_field_there_is_no_webhook() -> None:
    values = {"top_k": "3"}
    assert parse(values, private=False) is None
    assert values == {"top_k": "3"}


@pytest.mark.parametrize(("given", "events"), [
    (None, ("completed",)), ("completed", ("completed",)), ("progress, start", ("start", "progress")),
    ("completed,start,progress,start", ("start", "progress", "completed")), (["start"], ("start",))])
def test_events_are_chosen_with_commas_or_as_a_list(given: Any, events: tuple[str, ...]) -> None:
    values = {"webhook": URL} | ({} if given is None else {"webhook_events_filter": given})
    assert parse(values, private=False) == Webhook(URL, events)  # type: ignore[arg-type]
    assert values == {}


@pytest.mark.parametrize("given", ["", "ended", "start,ended", "start,,progress", [], ["ended"], [["start"]], 3, {}])
def test_unknown_events_are_refused_with_those_there_are(given: Any) -> None:
    with pytest.raises(BadParameter, match="start, progress, completed"):
        parse({"webhook": URL, "webhook_events_filter": given}, private=False)


def test_events_without_a_url_are_refused() -> None:
    with pytest.raises(BadParameter, match="without webhook"):
        parse({"webhook_events_filter": "start"}, private=False)


@pytest.mark.parametrize(("url", "told"), [
    ("", "visible ASCII"), (7, "visible ASCII"), ("https://a b/", "visible ASCII"), ("https://\u00e9.org/", "ASCII"),
    ("https://a/\r\nX: y", "ASCII"), ("https://a/" + "x" * 2048, "2048"), ("ftp://a.org/", "https://"),
    ("http://a.org/", "https://"), ("a.org/hook", "https://"), ("https:///hook", "no host"),
    ("https://:80/", "no host"), ("https://a.org:0/", "no host"), ("https://a.org:99999/", "[Pp]ort"),
    ("https://[::1/", "IPv6"),     ("https://me:s3cret@a.org/", "password"),
    ("https://me@a.org/", "user name"), ("https://a.org/#x", "fragment"),
    ("https://127.0.0.1/s3cret", "not public"), ("https://[::ffff:10.0.0.1]/", "not public"),
    ("https://169.254.169.254/", "not public")])
def test_a_url_that_cannot_be_posted_to_is_refused_and_not_repeated(url: Any, told: str) -> None:
    with pytest.raises(BadParameter, match=told) as caught:
        parse({"webhook": url}, private=False)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/hook", "http://[::1]/", "https://10.0.0.1/", "http://hook/"])
def test_private_addresses_and_plain_http_may_be_allowed(url: str) -> None:
    assert parse({"webhook": url}, private=True) == Webhook(url, ("completed",))


def test_addresses_of_clouds_passwords_may_not() -> None:
    with pytest.raises(BadParameter, match="not public"):
        parse({"webhook": "http://169.254.169.254/latest"}, private=True)
