"""Which objects get a tag, and where."""

from collections.abc import Sequence

import pytest

from inference.drawing.tags import Box, Candidate, Tag, place

IMAGE = (1000, 1000)
WHOLE, SCORE = ("ripe strawberry", " 87%"), ("87%",)
LARGE, SMALL = (300.0, 300.0, 500.0, 500.0), (300.0, 300.0, 330.0, 330.0)


def measured(words: Sequence[str], size: int) -> tuple[int, int]:
    """Letters half as wide as high."""
    return sum(map(len, words)) * size // 2, size


def placed(*boxes: Box, always: bool = False) -> list[Tag]:
    return place([Candidate(box, (WHOLE, SCORE), 16) for box in boxes], IMAGE, measured, always)


def far(count: int) -> list[Box]:
    """Small objects that stand far from each other."""
    return [(20 + 160 * (number % 6), 60 + 40 * (number // 6), 30 + 160 * (number % 6), 70 + 40 * (number // 6))
            for number in range(count)]


@pytest.mark.parametrize(("box", "corner"), [
    (LARGE, (300, 284)), ((300.6, 300.6, 500, 500), (301, 284)), ((300, 5, 500, 200.2), (300, 201)),
    ((0, 0, 1000, 1000), (0, 0)), ((900, 300, 1000, 500), (848, 284))])
def test_a_tag_stands_above_its_object_or_below_or_within_it(box: Box, corner: tuple[int, int]) -> None:
    [tag] = placed(box)
    assert (tag.left, tag.top) == corner


@pytest.mark.parametrize(("count", "told"), [(1, WHOLE), (6, WHOLE), (40, SCORE), (100, None)])
def test_small_objects_are_told_less_of_the_more_there_are(count: int, told: tuple[str, ...] | None) -> None:
    assert [tag.words for tag in placed(*far(count))] == ([told] * count if told else [])


def test_a_score_alone_covers_less_of_its_object_than_the_whole_text_may() -> None:
    few, crowd = ([(left, top, left + side, top + side) for left in range(0, 900, 70) for top in range(100, 900, 70)]
                  for side in (66, 50))
    assert {tag.words for tag in placed(*few)} == {SCORE}
    assert placed(*crowd) == []


def test_tags_hide_no_other_tag() -> None:
    tags = placed(LARGE, LARGE, LARGE, LARGE, LARGE, LARGE)
    assert [tag.top for tag in tags] == [284, 500]


@pytest.mark.parametrize("boxes", [(SMALL, SMALL, SMALL), ((0, 0, 1, 1),), (LARGE,) * 9])
def test_all_are_tagged_where_that_is_asked_for(boxes: tuple[Box, ...]) -> None:
    assert [tag.number for tag in placed(*boxes, always=True)] == list(range(len(boxes)))


def test_a_small_objects_tag_hides_no_object() -> None:
    assert [(tag.number, tag.top) for tag in placed(SMALL, (0, 200, 1000, 299.5))] == [(0, 330), (1, 184)]
