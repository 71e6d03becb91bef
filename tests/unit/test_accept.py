import pytest

from api.accept import KINDS, Wanted, wanted
from api.problems import NotAcceptable

JSON, PNG, JPEG, WEBP = KINDS[:4]
NPY, OCTETS = KINDS[4:]
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, */*; q=0.2"
JAVA_BEFORE_19 = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize("header", [
    "", "*/*", "*", ",", " , ;q=1", JSON, f"{JSON};charset=UTF-8", "Application/JSON", "application/*",
    f"{JSON}, text/plain, */*", CHROME, JAVA, JAVA_BEFORE_19, "image/png, */*", "image/*, text/html, */*;q=0.1",
    f"{PNG}, {JSON}", f"{PNG};q=0.5, {JSON};q=0.6", f"{PNG};q=0, {JSON}", "text/html;level=1, image/png, */*",
    "image/png, *;q=0.1", "image/png, text/html", f"{JSON};q=2, {PNG}", f"{JSON};q=nonsense, {PNG}",
    f"{NPY}, {JSON}", "text/csv, */*;q=0.1",
])
def test_json_is_answered_unless_an_image_is_meant(header: str) -> None:
    assert wanted(header).kind == JSON


@pytest.mark.parametrize(("header", "kind", "or_json"), [
    (PNG, PNG, False), (JPEG, JPEG, False), (WEBP, WEBP, False), ("IMAGE/PNG", PNG, False), ("image/*", PNG, False),
    ("image/*, image/webp;q=0.5", PNG, False), ("image/png;q=0.1, image/webp", WEBP, False),
    (f"{WEBP}, {JSON};q=0.5", WEBP, True), (f"{PNG};level=3, {JSON};q=0.9", PNG, True),
    ("image/avif, image/webp;q=0.9", WEBP, False), ("image/png, application/*;q=0.1", PNG, True),
    (f"{JSON};q=0, {PNG}, */*", PNG, False), (f"{JSON};q=-1, {PNG}", PNG, False),
    (NPY, NPY, False), (f"*/*;q=0.1, {OCTETS}", OCTETS, True), (f"{OCTETS}, text/html, {JSON};q=0.1", OCTETS, True),
])
def test_what_is_liked_better_than_json_is_answered(header: str, kind: str, or_json: bool) -> None:
    assert wanted(header) == Wanted(kind, or_json)


@pytest.mark.parametrize("header", ["text/html", "text/csv", f"{JSON};q=0", f"{JSON};q=0, */*;q=0", "image/gif",
                                    "image/png;q=0", "*/*;q=0", "json"])
def test_where_nothing_would_do_it_is_refused(header: str) -> None:
    with pytest.raises(NotAcceptable, match=f"{JSON}, {PNG}"):
        wanted(header)
