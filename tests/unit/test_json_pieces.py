import json
from typing import Any

import pytest

from api.json_pieces import ITEMS_PIECE, TEXT_PIECE, is_large, pieces, streamed

TEXT = "é\n\"\\" * (TEXT_PIECE // 3)
VALUES: list[Any] = [
    {"a": [1, 2], "b": "text"}, TEXT, {"mask": TEXT, "é": None}, [0.1] * (3 * ITEMS_PIECE + 1),
    {"outputs": [{"name": "x", "data": list(range(2 * ITEMS_PIECE))}, {"name": "y", "data": []}]},
    [{"mask": TEXT, "label": "a"}, {"mask": "", "label": "b"}], [[{"x": 1}] * (ITEMS_PIECE + 5)], {}, [],
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_the_pieces_are_together_what_json_has(value: Any) -> None:
    assert "".join(pieces(value)) == json.dumps(value)
    assert b"".join(streamed(value)) == json.dumps(value).encode()


def test_no_piece_is_much_longer_than_another() -> None:
    numbers = [1.23456789] * 100 * ITEMS_PIECE
    found = list(pieces({"outputs": [{"data": numbers}], "mask": "x" * 10 * TEXT_PIECE}))
    assert max(map(len, found)) <= TEXT_PIECE + 2
    assert len(found) > 100


@pytest.mark.parametrize(("value", "large"), [
    ("x" * TEXT_PIECE, False), ("x" * (TEXT_PIECE + 1), True), ([0] * ITEMS_PIECE, False),
    ([0] * (ITEMS_PIECE + 1), True), ({"a": {"b": [["x" * (TEXT_PIECE + 1)]]}}, True), (1, False), (None, False)])
def test_what_is_large_is_told(value: Any, large: bool) -> None:
    assert is_large(value) is large
