"""A real browser, whose page is of another origin than the service."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from settings import ROOT
from tests.integration.images import leaf
from tests.integration.network import unchanged
from tests.integration.server import Server, web_beside

REBOUND = "rebound.example"
KEY = "a-key"
# What became of a call, as a page's script sees it.
CALL = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options)
        return {status: answer.status, location: answer.headers.get("Location"), body: await answer.text()}
    } catch (error) {
        return {status: 0}
    }
}"""
SUBMIT_FORM = """([action, fields]) => {
    const form = document.body.appendChild(document.createElement("form"))
    Object.assign(form, {action, method: "post"})
    for (const [name, value] of Object.entries(fields))
        Object.assign(form.appendChild(document.createElement("input")), {name, value})
    form.submit()
}"""


class Pages(BaseHTTPRequestHandler):
    """Somebody else's web server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title><body></body>")

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of somebody else's web server."""
    pages = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    yield pages.server_port
    pages.shutdown()


@contextmanager
def browser_page() -> Iterator[Page]:
    """Debian's Chromium; a laptop may have none."""
    path = shutil.which("chromium")
    if path is None:
        assert not os.environ.get("CI"), "chromium is to be installed in CI"
        pytest.skip("there is no chromium")
    rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[rules, "--no-proxy-server"])
        yield browser.new_page()
        browser.close()


def form(**fields: str) -> dict:
    """What a page may send without a question."""
    body = "&".join(f"{name}={value}" for name, value in fields.items())
    return {"method": "POST", "body": body, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


LEAF = form(model_type="strawberry", img_file="leaf.jpg")
JOB = form(model_type="strawberry", img_file="leaf.jpg", mode="async")


def test_a_page_of_another_origin_can_do_what_the_operator_allows(server: Server, elsewhere: int,
                                                                  tmp_path: Path) -> None:
    page_of_others = f"http://localhost:{elsewhere}"
    allowing = web_beside(server, tmp_path, CORS_ORIGINS=page_of_others, API_KEYS=f"page:{KEY}")
    with unchanged(), browser_page() as page, allowing as open_server:
        for place in (page_of_others, f"http://127.0.0.1:{elsewhere}"):
            page.goto(place)
            _check_that_nothing_is_let(page, server)
        _check_that_a_rebound_name_is_refused(page, server)
        page.goto(page_of_others)
        _check_that_all_is_let(page, open_server)
        page.goto(f"http://127.0.0.1:{elsewhere}")
        _check_that_nothing_is_let(page, open_server)


def _check_that_nothing_is_let(page: Page, server: Server) -> None:
    """Neither reading nor, without a question first, causing; a form's answer shows that it caused nothing."""
    url = f"http://127.0.0.1:{server.port}"
    for path, options in (("/models", {}), ("/predict", LEAF), ("/predict", JOB),
                          ("/models", {"headers": {"X-API-Key": KEY}})):
        assert page.evaluate(CALL, [url + path, options])["status"] == 0
    with page.expect_navigation() as form_sent:
        page.evaluate(SUBMIT_FORM, [f"{url}/predict", {"model_type": "strawberry", "img_file": "leaf.jpg"}])
    assert form_sent.value.status == 403
    assert "/problems/forbidden" in form_sent.value.text()
    page.go_back()


def _check_that_a_rebound_name_is_refused(page: Page, server: Server) -> None:
    """To the browser this page is the service's own."""
    answer = page.goto(f"http://{REBOUND}:{server.port}/models")
    assert answer is not None
    assert answer.status == 403
    assert page.evaluate(CALL, ["/predict", LEAF])["status"] == 403


def _check_that_all_is_let(page: Page, server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}"
    assert page.evaluate(CALL, [f"{url}/models", {}])["status"] == 401
    with_key = {**LEAF, "headers": {**LEAF["headers"], "X-API-Key": KEY}}
    answer = page.evaluate(CALL, [f"{url}/predict", with_key])
    assert (answer["status"], "healthy" in answer["body"]) == (200, True)
    job = page.evaluate(CALL, [f"{url}/predict", with_key | {"body": JOB["body"]}])
    assert (job["status"], job["location"].startswith("/jobs/")) == (202, True)
    assert "healthy" in {one["label"] for one in page.evaluate(_readme_javascript(url), list(leaf()))}
    gone = page.evaluate(CALL, [url + job["location"], {"method": "DELETE", "headers": {"X-API-Key": KEY}}])
    assert gone["status"] == 200


def _readme_javascript(url: str) -> str:
    """The example of the README, with a key, and the bytes of an image in place of a chosen file."""
    [code] = re.findall(r"^```js\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    code = code.replace("http://localhost:4958", url)
    code = code.replace("{method:", f"{{headers: {{'X-API-Key': '{KEY}'}}, method:")
    file = "const file = new Blob([new Uint8Array(bytes)])"
    return f"async (bytes) => {{ {file}; {code} return answer.result.predictions }}"
