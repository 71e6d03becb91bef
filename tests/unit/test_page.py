"""The page at /: who gets it, in which language, and that nothing hostile becomes markup."""

import json
import re
import tomllib
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import languages, page
from api.problems import PROBLEMS
from inference.registry import Entry
from predictors import catalogue
from predictors.catalogue import Listing
from settings import ROOT
from tests.unit.conftest import MakeClient, services_of
from tests.unit.fake_predictors import LEAF

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
STATIC, TEMPLATES = ROOT / "api" / "static", ROOT / "api" / "templates"
HOSTILE = '"><img src=x onerror=alert(1)>\'&{{ 7*7 }}'


def opened(client: FlaskClient, path: str = "/", **headers: str) -> TestResponse:
    return client.get(path, headers=BROWSER | headers)


def texts_of(html: str) -> dict[str, str]:
    """What the script is given to say."""
    found = re.search(r"data-texts='(.*?)'", html)
    assert found
    return json.loads(unescape(found.group(1)))


def serve(client: FlaskClient, *entries: Entry) -> None:
    catalogue.write(services_of(client).settings.state.catalogue, Listing(entries, is_ready=True))


@pytest.mark.parametrize(("accept", "is_page"), [
    (BROWSER["Accept"], True), ("text/html", True), ("application/xhtml+xml;q=0.5", True), ("*/*", False), ("", False),
    ("application/json", False), ("application/json, text/html;q=0.9", False), ("text/html;q=0", False)])
def test_a_browser_gets_the_page_and_others_an_index(client: FlaskClient, accept: str, is_page: bool) -> None:
    answer = client.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, "text/html" if is_page else "application/json")
    assert "Accept" in answer.headers["Vary"]


def test_the_index_links_to_what_can_be_asked_for(client: FlaskClient) -> None:
    links = client.get("/").get_json()["links"]
    assert {"models", "predict", "livez", "readyz"} <= links.keys()
    for name, path in links.items():
        assert client.get(path).status_code in ((200,) if name != "predict" else (405,)), path


def test_a_page_offers_the_ready_models_and_tells_why_others_are_not(client: FlaskClient) -> None:
    html = opened(client).text
    options = re.findall(r'<option value="([^"]+)".*?>(.*?)</option>', html, re.DOTALL)
    assert [name for name, _ in options] == ["embedder", "empty", "late", "leaf"]
    assert [" ".join(text.split()) for _, text in options][1:3] == ["empty (failed)", "late (loading)"]
    assert re.findall("<summary>(.*?)</summary>", html) == ["1 model is not served", "Being loaded: 1"]
    assert "model.onnx is empty" in html
    assert 'data-loading="1"' in html


@pytest.mark.parametrize(("liked", "switched", "query", "language"), [
    ("", "", "", "en"), ("ko-KR,ko;q=0.9,en;q=0.8", "", "", "ko"), ("de", "", "", "en"), ("ko", "", "?lang=en", "en"),
    ("", "", "?lang=ko", "ko"), ("", "", "?lang=xx", "en"), ("", "ko", "", "ko"), ("", "ko", "?lang=en", "en"),
    ("", "<b>", "", "en")])
def test_the_language_is_the_switched_one_or_the_browsers(client: FlaskClient, liked: str, switched: str, query: str,
                                                          language: str) -> None:
    if switched:
        client.set_cookie(languages.COOKIE, switched)
    answer = opened(client, f"/{query}", **{"Accept-Language": liked})
    assert f'<html lang="{language}"' in answer.text
    assert texts_of(answer.text)["drop"] == languages.texts(language)["drop"]
    assert bool(answer.headers.get("Set-Cookie")) == (query in ("?lang=en", "?lang=ko"))


def test_all_languages_have_the_same_texts_with_the_same_places_to_fill_in() -> None:
    for name, text in tomllib.loads(languages.FILE.read_text("utf-8")).items():
        assert text.keys() == languages.LANGUAGES.keys(), name
        places = {language: set(re.findall(r"{(\w+)}", words)) for language, words in text.items()}
        assert len({frozenset(found) for found in places.values()}) == 1, name
        assert all(words.strip() for words in text.values()), name


def test_every_text_that_is_used_is_there_and_each_is_used() -> None:
    sources = "".join(file.read_text("utf-8") for file in (*STATIC.glob("*.js"), *TEMPLATES.glob("*.html")))
    known = languages.texts("en").keys()
    assert {*re.findall(r'say\("(\w+)"', sources), *re.findall(r"texts\.(\w+)", sources)} <= known
    put_together = ("task_", "phase_", "job_", "state_", "sample_", "problem_")
    simple = [name for name in known if not name.startswith(put_together)]
    assert [name for name in simple if not re.search(rf"\b{name}\b", sources)] == []


def test_every_problem_that_a_caller_may_see_has_words_of_the_page() -> None:
    slugs = {problem.slug for problem in PROBLEMS.values() if problem.slug != "caller-gone"}
    assert {name.removeprefix("problem_") for name in languages.texts("en") if name.startswith("problem_")} == slugs


@pytest.mark.parametrize("path", ["/", "/ui/models/leaf"])
def test_what_models_are_called_and_say_is_text(client: FlaskClient, path: str) -> None:
    spec = replace(LEAF.spec, labels=(HOSTILE,), warnings=(HOSTILE,), findings=tuple(
        replace(finding, value=HOSTILE, source=HOSTILE) for finding in LEAF.spec.findings))
    serve(client, Entry("leaf", "1", "ready", HOSTILE, model=replace(LEAF, spec=spec)),
          Entry("bad", "1", "failed", HOSTILE))
    html = opened(client, path).text
    assert HOSTILE not in html
    assert "<img src=x" not in html
    assert unescape(html).count("onerror=alert(1)") >= 2


def test_a_page_of_a_model_tells_all_that_is_known_of_it(client: FlaskClient) -> None:
    html = opened(client, "/ui/models/leaf").text
    for told in ("healthy", "labels.txt", "logits", "Image classification"):
        assert told in html
    assert "model.onnx is empty" in opened(client, "/ui/models/empty").text
    missing = opened(client, "/ui/models/moon")
    assert (missing.status_code, missing.mimetype) == (404, "text/html")
    assert "moon" in missing.text


def test_models_stay_json_for_a_program_that_also_takes_html(client: FlaskClient) -> None:
    assert opened(client, "/models/leaf").mimetype == "application/json"


@pytest.mark.parametrize("path", ["/", "/?lang=ko", "/ui/models/leaf", "/ui/models/moon"])
def test_without_a_key_a_page_tells_of_no_model_and_asks_for_the_key(make_client: MakeClient, path: str) -> None:
    client = make_client(api_keys="me:k1")
    answer = opened(client, path)
    assert answer.status_code == 200
    assert 'id="key-form"' in answer.text
    for name in ("leaf", "embedder", "empty", "late"):
        assert name not in re.sub(r"data-texts='.*?'", "", answer.text)
    assert opened(client, path, **{"X-API-Key": "wrong"}).status_code == 401
    assert 'id="key-form"' not in opened(client, path, **{"X-API-Key": "k1"}).text


def test_with_keys_samples_and_the_index_need_one(make_client: MakeClient) -> None:
    client = make_client(api_keys="me:k1")
    for path in ("/", "/ui/samples/leaf.jpg"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"X-API-Key": "k1"}).status_code == 200


@pytest.mark.parametrize("name", sorted(page.SAMPLES))
def test_samples_are_images(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/ui/samples/{name}")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")


@pytest.mark.parametrize("path", [
    "/ui/samples/other.jpg", "/ui/samples/../README.md", "/ui/samples/..%2fREADME.md", "/static/../page.py",
    "/static/..%2fpage.py", "/static/nothing.js", "/ui/samples/", "/static/"])
def test_nothing_but_samples_and_static_files_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/ui/models/leaf", "/static/page.js"])
def test_a_page_may_load_nothing_from_elsewhere(client: FlaskClient, path: str) -> None:
    policy = opened(client, path).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("file", [*STATIC.iterdir(), *TEMPLATES.glob("*.html")], ids=lambda file: file.name)
def test_files_of_the_page_name_no_other_place_and_make_no_markup_of_texts(file: Path) -> None:
    text = file.read_text("utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "https://bids.github.io/colormap/"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert not re.search(r"\|\s*safe| style=| on\w+=\"", text)


def test_below_a_prefix_all_addresses_begin_with_it(make_client: MakeClient) -> None:
    client = make_client(url_prefix="/punnet")
    for path in ("/?lang=ko", "/ui/models/leaf", "/ui/models/moon"):
        answer = opened(client, path)
        found = re.findall(r'(?:href|src|data-about|data-sample|data-root)="([^"#?]*)', answer.text)
        assert len(found) > 5
        assert all(address.startswith("/punnet") for address in found if address), found
    assert "Path=/punnet" in opened(client, "/?lang=ko").headers["Set-Cookie"]
    assert client.get("/").get_json()["links"]["models"] == "/punnet/models"


def test_before_the_models_are_known_the_page_is_there(make_client: MakeClient) -> None:
    client = make_client()
    services_of(client).settings.state.catalogue.unlink()
    answer = opened(client)
    assert (answer.status_code, languages.texts("en")["starting"] in answer.text) == (200, True)
    assert 'data-loading="1"' in answer.text


@pytest.mark.parametrize("entries", [[("a", "1"), ("a", "2")], [("a", "2"), ("a", "1"), ("a", "10")]])
def test_the_newest_version_bears_the_name_alone(entries: list[tuple[str, str]]) -> None:
    listed: Any = [Entry(name, version, "ready", model=LEAF) for name, version in entries]
    newest, *others = page._choices(listed)
    assert newest.value == "a"
    assert newest.entry.version == max((version for _, version in entries), key=int)
    rest = {f"a:{version}" for _, version in entries if version != newest.entry.version}
    assert {choice.value for choice in others} == rest
