"""What a browser's page of another origin can do: nothing, unless its origin is allowed. Programs notice nothing."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.browsers import host_name, is_foreign
from tests.unit.conftest import MakeClient
from tests.unit.images import photo

PAGE = "http://localhost:3000"
EXPOSED = {"Location", "Retry-After", "Server-Timing", "X-Request-ID", "Preference-Applied"}


def post(client: FlaskClient, query: str = "model_type=leaf", **headers: str) -> TestResponse:
    return client.post(f"/predict?{query}", data=photo(), content_type="image/jpeg",
                       headers={name.replace("_", "-"): value for name, value in headers.items()})


def ask(client: FlaskClient, origin: str = PAGE, path: str = "/predict") -> TestResponse:
    """A preflight."""
    return client.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "POST",
                                         "Access-Control-Request-Headers": "content-type,x-api-key"})


def is_forbidden(answer: TestResponse) -> bool:
    return (answer.status_code == 403 and answer.get_json()["type"] == "/problems/forbidden"
            and "Access-Control-Allow-Origin" not in answer.headers)


@pytest.mark.parametrize(("fetch_site", "origin", "host", "expected"), [
    ("", "", "h", False), ("none", "", "h", False), ("same-origin", "http://h", "proxy", False),
    ("same-site", "http://h:1", "h", True), ("cross-site", "", "h", True), ("CROSS", "http://h", "h", True),
    ("", "http://h", "h", False), ("", "http://H:80", "h:80", False), ("", "http://h", "h:80", False),
    ("", "https://h", "h:443", False), ("", "http://h", "h:443", True), ("", "http://h:3000", "h:4958", True),
    ("", "http://h.evil", "h", True), ("", "null", "h", True), ("", "null", "", True), ("", "file://", "h", True)])
def test_a_browser_tells_by_either_header_that_a_page_is_of_another_origin(fetch_site: str, origin: str, host: str,
                                                                           expected: bool) -> None:
    assert is_foreign(fetch_site, origin, host) is expected


@pytest.mark.parametrize(("host", "name"), [
    ("localhost:80", "localhost"), ("LOCALHOST.", "localhost"), ("[::1]:4958", "::1"), ("[::1]", "::1"), ("", ""),
    ("10.0.0.1", "10.0.0.1"), ("a.b:", "a.b")])
def test_a_host_is_known_by_its_name(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize("headers", [{"Origin": PAGE}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"},
                                     {"Sec_Fetch_Site": "same-site", "Origin": PAGE}])
@pytest.mark.parametrize("settings", [{}, {"cors_origins": "https://other.org"}])
def test_a_page_of_another_origin_causes_nothing(make_client: MakeClient, headers: dict[str, str],
                                                 settings: dict[str, str]) -> None:
    client = make_client(**settings)
    assert is_forbidden(post(client, **headers))
    job = post(client, "model_type=leaf&mode=async").headers["Location"]
    assert is_forbidden(client.delete(job, headers={name.replace("_", "-"): headers[name] for name in headers}))
    assert client.get(job).get_json()["state"] == "queued"


def test_a_page_of_another_origin_reads_nothing(client: FlaskClient) -> None:
    answer = client.get("/models", headers={"Origin": PAGE, "Sec-Fetch-Site": "same-site"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert is_forbidden(ask(client))


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost", "Sec_Fetch_Site": "same-origin"},
                                     {"Origin": "http://localhost"}, {"Sec_Fetch_Site": "none"}])
def test_programs_and_pages_of_our_own_notice_nothing(client: FlaskClient, headers: dict[str, str]) -> None:
    assert post(client, **headers).status_code == 200


@pytest.mark.parametrize(("setting", "told"), [("*", "*"), (PAGE, PAGE), (f"https://a.org, {PAGE}", PAGE)])
@pytest.mark.parametrize("keys", ["", "me:k1"])
def test_an_allowed_page_may_ask_without_a_key_and_read_what_it_is_told(make_client: MakeClient, setting: str,
                                                                        told: str, keys: str) -> None:
    client = make_client(cors_origins=setting, api_keys=keys)
    asked = ask(client)
    assert (asked.status_code, asked.data, asked.headers["Access-Control-Allow-Origin"]) == (204, b"", told)
    assert {"GET", "POST", "DELETE"} == set(asked.headers["Access-Control-Allow-Methods"].split(", "))
    assert asked.headers["Access-Control-Allow-Headers"] == "content-type,x-api-key"
    answer = post(client, Origin=PAGE, Sec_Fetch_Site="cross-site", X_API_Key="k1")
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, told)
    assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) >= EXPOSED
    assert ("Origin" in answer.vary) == (setting != "*")
    assert "Cross-Origin-Resource-Policy" not in answer.headers


@pytest.mark.parametrize(("path", "key", "status"), [
    ("/models", "wrong", 401), ("/nothing", "k1", 404), ("/predict", "k1", 405), ("/jobs/x", "k1", 404)])
def test_an_allowed_page_reads_problems_too(make_client: MakeClient, path: str, key: str, status: int) -> None:
    answer = make_client(cors_origins=PAGE, api_keys="me:k1").get(path, headers={"Origin": PAGE, "X-API-Key": key})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, PAGE)


def test_the_origin_matters_to_caches_where_some_are_allowed(make_client: MakeClient) -> None:
    assert "Origin" in make_client(cors_origins=PAGE).get("/models").vary


def test_what_is_no_preflight_needs_a_key(make_client: MakeClient) -> None:
    client = make_client(cors_origins=PAGE, api_keys="me:k1")
    assert client.options("/predict", headers={"Origin": PAGE}).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4958", "10.0.0.7:4958", "localhost.evil.example",
                                  "127.0.0.1.evil.example", "localhost,evil.example"])
@pytest.mark.parametrize("path", ["/models", "/livez", "/nothing"])
def test_on_loopback_a_name_that_is_not_ours_is_forbidden(client: FlaskClient, host: str, path: str) -> None:
    assert is_forbidden(client.get(path, headers={"Host": host}))


@pytest.mark.parametrize("host", ["localhost", "LocalHost:3000", "127.0.0.1:8080", "127.8.9.1", "[::1]:4958",
                                  "punnet.localhost", "punnet.local:4958", "Punnet.Local.", "10.0.0.7"])
def test_on_loopback_our_names_are_loopback_and_what_is_allowed(make_client: MakeClient, host: str) -> None:
    client = make_client(allowed_hosts="punnet.local,10.0.0.7")
    assert client.get("/models", headers={"Host": host}).status_code == 200


def test_elsewhere_any_name_is_ours(make_client: MakeClient) -> None:
    client = make_client(bind="0.0.0.0:4958", api_keys="me:k1")
    assert client.get("/models", headers={"Host": "any.example", "X-API-Key": "k1"}).status_code == 200
