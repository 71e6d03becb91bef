"""Large results as JSON in pieces: written at once, a million numbers would hold up the hub for a second."""

import json
import time
from collections.abc import Iterator
from typing import Any

TEXT_PIECE = 1 << 18  # characters, 0.3 ms
ITEMS_PIECE = 1 << 10  # numbers, 0.6 ms (CPU time, 2026-11-22)
LOOKED_AT = 4  # items of a list: they are alike


def is_large(value: Any) -> bool:
    """Whether a value is worth writing in pieces."""
    if isinstance(value, str):
        return len(value) > TEXT_PIECE
    if isinstance(value, dict):
        return any(map(is_large, value.values()))
    return isinstance(value, list) and (len(value) > ITEMS_PIECE or any(map(is_large, value[:LOOKED_AT])))


def streamed(value: Any) -> Iterator[bytes]:
    """The pieces, with a yield to the other connections after each."""
    for piece in pieces(value):
        yield piece.encode()
        time.sleep(0)


def pieces(value: Any) -> Iterator[str]:
    """What `json.dumps` gives, piece by piece."""
    if not is_large(value):
        yield json.dumps(value)
    elif isinstance(value, str):
        yield '"'
        yield from (json.dumps(value[at:at + TEXT_PIECE])[1:-1] for at in range(0, len(value), TEXT_PIECE))
        yield '"'
    elif isinstance(value, dict):
        for number, (name, member) in enumerate(value.items()):
            yield f"{', ' if number else '{'}{json.dumps(name)}: "
            yield from pieces(member)
        yield "}"
    else:
        yield from _list_pieces(value)


def _list_pieces(value: list) -> Iterator[str]:
    """Large items one by one, small ones many at a time."""
    step = 1 if any(map(is_large, value[:LOOKED_AT])) else ITEMS_PIECE
    for at in range(0, len(value), step):
        yield ", " if at else "["
        if step == 1:
            yield from pieces(value[at])
        else:
            yield json.dumps(value[at:at + step])[1:-1]
    yield "]"
