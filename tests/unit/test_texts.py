import base64
import json
import random
import tracemalloc

import pytest

from api.problems import BadRequest
from api.texts import PIECE, LongText, decode_text, without_long_texts

IMAGE = random.Random(0).randbytes(200_000)
TEXT = base64.b64encode(IMAGE).decode()
ESCAPED = {
    "none": TEXT, "slashes, as PHP writes them": TEXT.replace("/", "\\/"),
    "lines": base64.encodebytes(IMAGE).decode().replace("\n", "\\n"),
    "everything": "".join(f"\\u{ord(character):04x}" for character in TEXT),
    "a data: URL": f"Data: image\\/jpeg; base64,\\r\\n {TEXT}\\n", "URL-safe": TEXT.replace("/", "_").replace("+", "-"),
}


def long_text(written: str) -> LongText:
    """The text between the quotation marks of a JSON body."""
    _, texts = without_long_texts(f'{{"image": "{written}"}}'.encode())
    [text] = texts.values()
    return text


@pytest.mark.parametrize("written", ESCAPED.values(), ids=ESCAPED.keys())
def test_a_long_text_is_decoded_as_it_would_be_if_it_were_parsed(written: str) -> None:
    assert decode_text(long_text(written)) == decode_text(json.loads(f'"{written}"')) == IMAGE


@pytest.mark.parametrize("shift", range(14))
def test_an_escape_at_the_edge_of_a_piece_is_not_cut(shift: int) -> None:
    begin = "A" * (PIECE - 12 + shift)
    written = begin + "\\u0041" * 4 + "\\/" + "B" * (-(len(begin) + 5) % 4)
    written += "C" * PIECE
    assert decode_text(long_text(written)) == decode_text(json.loads(f'"{written}"'))


@pytest.mark.parametrize("length", [*range(65_530, 65_540), 131_072, 200_001])
def test_padding_may_begin_in_any_piece(length: int) -> None:
    for size in range(length * 3 // 4 - 2, length * 3 // 4 + 2):
        data = bytes(size)
        assert decode_text(base64.b64encode(data).decode()) == data
        if size > PIECE:
            assert decode_text(long_text(base64.b64encode(data).decode() + "\\n")) == data


@pytest.mark.parametrize("written", [
    TEXT + "\\n==", TEXT[:-4] + "==" + TEXT, TEXT + "\\q", TEXT + "é", TEXT + "\\\\", "http://host/" + TEXT,
    "data:image/png," + TEXT, "\\ud800" * PIECE])
def test_a_long_text_that_is_no_image_is_refused(written: str) -> None:
    with pytest.raises(BadRequest):
        decode_text(long_text(written))


@pytest.mark.parametrize("body", [
    {"a": "x"}, {"a": TEXT}, {"a": TEXT, "b": 'quoted " and \\ and \\" ' + TEXT, "c": [TEXT, {"d": TEXT}]}, [], "x",
    TEXT, {TEXT: 1}, {"a": '"' * 100_000}, {"a": "\\" * 31 + '"' + "\\" * 30 + TEXT}])
def test_what_is_left_out_and_what_is_left_are_the_body(body: object) -> None:
    """Written in place of its name again, each text is where it was."""
    written = json.dumps(body).encode()
    kept, texts = without_long_texts(written)
    assert len(kept) < 1000 + sum(len(name) for name in texts)
    for name, text in texts.items():
        kept = kept.replace(f'"{name}"'.encode(), b'"' + text.body[text.begin:text.end] + b'"')
    assert kept == written


@pytest.mark.parametrize("body", [b"", b'"', b'{"a": "' + b"x" * 100_000, b"\\" * 1000 + b'"', b'"' + b'\\"' * 50_000])
def test_what_is_no_json_is_left_for_the_parser(body: bytes) -> None:
    assert without_long_texts(body) == (body, {})


def test_a_long_text_takes_no_more_memory_than_its_image() -> None:
    text = long_text(base64.b64encode(bytes(6_000_000)).decode())
    tracemalloc.start()
    try:
        image = decode_text(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * len(image) + 10 * PIECE
