"""The page as a person uses it, in a real browser and before the real service."""

import base64
import io
import json
import re
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from api.languages import texts
from settings import ROOT
from tests.browser.conftest import Opened, faults, is_wider_than_the_window
from tests.browser.results import HOSTILE, SHOWN, png
from tests.integration.images import encoded
from tests.integration.server import Server, web_beside

SAMPLES = ROOT / "samples"
FRUITS = 12  # ripe ones in samples/strawberries.jpg
KEY = "a-key-for-the-page"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
# Hand the page a file as a drop or a paste does.
GIVE = """([kind, name, type, data]) => {
    const file = new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name, {type})
    const given = new DataTransfer()
    given.items.add(file)
    const event = kind === "drop" ? new DragEvent("drop", {dataTransfer: given, bubbles: true, cancelable: true})
        : new ClipboardEvent("paste", {clipboardData: given, bubbles: true})
    document.querySelector(kind === "drop" ? "#drop" : "body").dispatchEvent(event)
}"""
CUT_TABLES = "[...document.querySelectorAll('.table')].filter((each) => each.scrollWidth > each.clientWidth).length"
# Where each part stands, in the order in which it is read, with the last jobs shown.
HEIGHTS = """document.getElementById("jobs").removeAttribute("hidden") ??
    [...document.querySelectorAll("#try > *")].filter((each) => each.offsetParent).map((each) => each.offsetTop)"""


def give(page: Page, kind: str, name: str, image: bytes, media_type: str = "image/jpeg") -> None:
    page.evaluate(GIVE, [kind, name, media_type, base64.b64encode(image).decode()])


def choose(page: Page, name: str, image: bytes, media_type: str = "image/jpeg") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": media_type, "buffer": image})


def point_at(page: Page, selector: str) -> None:
    """Move the pointer into the first shape of this kind."""
    place = page.locator(selector).first.bounding_box()
    assert place
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)


def has_told(page: Page, text: str) -> None:
    expect(page.locator("#status")).to_contain_text(text)


@cache
def strawberries(sheets: int = 1) -> bytes:
    """The sample field so many times beside and below itself."""
    with Image.open(SAMPLES / "strawberries.jpg") as field:
        whole = Image.new("RGB", (field.width * sheets, field.height * sheets))
        for place in range(sheets * sheets):
            whole.paste(field, (place % sheets * field.width, place // sheets * field.height))
    return encoded(whole, quality=88)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted_and_its_label_read(opened: Opened, kind: str) -> None:
    with opened() as page:
        page.select_option("#model", "strawberry")
        give(page, kind, "leaf.jpg", (SAMPLES / "leaf.jpg").read_bytes())
        has_told(page, "healthy")
        assert page.locator(".bars li").count() == 2
        assert page.locator("#timings dd").last.inner_text().endswith("ms")


def test_each_bundled_model_has_a_sample_that_shows_what_it_does(opened: Opened) -> None:
    with opened() as page:
        expect(page.locator(".sample img").last).to_be_visible()
        for sample, told in (("A scorched leaf", "leaf_scorch"), ("Fruit in a field", f"{FRUITS} found")):
            page.get_by_role("button", name=sample).click()
            has_told(page, told)
        assert page.locator(".frame rect.line:visible").count() == FRUITS


def test_a_large_image_goes_through_its_progress_to_its_boxes_and_stays_after_a_reload(opened: Opened) -> None:
    with opened() as page:
        page.select_option("#model", "strawberry-fruit")
        choose(page, "field.jpg", strawberries(4))
        expect(page.locator("#job progress[value]")).to_be_visible(timeout=20_000)
        expect(page.locator("#job progress")).to_have_attribute("value", re.compile("^[1-9]"))
        assert "tiles" in page.locator(".job-details").inner_text()
        assert faults(page) == []
        has_told(page, "found")
        boxes = page.locator(".frame rect.line:visible").count()
        assert boxes == pytest.approx(16 * FRUITS, abs=8)
        page.reload()
        expect(page.locator("#jobs .state")).to_have_text("done")
        page.locator("#jobs button").first.click()
        has_told(page, f"{boxes} found")
        expect(page.locator(".frame img")).to_have_attribute("alt", texts("en")["drawn_image"])
        assert "field.jpg" in page.locator("#caption").inner_text()


def test_a_job_tells_its_place_and_is_asked_after_where_its_events_do_not_come_through(opened: Opened) -> None:
    waiting = {"id": "j1", "state": "queued", "queue_position": 3, "eta_s": 119.0, "progress": {"done": 0, "total": 1},
               "urls": {"get": "/jobs/j1", "result": "/jobs/j1/result", "events": "/jobs/j1/events"}}
    stands: dict[str, Any] = dict(waiting)
    with opened() as page:
        page.route("**/predict?*", lambda route: route.fulfill(status=202, json=waiting))
        page.route("**/jobs/j1/events", lambda route: route.fulfill(content_type="text/event-stream", body=":\n\n"))
        page.route(re.compile("/jobs/j1($|[?])"), lambda route: route.fulfill(json=stands))
        page.select_option("#model", "strawberry")
        choose(page, "tiny.png", base64.b64decode(png("L")), "image/png")
        expect(page.locator(".job-details")).to_have_text("place 3 · about 2 min left")
        stands |= SHOWN["labels"][0] | {"state": "succeeded"}
        has_told(page, "75%")
        expect(page.locator("#job")).to_be_hidden()


def test_a_job_is_canceled(opened: Opened, server: Server) -> None:
    with opened() as page:
        page.select_option("#model", "sleep5")
        choose(page, "white.png", encoded(Image.new("RGB", (64, 64), "white"), "PNG"), "image/png")
        page.get_by_role("button", name="Cancel").click()
        has_told(page, "Canceled")
        expect(page.locator("#jobs .state")).to_have_text("canceled")


def test_the_keyboard_alone_is_enough(opened: Opened) -> None:
    with opened() as page:
        expect(page.locator(".sample img").last).to_be_visible()
        _tab_to(page, "document.activeElement.dataset.model === 'strawberry-fruit'")
        page.keyboard.press("Enter")
        has_told(page, "found")
        _tab_to(page, "document.activeElement.id === 'threshold'", backwards=True)
        page.keyboard.press("End")
        has_told(page, "Nothing above")
        page.keyboard.press("Home")
        _tab_to(page, "document.activeElement.role === 'listbox'")
        page.keyboard.press("ArrowDown")
        expect(page.locator(".tip")).to_contain_text("ripe_strawberry")
        assert page.locator("[role=option][aria-selected=true]").count() == 1
        assert page.locator(".frame g.on").count() == 1


def _tab_to(page: Page, condition: str, backwards: bool = False) -> None:
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        if page.evaluate(condition):
            return
    raise AssertionError(f"no focus after 40 tabs: {condition}")


def test_the_threshold_acts_at_once_and_hovering_tells_label_and_score(opened: Opened) -> None:
    with opened() as page:
        asked: list[str] = []
        page.get_by_role("button", name="Fruit in a field").click()
        has_told(page, f"{FRUITS} found")
        own = page.locator("#threshold").input_value()
        assert f"-F threshold={own} " in page.locator("#call pre").inner_text()
        page.on("request", lambda request: asked.append(request.url))
        seen = []
        for value in ("0.77", "0.9", "0.3"):
            page.locator("#threshold").fill(value)
            seen.append(page.locator(".frame rect.line:visible").count())
            assert page.locator(".rows li").count() == seen[-1]
        assert seen[2] >= FRUITS
        assert 0 < seen[0] < FRUITS
        assert seen[1] == len(asked) == 0
        point_at(page, ".frame rect.line")
        assert page.locator(".tip").inner_text().startswith("ripe_strawberry ")
        assert "-F threshold=0.3" in page.locator("#call pre").inner_text()


def test_it_speaks_korean(opened: Opened) -> None:
    with opened(locale="ko-KR", refusals=1) as page:
        assert page.locator("html").get_attribute("lang") == "ko"
        assert page.locator("h1").inner_text() == texts("ko")["headline"]
        choose(page, "leaf.jpg", b"no image at all")
        expect(page.locator("#problem h3")).to_have_text(texts("ko")["problem_unsupported-image"])
        assert "served are JPEG" in page.locator("#problem [lang=en]").inner_text()
        page.locator(".sample").first.click()
        has_told(page, "healthy")
        assert page.locator("#timings h2").inner_text() == texts("ko")["timings"]
        page.select_option("#model", "strawberry-fruit")
        page.get_by_role("link", name="English").click()
        assert page.locator("#model").input_value() == "strawberry-fruit"
        assert page.locator("h1").inner_text() == texts("en")["headline"]
        page.reload()
        assert page.locator("html").get_attribute("lang") == "en"


def test_it_is_readable_on_a_phone_at_night(opened: Opened) -> None:
    with opened(color_scheme="dark", **PHONE) as page:
        red = page.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0]")
        assert int(red) < 60
        assert page.get_by_text("Take a photo").is_visible()
        assert (faults(page), is_wider_than_the_window(page)) == ([], False)
        page.get_by_role("button", name="Fruit in a field").click()
        has_told(page, "found")
        page.get_by_text("The answer as JSON").click()
        assert (faults(page), is_wider_than_the_window(page)) == ([], False)
        page.get_by_role("link", name="About this model").first.click()
        assert (faults(page), is_wider_than_the_window(page)) == ([], False)
        assert not page.evaluate(CUT_TABLES)
        assert page.evaluate(HEIGHTS) == sorted(page.evaluate(HEIGHTS))


def test_a_model_that_is_not_served_is_told_with_its_reason(opened: Opened) -> None:
    with opened() as page:
        assert not page.locator(".not-served li").is_visible()
        page.get_by_text("1 model is not served").click()
        assert "is empty" in page.locator(".not-served").inner_text()
        page.locator(".not-served a").click()
        assert "is empty" in page.locator(".problem").inner_text()
        assert faults(page) == []


def test_with_keys_the_page_asks_for_one_once(opened: Opened, server: Server, tmp_path: Path) -> None:
    with web_beside(server, tmp_path, API_KEYS=f"page:{KEY}") as locked, opened(of=locked) as page:
        assert page.locator("select").count() == 0
        assert faults(page) == []
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator(".sample img").first).to_be_visible()
        page.reload()
        page.get_by_role("button", name="A healthy leaf").click()
        has_told(page, "healthy")
        assert KEY not in page.locator("#call").inner_text()
        page.get_by_role("button", name="Forget the key").click()
        expect(page.get_by_label("API key")).to_be_visible()


def test_each_tasks_result_is_drawn_and_told_and_nothing_hostile_becomes_markup(opened: Opened) -> None:
    with opened() as page:
        page.select_option("#model", "strawberry")
        for task, (answer, drawn, told) in SHOWN.items():
            page.route("**/predict?*", partial(_fulfil, answer))
            choose(page, f"{HOSTILE}.png", base64.b64decode(png("L")), "image/png")
            expect(page.locator("#result .raw"), task).to_be_visible()
            for selector, count in drawn.items():
                expect(page.locator(selector), f"{task}: {selector}").to_have_count(count)
            assert told in page.locator(".side").inner_text(), task
            page.unroute("**/predict?*")
        assert faults(page) == []
        assert page.title() == texts("en")["title"]
        assert page.locator('img[src="x"]').count() == 0
        assert HOSTILE in page.locator("#caption").inner_text()


def _fulfil(answer: dict[str, Any], route: Route) -> None:
    route.fulfill(status=200, content_type="application/json", body=json.dumps(answer))


def test_an_image_that_the_browser_cannot_show_is_drawn_by_the_server(opened: Opened) -> None:
    buffer = io.BytesIO()
    with Image.open(SAMPLES / "strawberries.jpg") as field:
        pillow_heif.from_pillow(field).save(buffer)
    with opened() as page:
        page.select_option("#model", "strawberry-fruit")
        choose(page, "phone.heic", buffer.getvalue(), "image/heic")
        has_told(page, "found")
        expect(page.locator(".note")).to_have_text(texts("en")["drawn_by_server"])
        point_at(page, ".frame rect.line")
        assert page.locator(".tip").inner_text().startswith("ripe_strawberry ")


def test_a_photograph_that_lies_on_its_side_is_shown_upright_below_its_boxes(opened: Opened) -> None:
    with Image.open(SAMPLES / "strawberries.jpg") as field:
        wide = field.crop((0, 160, 640, 640)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    with opened() as page:
        page.select_option("#model", "strawberry-fruit")
        choose(page, "turned.jpg", encoded(wide, exif=exif))
        has_told(page, "found")
        assert page.locator(".frame svg").get_attribute("viewBox") == "0 0 640 480"
        assert page.locator(".note").count() == 0
        boxes = [page.locator(".frame rect.line").nth(number).get_attribute("x") for number in range(3)]
        assert len(set(boxes)) == 3


def test_an_image_of_a_hundred_megapixels_is_shown_smaller(opened: Opened) -> None:
    with opened() as page:
        answer = SHOWN["labels"][0] | {"image": {"width": 10_000, "height": 10_000, "format": "JPEG"}}
        page.route("**/predict?*", partial(_fulfil, answer))
        choose(page, "huge.jpg", encoded(Image.new("RGB", (10_000, 10_000), (90, 120, 60)), quality=60))
        has_told(page, "75%")
        assert page.locator(".frame canvas").evaluate("(canvas) => canvas.width * canvas.height") < 6e6
        assert page.locator(".frame svg").get_attribute("viewBox") == "0 0 10000 10000"


def test_what_is_refused_is_told_in_words_and_the_next_image_is_answered(opened: Opened) -> None:
    with opened(refusals=1) as page:
        page.select_option("#model", "strawberry")
        choose(page, f"{HOSTILE}.jpg", b"no image at all")
        problem = page.locator("#problem")
        expect(problem).to_contain_text("The image cannot be read")
        assert "served are JPEG" in problem.inner_text()
        assert page.locator(".frame .nothing").inner_text() == texts("en")["no_preview_file"]
        assert page.locator("#caption").inner_text().endswith("1 kB")
        assert faults(page) == []
        choose(page, "leaf.jpg", (SAMPLES / "leaf.jpg").read_bytes())
        has_told(page, "healthy")
        expect(problem).to_be_hidden()


def test_the_call_that_is_shown_works_as_printed(opened: Opened, server: Server) -> None:
    with opened() as page:
        page.locator(".sample").first.click()
        has_told(page, "healthy")
        curl = page.locator("#call pre").inner_text()
        page.get_by_role("tab", name="curl").press("ArrowRight")
        python = page.locator("#call pre").inner_text()
        page.get_by_role("tab", name="JavaScript").click()
        assert "await fetch" in page.locator("#call pre").inner_text()
    for command in (["bash", "-c", f"{curl} -s"], [sys.executable, "-c", python]):
        done = subprocess.run(command, cwd=SAMPLES, capture_output=True, text=True, timeout=30, check=True)
        assert "healthy" in done.stdout
