import base64
import json
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from api.bodies import InFlight
from api.errors import BadRequest, TooLarge, UnsupportedMediaType
from api.lanes import Lane, Lanes
from api.uploads import OVERHEAD_BYTES, Parts, Uploads, decode_text
from tests.unit.conftest import MakeSettings

IMAGE = bytes(range(256)) * 4
BASE64 = base64.b64encode(IMAGE).decode()
PHOTO = ("img_file", "photo.jpg", IMAGE)
FORM = "application/x-www-form-urlencoded"
MAX_UPLOAD_MB = 0.3


class Intake:
    """Runs at once, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def run(self, call: Callable[[], Any]) -> tuple[Any, float]:
        self.calls += 1
        return call(), 0.0


@pytest.fixture
def intake() -> Intake:
    return Intake()


@pytest.fixture
def uploads(make_settings: MakeSettings, intake: Intake) -> Uploads:
    settings = make_settings(max_upload_mb=MAX_UPLOAD_MB)
    assert settings.image_root is not None
    (settings.image_root / "leaf.jpg").write_bytes(IMAGE)
    lanes = Lanes(1)
    lanes.intake = cast(Lane, intake)
    return Uploads(settings, InFlight(10_000_000), lanes)


def request(query: str = "", **body: Any) -> Request:
    return Request(EnvironBuilder("/predict", method="POST", query_string=query, **body).get_environ())


def form(**fields: str) -> Request:
    return request(data=urlencode(fields), content_type=FORM)


def json_body(value: object) -> Request:
    return request(data=json.dumps(value), content_type="application/json")


def multipart(*images: tuple[str, str, bytes], query: str = "", **fields: str) -> Request:
    """As curl -F writes it; images are (name of the part, name of the file, content)."""
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [(f'name="{name}"; filename="{filename}"\r\nContent-Type: image/jpeg', content)
              for name, filename, content in images]
    body = b"".join(f"--limit\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
                    for head, content in parts) + b"--limit--\r\n"
    return request(query, data=body, content_type="multipart/form-data; boundary=limit")


def raw(content_type: str | None) -> Request:
    return request("model_type=leaf", data=IMAGE, content_type=content_type)


@pytest.mark.parametrize("sent", [
    *(multipart((part, "photo.jpg", IMAGE), model_type="leaf") for part in ("img_file", "image", "file", "data")),
    multipart(("img_file", "blätter 1.jpg", IMAGE), query="model_type=leaf"),
    multipart(model_type="leaf", image=BASE64, other=""), multipart(model_type="leaf", img_file="leaf.jpg"),
    *(form(**{"model_type": "leaf", name: BASE64}) for name in ("image", "file", "data")),
    request(data=f"model_type=leaf&image={BASE64}", content_type=FORM),
    form(model_type="leaf", img_file="leaf.jpg"), json_body({"model_type": "leaf", "img_file": "leaf.jpg"}),
    *(json_body({"model_type": "leaf", name: BASE64}) for name in ("image", "file", "data")),
    json_body({"model_type": "leaf", "image": f"data:image/jpeg;base64,{BASE64}"}),
    *(raw(kind) for kind in ("image/jpeg", "image/png", "application/octet-stream", None)),
    request("model_type=leaf&img_file=leaf.jpg"),
])
def test_every_form_of_the_contract_carries_the_image_and_the_model(uploads: Uploads, sent: Request) -> None:
    parts = uploads.parts(sent)
    assert parts.fields["model_type"] == "leaf"
    assert uploads.image(sent, parts) == IMAGE


@pytest.mark.parametrize(("sent", "count"), [
    (form(model_type="leaf"), 0), (json_body({}), 0), (request("model_type=leaf"), 0),
    (request(data=b"", content_type="image/jpeg"), 0), (form(image=""), 0),
    (multipart(("img_file", "", b"")), 0),
    (form(image=BASE64, img_file="leaf.jpg"), 2), (multipart(PHOTO, image=BASE64), 2),
    (request("img_file=leaf.jpg", data=IMAGE, content_type="image/jpeg"), 2),
    (multipart(PHOTO, PHOTO), 2), (multipart(PHOTO, ("image", "b.jpg", b"")), 2),
])
def test_none_and_two_images_are_refused(uploads: Uploads, sent: Request, count: int) -> None:
    with pytest.raises(BadRequest, match="no image" if count == 0 else f"{count} images"):
        uploads.image(sent, uploads.parts(sent))


def test_an_empty_file_is_an_image_that_cannot_be_read_later(uploads: Uploads) -> None:
    sent = multipart(("img_file", "empty.jpg", b""))
    assert uploads.image(sent, uploads.parts(sent)) == b""


@pytest.mark.parametrize(("sent", "error", "told"), [
    (request(data=IMAGE, content_type=FORM), UnsupportedMediaType, "Content-Type: image/jpeg"),
    (request(data=IMAGE, content_type="text/html"), UnsupportedMediaType, "text/html"),
    (request(data="{", content_type="application/json"), BadRequest, "not JSON"),
    (request(data="[" * 100_000, content_type="application/json"), BadRequest, "not JSON"),
    (request(data='{"model_type": "a", "model_type": "b"}', content_type="application/json"), BadRequest, "twice"),
    (json_body([1]), BadRequest, "object"), (json_body({"image": 5}), BadRequest, "image should be text"),
    (json_body({"img_file": None}), BadRequest, "img_file should be text"),
    (request(data=b"x", content_type="multipart/form-data"), BadRequest, "boundary"),
    (request(data=b"x", content_type="multipart/form-data; boundary=b"), BadRequest, "cannot be read"),
    (multipart(("photo", "a.jpg", IMAGE)), BadRequest, "img_file"),
    (request("model_type=a", data="model_type=b", content_type=FORM), BadRequest, "given twice"),
    (request(data=b"x" * 300_001, content_type="image/jpeg"), TooLarge, "300001"),
    (multipart(("img_file", "a.jpg", b"x" * 300_001)), TooLarge, "300001"),
    (request(data=b"image=" + b"A" * (400_000 + OVERHEAD_BYTES), content_type=FORM), TooLarge, "at most"),
    (form(image="A" * 400_004), TooLarge, "300003"),
])
def test_what_cannot_be_taken_is_told(uploads: Uploads, sent: Request, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        uploads.image(sent, uploads.parts(sent))


def test_the_same_field_twice_with_the_same_value_is_fine(uploads: Uploads) -> None:
    sent = request("model_type=leaf", data=f"model_type=leaf&image={BASE64}", content_type=FORM)
    assert uploads.parts(sent).fields == {"model_type": "leaf"}


def test_an_unescaped_umlaut_is_still_a_form(uploads: Uploads) -> None:
    """As `curl -d img_file=blätter.jpg` sends it."""
    sent = request(data="model_type=leaf&img_file=blätter.jpg".encode(), content_type=FORM)
    assert uploads.parts(sent).fields == {"model_type": "leaf"}


@pytest.mark.parametrize("text", [
    BASE64, BASE64.rstrip("="), base64.urlsafe_b64encode(IMAGE).decode(), base64.encodebytes(IMAGE).decode(),
    BASE64.replace("+", " "), f"  {BASE64}\n", f"data:image/jpeg;base64,{BASE64}", f"data:;base64,{BASE64}",
    f"data:image/png;name=x.png;base64,{BASE64}",
])
def test_base64_is_read_in_all_its_variants(text: str) -> None:
    assert decode_text(text) == IMAGE


@pytest.mark.parametrize("text", [
    "http://host/leaf.jpg", "https://host/leaf.jpg", "data:image/png,xx", "data:image/svg+xml;utf8,<svg/>", "nö", "a",
    "AA=A", "leaf.jpg", "\ud800",
])
def test_text_that_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        decode_text(text)


@pytest.mark.parametrize(("sent", "calls"), [
    (raw("image/jpeg"), 0), (form(image=BASE64), 0), (json_body({"image": BASE64}), 0),
    (form(img_file="leaf.jpg"), 1),
    (json_body({"image": "A" * 100_000}), 2), (form(image="A" * 100_000), 2),
])
def test_large_texts_and_files_are_not_read_on_the_hub(uploads: Uploads, intake: Intake, sent: Request,
                                                       calls: int) -> None:
    uploads.image(sent, uploads.parts(sent))
    assert intake.calls == calls


@pytest.mark.parametrize("sent", [
    request(data="a=1&" * 20_000, content_type=FORM), request(data="&" * 100_000, content_type=FORM),
    request(data=b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n" * 5000 + b"--b--\r\n",
            content_type="multipart/form-data; boundary=b"),
], ids=["form", "separators", "multipart"])
def test_thousands_of_fields_are_refused(uploads: Uploads, sent: Request) -> None:
    """30 MB of `a&` keep the parser busy for 24 s, 30 MB of tiny parts for 4 s."""
    with pytest.raises(BadRequest):
        uploads.parts(sent)


def test_parts_keep_fields_and_images_apart() -> None:
    parts = Parts()
    parts.add("top_k", 3)
    parts.add("image", "AAAA")
    assert (parts.fields, len(parts.images)) == ({"top_k": 3}, 1)
