import numpy as np
import pytest
from numpy.typing import NDArray

from inference.boxes import nms
from inference.boxes.nms import suppress


def crowd(count: int, seed: int) -> tuple[NDArray, NDArray, NDArray]:
    """Boxes on whole pixels, so that many overlap by exactly the same, with few different scores."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 30, (count, 2))
    boxes = np.concatenate((corners, corners + random.integers(1, 20, (count, 2))), axis=1)
    return boxes, random.integers(1, 50, count) / 50, random.integers(0, 3, count)


def reference(boxes: NDArray, scores: NDArray, classes: NDArray | None, iou: float) -> list[int]:
    """The textbook: two loops over plain numbers."""
    kept: list[int] = []
    for row in sorted(range(len(boxes)), key=lambda row: -scores[row]):
        rivals = [other for other in kept if classes is None or classes[other] == classes[row]]
        if all(overlap(boxes[row].tolist(), boxes[other].tolist()) <= iou for other in rivals):
            kept.append(row)
    return kept


def overlap(one: list[float], other: list[float]) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (total - shared)


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 400])
@pytest.mark.parametrize("per_class", [True, False])
def test_the_same_boxes_stay_as_by_the_textbook(count: int, iou: float, per_class: bool) -> None:
    boxes, scores, classes = crowd(count, seed=count)
    wanted = classes if per_class else None
    assert suppress(boxes, scores, wanted, iou).tolist() == reference(boxes, scores, wanted, iou)


@pytest.mark.parametrize("limit", [1, 5, 64, 70, 10**30])
def test_a_limit_cuts_the_list_and_changes_nothing_else(limit: int) -> None:
    boxes, scores, classes = crowd(400, seed=1)
    everything = suppress(boxes, scores, classes, 0.5).tolist()
    assert len(everything) > 70
    assert suppress(boxes, scores, classes, 0.5, limit=limit).tolist() == everything[:limit]


def test_equal_scores_keep_the_order_given() -> None:
    boxes = np.array([[0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1], [8, 8, 9, 9]])
    assert suppress(boxes, np.full(4, 0.5), None, 0.5).tolist() == [0, 1, 3]


def test_an_overlap_of_exactly_the_limit_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 7]])
    assert suppress(boxes, np.array([0.9, 0.8]), None, 0.7).tolist() == [0, 1]
    assert suppress(boxes, np.array([0.9, 0.8]), None, 0.69).tolist() == [0]


def test_a_suppressed_box_takes_none_away() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert suppress(boxes, np.array([0.9, 0.8, 0.7]), None, 0.4).tolist() == [0, 2]


def test_boxes_of_one_tile_leave_each_other_alone() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3)
    kept = suppress(boxes, np.array([0.7, 0.9, 0.8]), None, 0.5, tiles=np.array([1, 2, 2]))
    assert kept.tolist() == [1, 2]


@pytest.mark.filterwarnings("error")
def test_boxes_without_area_and_no_boxes_make_no_trouble() -> None:
    assert suppress(np.zeros((2, 4)), np.array([0.5, 0.6]), None, 0.5).tolist() == [1, 0]
    assert suppress(np.empty((0, 4)), np.empty(0), np.empty(0, int), 0.5).tolist() == []


def test_intersections_and_areas_are_in_square_pixels() -> None:
    box = np.array([0.0, 0.0, 4.0, 2.0])
    others = np.array([[2.0, 1.0, 5.0, 5.0], [4.0, 0.0, 6.0, 2.0]]).T
    assert nms.areas(others).tolist() == [12, 4]
    assert nms.intersections(box, others).tolist() == [2, 0]
