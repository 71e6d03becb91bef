"""No Python object is shown to a caller."""

from io import BytesIO

import pytest
from PIL import Image

from inference.library_texts import one_line, without_objects


@pytest.mark.parametrize("shown", [
    object(), BytesIO(), Image.new("L", (1, 1)), iter([]), BytesIO().read])
def test_objects_leave_a_text(shown: object) -> None:
    told = without_objects(f"it cannot take {shown!r} here")
    assert told == "it cannot take here"


@pytest.mark.parametrize("text", ["a < b at 0x12", "<html> at 0x12 > 3", "two  blanks", "<a at 0xyz>"])
def test_other_texts_stay(text: str) -> None:
    assert without_objects(text) == text


def test_an_exception_is_told_on_one_line() -> None:
    assert one_line(OSError(f"cannot read {BytesIO()}:\n  it is  cut\n")) == "cannot read: it is cut"
