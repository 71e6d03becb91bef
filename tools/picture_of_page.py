"""Takes the README's picture of the page: `python -m tools.picture_of_page http://localhost:4958` before a running
service, with Debian's Chromium."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FILE = Path(__file__).parent.parent / "docs" / "images" / "page.webp"
WINDOW = {"width": 1180, "height": 860}
POINTED_AT = (436 / 640, 238 / 640)  # a fruit of the sample, as a share of its sides
PATIENCE_MS = 60_000


def taken(url: str) -> bytes:
    """A PNG of the page with the sample field, its answer, and the pointer on one of the fruits."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-proxy-server"])
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        page.locator("[data-model=strawberry-fruit] img").wait_for()
        page.locator("[data-model=strawberry-fruit]").click()
        page.locator("#result .rows").wait_for()
        place = page.locator(".frame").last.bounding_box()
        assert place
        page.mouse.move(place["x"] + POINTED_AT[0] * place["width"], place["y"] + POINTED_AT[1] * place["height"])
        return page.screenshot()


def main() -> None:
    """Take it, and write it small."""
    FILE.parent.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(taken(sys.argv[1]))) as picture:
        picture.convert("RGB").save(FILE, quality=86, method=6)


if __name__ == "__main__":
    main()
