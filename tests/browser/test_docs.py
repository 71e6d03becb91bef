"""/docs in a real browser, from our own files alone."""

from pathlib import Path

from playwright.sync_api import Page

from settings import ROOT
from tests.browser.conftest import Opened
from tests.integration.server import Server, web_beside

KEY = "a-key-for-the-reference"


def operation(page: Page, name: str) -> None:
    """Unfold an operation, with its button to try it out."""
    page.locator(f"[id$=-{name}] .opblock-summary-control").click()


def answer(page: Page, name: str) -> str:
    page.locator(f"[id$=-{name}] button.execute").click()
    return page.locator(f"[id$=-{name}] .live-responses-table").inner_text()


def test_an_image_is_tried_out_in_the_reference(opened: Opened) -> None:
    with opened("/docs", color_scheme="dark") as page:
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
        operation(page, "predict")
        page.locator("[id$=-predict] tr[data-param-name=model_type] input").fill("strawberry")
        page.locator("[id$=-predict] input[type=file]").set_input_files(ROOT / "samples" / "leaf.jpg")
        assert '"label": "healthy"' in answer(page, "predict")
        page.get_by_role("link", name="Punnet: try a model").click()
        assert page.locator("#drop").is_visible()


def test_with_keys_the_reference_asks_for_one(opened: Opened, server: Server, tmp_path: Path) -> None:
    with (web_beside(server, tmp_path, API_KEYS=f"us:{KEY}") as keyed, opened("/docs", of=keyed, refusals=2) as page):
        for given in ("wrong", KEY):
            page.get_by_label("API key").fill(given)
            page.get_by_role("button", name="Use it").click()
        operation(page, "list_models")
        assert '"strawberry"' in answer(page, "list_models")
