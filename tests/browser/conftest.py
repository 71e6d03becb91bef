"""One server, and one real Chromium, for all tests of the page."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from settings import ROOT
from tests.integration.network import unchanged
from tests.integration.server import Server, wait_until
from tests.onnx_models import sleeper

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text("utf-8")
GRAVE = ("serious", "critical")
PATIENCE_MS = 20_000  # of whatever waits for the page, on a busy machine
Opened = Callable[..., Any]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The bundled models, one that computes for 5 seconds on a white image, and one that cannot be served."""
    models = tmp_path_factory.mktemp("models")
    for name in ("strawberry", "strawberry-fruit"):
        (models / name).symlink_to(ROOT / "models" / name)
    for name in ("sleep5", "broken"):
        (models / name).mkdir()
    sleeper(models / "sleep5" / "model.onnx", 5)
    (models / "broken" / "model.onnx").touch()
    running = Server(tmp_path_factory.mktemp("server"), {"MODELS_DIR": models, "WORKERS": 1, "PREDICTORS": 1})
    running.start()
    wait_until(lambda: all(model["state"] != "loading" for model in running.get("/models").json["models"]), 60)
    yield running
    running.stop()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's; a laptop may have none."""
    path = shutil.which("chromium")
    if path is None:
        assert not os.environ.get("CI"), "chromium is to be installed in CI"
        pytest.skip("there is no chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-proxy-server"])
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def unchanged_network() -> Iterator[None]:
    with unchanged():
        yield


@pytest.fixture
def opened(chromium: Browser, server: Server) -> Opened:
    """Open a page of the server in a browser of its own settings. At its end there was no request to another host,
    and no error in the console, where a browser also tells each answer above 399; `refusals` are those expected."""

    @contextmanager
    def open_page(path: str = "/", of: Server = server, refusals: int = 0, **settings: Any) -> Iterator[Page]:
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        page, errors, hosts = context.new_page(), [], set()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        try:
            page.goto(f"http://127.0.0.1:{of.port}{path}")
            yield page
        finally:
            context.close()
            print("errors of the page:", errors)  # pytest shows it of a test that failed
        refused = [error for error in errors if "the server responded with a status of 4" in error]
        assert len(refused) == refusals
        assert (sorted({*errors} - {*refused}), hosts - {f"127.0.0.1:{of.port}", ""}) == ([], set())

    return open_page


def faults(page: Page) -> list[str]:
    """What axe finds on the page that keeps somebody from using it."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{each['id']}: {node['html']}" for each in found if each["impact"] in GRAVE for node in each["nodes"]]


def is_wider_than_the_window(page: Page) -> bool:
    """Whether it scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")
