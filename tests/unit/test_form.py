import base64
import gzip
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from api.body import RESERVED_KEY, STEP_BYTES, InFlight
from api.fields import Fields
from api.form import OVERHEAD_BYTES, Forms
from api.intake import Intake
from api.problems import ApiError, BadRequest, TooLarge, UnsupportedCoding, UnsupportedMediaType
from api.texts import decode_text
from tests.unit.conftest import MakeSettings

IMAGE = bytes(range(256)) * 4
BASE64 = base64.b64encode(IMAGE).decode()
PHOTO = ("img_file", "photo.jpg", IMAGE)
FORM = "application/x-www-form-urlencoded"
MAX_UPLOAD_MB = 0.3
LARGE_BYTES = 6_000_000


class CountingIntake(Intake):
    """Runs at once, and counts."""

    calls = 0

    def run(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        return call()


@pytest.fixture
def intake() -> CountingIntake:
    return CountingIntake()


@pytest.fixture
def forms(make_settings: MakeSettings, intake: Intake) -> Forms:
    settings = make_settings(max_upload_mb=MAX_UPLOAD_MB)
    assert settings.image_root is not None
    (settings.image_root / "leaf.jpg").write_bytes(IMAGE)
    return Forms(settings, InFlight(10_000_000), intake)


@pytest.fixture
def large_forms(make_settings: MakeSettings, intake: Intake) -> Forms:
    return Forms(make_settings(), InFlight(10 * LARGE_BYTES), intake)


def request(query: str = "", **body: Any) -> Request:
    return Request(EnvironBuilder("/predict", method="POST", query_string=query, **body).get_environ())


def form(**fields: str) -> Request:
    return request(data=urlencode(fields), content_type=FORM)


def json_body(value: object) -> Request:
    return request(data=json.dumps(value), content_type="application/json")


def packed(body: bytes, coding: str, content_type: str, pack: Callable[[bytes], bytes] = gzip.compress) -> Request:
    return request("model_type=leaf", data=pack(body), content_type=content_type,
                   headers={"Content-Encoding": coding})


def part(head: bytes, content: bytes = IMAGE) -> Request:
    """One part whose head is written by bytes."""
    body = b"--limit\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n--limit--\r\n"
    return request("model_type=leaf", data=body, content_type="multipart/form-data; boundary=limit")


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
    json_body({"model_type": "leaf", "image": BASE64, "img_file": None, "file": None}),
    json_body({"model_type": "leaf", "image": None, "img_file": "leaf.jpg"}),
    *(request(data=json.dumps({"model_type": "leaf", "image": BASE64}).encode(encoding),
              content_type="application/json") for encoding in ("utf-8-sig", "utf-16", "utf-32")),
    packed(IMAGE, "gzip", "image/jpeg"), packed(IMAGE, "deflate", "application/octet-stream", zlib.compress),
    packed(json.dumps({"image": BASE64}).encode(), "gzip", "application/json"),
    packed(f"image={BASE64}".encode(), "gzip", FORM),
    *(part(b'name="img_file"; ' + name) for name in (
        b"filename*=utf-8''%EB%94%B8%EA%B8%B0.jpg", b"FileName* = euc-kr''%b5%fe.jpg", b"filename=photo.jpg",
        'filename="딸기.jpg"'.encode("cp949"), 'filename="딸기.jpg"'.encode(), "filename=딸기.jpg".encode("cp949"),
        'filename="表.jpg"'.encode("shift-jis"), 'filename="表"'.encode("shift-jis"), b'filename="a\xff\x00\x7f;.jpg"',
        b'filename="a"b.jpg"', b'filename=""')),
    part(b'name="img_file"\r\nContent-Type: image/jpeg'), part(b'name="image"\r\nContent-Type: IMAGE/HEIC; x=y'),
])
def test_every_form_of_the_contract_carries_the_image_and_the_model(forms: Forms, sent: Request) -> None:
    fields = forms.fields(sent)
    assert fields.values["model_type"] == "leaf"
    assert forms.image(sent, fields) == IMAGE


@pytest.mark.parametrize(("sent", "count"), [
    (form(model_type="leaf"), 0), (json_body({}), 0), (request("model_type=leaf"), 0),
    (request(data=b"", content_type="image/jpeg"), 0), (form(image=""), 0),
    (multipart(("img_file", "", b"")), 0),
    (form(image=BASE64, img_file="leaf.jpg"), 2), (multipart(PHOTO, image=BASE64), 2),
    (request("img_file=leaf.jpg", data=IMAGE, content_type="image/jpeg"), 2),
    (multipart(PHOTO, PHOTO), 2), (multipart(PHOTO, ("image", "b.jpg", b"")), 2),
])
def test_none_and_two_images_are_refused(forms: Forms, sent: Request, count: int) -> None:
    with pytest.raises(BadRequest, match="no image" if count == 0 else f"{count} images"):
        forms.image(sent, forms.fields(sent))


def test_an_empty_file_is_an_image_that_cannot_be_read_later(forms: Forms) -> None:
    sent = multipart(("img_file", "empty.jpg", b""))
    assert forms.image(sent, forms.fields(sent)) == b""


@pytest.mark.parametrize(("sent", "error", "told"), [
    (request(data=IMAGE, content_type=FORM), UnsupportedMediaType, "Content-Type: image/jpeg"),
    (request(data=IMAGE, content_type="text/html"), UnsupportedMediaType, "text/html"),
    (request(data="{", content_type="application/json"), BadRequest, "not JSON"),
    (request(data="[" * 100_000, content_type="application/json"), BadRequest, "not JSON"),
    (request(data='{"model_type": "a", "model_type": "b"}', content_type="application/json"), BadRequest, "twice"),
    (json_body([1]), BadRequest, "object"), (json_body({"image": 5}), BadRequest, "image should be text"),
    (json_body({"img_file": None}), BadRequest, "no image"),
    (json_body({"image": BASE64, "x": [{}] * 1000}), BadRequest, "more than 1000 values"),
    (request(data=bytes(range(256)) * 1100, content_type=FORM), UnsupportedMediaType, "Content-Type: image/jpeg"),
    (request(data="a&" * 60_000, content_type=FORM), BadRequest, "more than 100 fields"),
    (request(data=b"x", content_type="image/jpeg", headers={"Content-Encoding": "br"}), UnsupportedCoding, "gzip"),
    (packed(b"x", "gzip", "image/jpeg", pack=bytes), BadRequest, "gzip"),
    (packed(b"x" * 300_001, "gzip", "image/jpeg"), TooLarge, "300000"),
    (request(data=b"x", content_type="multipart/form-data"), BadRequest, "boundary"),
    (request(data=b"x", content_type="multipart/form-data; boundary=b"), BadRequest, "cannot be read"),
    (multipart(("photo", "a.jpg", IMAGE)), BadRequest, "img_file"),
    (request("model_type=a", data="model_type=b", content_type=FORM), BadRequest, "given twice"),
    (request(data=b"x" * 300_001, content_type="image/jpeg"), TooLarge, "300001"),
    (multipart(("img_file", "a.jpg", b"x" * 300_001)), TooLarge, "300001"),
    (request(data=b"image=" + b"A" * (400_000 + OVERHEAD_BYTES), content_type=FORM), TooLarge, "at most"),
    (form(image="A" * 400_004), TooLarge, "300003"),
])
def test_what_cannot_be_taken_is_told(forms: Forms, sent: Request, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        forms.image(sent, forms.fields(sent))


@pytest.mark.parametrize(("field", "text", "told"), [
    ("img_file", "samples/leaf.jpg", "no such image below PUNNET_IMAGE_ROOT"),
    ("image", "samples/leaf.jpg", "not base64")])
def test_who_forgot_the_at_sign_of_a_file_is_told(forms: Forms, field: str, text: str, told: str) -> None:
    """As in curl -F img_file=leaf.jpg."""
    hint = "; to upload a file write img_file=@path"
    for sent, end in ((multipart(**{field: text}), hint), (form(**{field: text}), ""), (json_body({field: text}), "")):
        with pytest.raises(ApiError, match=told) as refused:
            forms.image(sent, forms.fields(sent))
        assert str(refused.value).endswith(hint) == (end == hint)


def test_null_is_absent_whatever_the_field(forms: Forms) -> None:
    names = ("img_file", "file", "data", "top_k", "threshold", "mode", "timeout", "anything")
    assert forms.fields(json_body({"image": BASE64, **dict.fromkeys(names)})).values == {}
    twice = request(data='{"top_k": null, "top_k": 3}', content_type="application/json")
    assert forms.fields(twice).values == {"top_k": 3}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_named(forms: Forms, constant: str) -> None:
    sent = request(data=f'{{"a": [1, {{"threshold": {constant}}}]}}', content_type="application/json")
    with pytest.raises(BadRequest, match=f"^the body is not JSON: {constant} is none of its numbers$"):
        forms.fields(sent)


def test_a_long_text_in_json_is_an_image_or_refused(large_forms: Forms) -> None:
    sent = json_body({"model_type": "leaf", "image": LARGE_BASE64, "file": None})
    assert large_forms.image(sent, large_forms.fields(sent)) == LARGE
    for name in ("img_file", "mode", "anything"):
        with pytest.raises(BadRequest, match=f"field {name} has 100000 characters"):
            large_forms.fields(json_body({name: "x" * 100_000}))
    assert large_forms.fields(json_body({"a": ["x" * 100_000]})).values == {"a": ["long text 0"]}


def test_a_name_is_read_as_utf_8(forms: Forms) -> None:
    with pytest.raises(BadRequest, match="'사진'"):
        forms.fields(part('name="사진"; filename="a.jpg"'.encode()))
    assert forms.fields(part('name="크기"'.encode(), b"3")).values == {"model_type": "leaf", "크기": "3"}


def test_the_same_field_twice_with_the_same_value_is_fine(forms: Forms) -> None:
    sent = request("model_type=leaf", data=f"model_type=leaf&image={BASE64}", content_type=FORM)
    assert forms.fields(sent).values == {"model_type": "leaf"}


def test_an_unescaped_umlaut_is_still_a_form(forms: Forms) -> None:
    """As `curl -d img_file=blätter.jpg` sends it."""
    sent = request(data="model_type=leaf&img_file=blätter.jpg".encode(), content_type=FORM)
    assert forms.fields(sent).values == {"model_type": "leaf"}


@pytest.mark.parametrize("text", [
    BASE64, BASE64.rstrip("="), base64.urlsafe_b64encode(IMAGE).decode(), base64.encodebytes(IMAGE).decode(),
    BASE64.replace("+", " "), f"  {BASE64}\n", f"data:image/jpeg;base64,{BASE64}", f"data:;base64,{BASE64}",
    f"data:image/png;name=x.png;base64,{BASE64}", f"DATA:IMAGE/JPEG;BASE64,{BASE64}",
    f" Data: image/jpeg ; Base64 ,\r\n {BASE64}", f"data:image/jpeg;base64, {BASE64}",
])
def test_base64_is_read_in_all_its_variants(text: str) -> None:
    assert decode_text(text) == IMAGE


@pytest.mark.parametrize("text", [
    "http://host/leaf.jpg", "https://host/leaf.jpg", " HTTP://HOST/leaf.jpg", "data:;base64",
    "data:" + "x" * 2000 + ";base64,AAAA", "data:image/png,xx", "data:image/svg+xml;utf8,<svg/>", "nö", "a",
    "AA=A", "leaf.jpg", "\ud800",
])
def test_text_that_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        decode_text(text)


@pytest.mark.parametrize("length", [65_533, 65_536, 65_537, 131_072, 200_000])
def test_base64_is_read_over_the_edges_of_pieces(length: int) -> None:
    data = random.Random(length).randbytes(length)
    for text in (base64.b64encode(data).decode(), base64.encodebytes(data).decode(),
                 "data:;base64," + base64.urlsafe_b64encode(data).decode().rstrip("=")):
        assert decode_text(text) == data


@pytest.mark.parametrize("text", ["A" * 65_532 + "AA==" + "AAAA", "A" * 65_536 + "A", "=" * 70_000])
def test_padding_inside_of_base64_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        decode_text(text)


def test_a_form_is_unquoted_as_urllib_does(forms: Forms) -> None:
    values = {"a": "%+ =&ä€", "b": "%" * 30_000 + "ä", "c": "", "d": "x" * 65_534 + "%%"}
    text = urlencode(values) + "&&e&f=1=2&g=%zz%4"
    sent = request(data=text, content_type=FORM)
    assert forms.fields(sent).values == dict(parse_qsl(text, keep_blank_values=True))


def step_by_step(sent: Request, size: int) -> Request:
    """Its body comes in steps of `size`."""
    whole = sent.environ["wsgi.input"]
    sent.environ["wsgi.input"] = SimpleNamespace(read=lambda wanted: whole.read(min(size, wanted)))
    return sent


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_multipart_body_may_come_in_any_steps(forms: Forms, size: int) -> None:
    sent = step_by_step(multipart(PHOTO, model_type="leaf", top_k="3"), size)
    fields = forms.fields(sent)
    assert (fields.values, forms.image(sent, fields)) == ({"model_type": "leaf", "top_k": "3"}, IMAGE)


LARGE = random.Random(0).randbytes(LARGE_BYTES)
LARGE_BASE64 = base64.b64encode(LARGE).decode()


@pytest.mark.parametrize(("sent", "copies"), [
    (lambda: request(data=LARGE, content_type="image/jpeg"), 1),
    (lambda: multipart(("img_file", "a.jpg", LARGE)), 1),
    (lambda: multipart(image=LARGE_BASE64), 2 * 4 / 3),
    (lambda: json_body({"image": LARGE_BASE64}), 2 * 4 / 3),
    (lambda: request(data="image=" + LARGE_BASE64, content_type=FORM), 3 * 4 / 3),
    (lambda: form(image=LARGE_BASE64), 3 * 4 / 3),
], ids=["raw", "multipart", "multipart text", "json", "form", "quoted form"])
def test_a_body_never_takes_more_than_is_reserved(large_forms: Forms, sent: Callable[[], Request],
                                                   copies: float) -> None:
    """A few steps beside it, and the eighth by which a buffer grows ahead; a quoted form is 6 % longer."""
    arriving = sent()
    tracemalloc.start()
    try:
        fields = large_forms.fields(arriving)
        counted = arriving.environ[RESERVED_KEY]
        data = large_forms.image(arriving, fields)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data == LARGE
    spare = 3 * STEP_BYTES + LARGE_BYTES // 8
    assert peak < counted + spare < (copies + 0.4) * LARGE_BYTES + spare
    assert arriving.environ[RESERVED_KEY] == LARGE_BYTES


@pytest.mark.parametrize(("sent", "calls"), [
    (raw("image/jpeg"), 0), (form(image=BASE64), 0), (json_body({"image": BASE64}), 0),
    (form(img_file="leaf.jpg"), 1),
    (json_body({"image": "A" * 100_000}), 2), (form(image="A" * 100_000), 2),
])
def test_large_texts_and_files_are_not_read_on_the_event_loop(forms: Forms, intake: CountingIntake, sent: Request,
                                                       calls: int) -> None:
    forms.image(sent, forms.fields(sent))
    assert intake.calls == calls


def test_a_body_of_many_values_is_refused_before_it_is_parsed(large_forms: Forms, intake: CountingIntake) -> None:
    """Of 42 MB of such JSON the parser would make 1.3 GB."""
    body = b'{"model_type":"leaf","x":[' + b"{}," * 2_000_000 + b"{}]}"
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest, match="more than 1000 values"):
            large_forms.fields(request(data=body, content_type="application/json"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert intake.calls == 0
    assert peak < len(body) + 4 * STEP_BYTES  # the request's own copy, and a few steps


@pytest.mark.parametrize("sent", [
    request(data="a=1&" * 20_000, content_type=FORM), request(data="&" * 100_000, content_type=FORM),
    request(data=b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n" * 5000 + b"--b--\r\n",
            content_type="multipart/form-data; boundary=b"),
], ids=["form", "separators", "multipart"])
def test_thousands_of_fields_are_refused(forms: Forms, sent: Request) -> None:
    with pytest.raises(BadRequest):
        forms.fields(sent)


def test_values_and_images_are_kept_apart() -> None:
    fields = Fields()
    fields.add("top_k", 3)
    fields.add("image", "AAAA")
    assert (fields.values, len(fields.images)) == ({"top_k": 3}, 1)
