"""Bodies with bytes changed, cut out, doubled or cut off: each is read or refused, never a fault of ours."""

import base64
import gzip
import json

from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.unit.images import encode, quadrants

IMAGE = encode(quadrants())
BASE64 = base64.b64encode(IMAGE)
MULTIPART = (b'--limit\r\nContent-Disposition: form-data; name="model_type"\r\n\r\nleaf\r\n'
             b'--limit\r\nContent-Disposition: form-data; name="image"; filename*=UTF-8\'\'a.jpg\r\n'
             b"Content-Type: image/jpeg\r\n\r\n" + IMAGE + b"\r\n--limit--\r\n")
# Content type, coding, body.
BODIES = {
    "multipart": ("multipart/form-data; boundary=limit", "", MULTIPART),
    "form": ("application/x-www-form-urlencoded", "", b"model_type=leaf&top_k=2&image=" + BASE64),
    "json": ("application/json", "", json.dumps(
        {"model_type": "leaf", "threshold": 0.5, "img_file": None, "image": BASE64.decode()}).encode()),
    "packed": ("image/jpeg", "gzip", gzip.compress(IMAGE))}
MARKS = (b"--limit", b"\r\n\r\n", b"\r\n", b'"', b"{", b"[", b"\\u", b"&", b"=", b"%", b"\0", b"\xff\xfe",
         b"\xef\xbb\xbf", b"null", b"1e999", b"filename*=x''%ff", b"data:;base64,")
edits = some.lists(some.tuples(some.integers(0, 400), some.one_of(some.sampled_from(MARKS), some.binary(max_size=8)),
                               some.integers(0, 30)), min_size=1, max_size=4)


@settings(max_examples=250, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.sampled_from(sorted(BODIES)), edits, some.sampled_from([1.0, 1.0, 0.9, 0.2]))
def test_a_changed_body_is_read_or_refused(client: FlaskClient, name: str, edits: list[tuple[int, bytes, int]],
                                           kept: float) -> None:
    content_type, coding, body = BODIES[name]
    changed = bytearray(body)
    for at, put, instead_of in edits:
        changed[at % len(body):at % len(body) + instead_of] = put
    answer = client.post("/predict?model_type=leaf" if name == "packed" else "/predict", content_type=content_type,
                         data=bytes(changed[:round(len(changed) * kept)]),
                         headers={"Content-Encoding": coding} if coding else {})
    assert answer.status_code in (200, 202, 400, 404, 413, 415, 422), answer.text


def test_unchanged_bodies_are_read(client: FlaskClient) -> None:
    for name, (content_type, coding, body) in BODIES.items():
        answer = client.post("/predict?model_type=leaf" if name == "packed" else "/predict", data=body,
                             content_type=content_type, headers={"Content-Encoding": coding} if coding else {})
        assert answer.status_code == 200, (name, answer.text)
