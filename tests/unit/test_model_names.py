"""How names are compared and written."""

import os
from unicodedata import normalize

import pytest

from inference.model_names import composed, forms, in_file_name, is_name, writable

KOREAN = "딸기"


def test_both_forms_of_unicode_are_one_name() -> None:
    assert composed(normalize("NFD", KOREAN)) == composed(KOREAN) == KOREAN


@pytest.mark.parametrize("text", ["\uff21\uff22", "ﬁ", "²"])
def test_nothing_else_is_normalised(text: str) -> None:
    assert composed(text) == text


def test_a_text_that_is_too_long_for_a_name_is_left_as_it_is() -> None:
    """Sorting a million marks would take minutes."""
    text = "a" + "\u0323\u0301" * 500_000
    assert composed(text) is text


def test_a_name_is_sought_in_every_form() -> None:
    apart = normalize("NFD", KOREAN)
    assert forms(KOREAN) == forms(apart) == {KOREAN, apart}
    assert forms("leaf") == {"leaf"}


@pytest.mark.parametrize("name", ["leaf", "x" * 100, "strawberry-fruit.v2"])
def test_a_short_name_stands_in_the_names_of_files(name: str) -> None:
    assert in_file_name(name) == name


def test_a_long_name_is_a_digest_in_the_names_of_files() -> None:
    first, second = in_file_name("딸" * 85), in_file_name("기" * 85)
    assert (len(first), first != second, is_name(first)) == (32, True, True)


@pytest.mark.parametrize(("data", "told"), [(b"leaf", "leaf"), (KOREAN.encode(), KOREAN), (b"x\xfe", r"x\xfe")])
def test_every_name_of_a_file_can_be_written(data: bytes, told: str) -> None:
    assert writable(os.fsdecode(data)) == told
