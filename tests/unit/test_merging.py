"""Detections and instances of tiles that overlap become those of the image."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.boxes.merging import are_cut
from inference.geometry import Placement
from inference.parameters import DetectionParameters as Parameters
from inference.spec import InputSpec, Size
from inference.tasks.detection import Detections, merge
from inference.tiling import Tiles, cut
from tests.unit.detections import spec

IMAGE: Size = (1000, 700)
TILES = cut(IMAGE, (256, 256), 64)
LEAST = 4  # pixels of an object that a tile must show for the detector to see it
NOISE = 0.5


def objects(seed: int) -> NDArray[np.float64]:
    """(n, 4) boxes from 8 to 400 pixels that stay apart by 8."""
    random = np.random.default_rng(seed)
    placed: list[NDArray] = []
    for _ in range(400):
        size = np.exp(random.uniform(np.log(8), np.log(400), 2))
        corner = random.uniform(0, 1, 2) * (np.array(IMAGE) - size)
        box = np.concatenate((corner, corner + size))
        if all((box[:2] > other[2:] + 8).any() or (box[2:] < other[:2] - 8).any() for other in placed):
            placed.append(box)
    return np.array(placed)


def look(placement: Placement, boxes: NDArray, classes: NDArray, random: np.random.Generator) -> Detections:
    """What a detector finds in one tile: of each object the part that it sees, half a pixel off at most."""
    window = np.array(placement.source)
    seen = np.concatenate((np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])), axis=1)
    rows = np.flatnonzero((seen[:, 2:] - seen[:, :2] >= LEAST).all(axis=1))
    found = np.clip(seen[rows] + random.uniform(-NOISE, NOISE, (len(rows), 4)), 0, np.tile(IMAGE, 2))
    return Detections(found, random.uniform(0.5, 1, len(rows)), classes[rows])


def merged(tiles: Tiles, boxes: NDArray, classes: NDArray, input_size: Size = (256, 256), nms: str = "per-class",
           **parameters: float) -> Detections:
    random = np.random.default_rng(0)
    looks = ((placement, look(placement, boxes, classes, random))
             for placement in tiles.placements(InputSpec("image", input_size)))
    return merge(looks, tiles, spec(nms=nms, iou=0.7), Parameters.model_validate(parameters))


def in_order(boxes: NDArray) -> NDArray:
    return boxes[np.lexsort(boxes.round().T)]


def assert_each_once(got: Detections, boxes: NDArray, classes: NDArray) -> None:
    assert len(got) == len(boxes)
    nearest = np.abs(got.boxes[:, None] - boxes).max(axis=2).argmin(axis=1)
    assert sorted(nearest) == list(range(len(boxes)))
    assert got.boxes == pytest.approx(boxes[nearest], abs=2 * NOISE)
    assert got.classes.tolist() == classes[nearest].tolist()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("nms", ["per-class", "all", "none"])
def test_each_object_comes_back_once_and_whole(seed: int, nms: str) -> None:
    boxes = objects(seed)
    classes = np.random.default_rng(seed).integers(0, 3, len(boxes))
    assert_each_once(merged(TILES, boxes, classes, nms=nms), boxes, classes)


@pytest.mark.parametrize("input_size", [(128, 128), (512, 384)])
def test_tiles_may_be_resized_for_the_model(input_size: Size) -> None:
    boxes = objects(3)
    classes = np.zeros(len(boxes), int)
    assert_each_once(merged(TILES, boxes, classes, input_size), boxes, classes)


def test_an_object_larger_than_all_tiles_is_joined() -> None:
    box = np.array([[30.0, 40.0, 950.0, 660.0]])
    assert_each_once(merged(TILES, box, np.array([1])), box, np.array([1]))


def two(first: Detections, second: Detections, nms: str = "per-class", **parameters: float) -> Detections:
    """Merged from two tiles of 100 pixels that overlap by 40 in an image of 160 x 100."""
    places = (Placement((160, 100), (left, 0, left + 100, 100), (100, 100), (0, 0, 100, 100)) for left in (0, 60))
    return merge(zip(places, (first, second), strict=True), cut((160, 100), (100, 100), 40), spec(nms=nms),
                 Parameters.model_validate(parameters))


def at(*boxes: tuple[float, ...], scores: tuple[float, ...] = (), classes: tuple[int, ...] = ()) -> Detections:
    count = len(boxes)
    return Detections(np.array(boxes, float).reshape(-1, 4), np.array(scores or [0.9] * count, float),
                      np.array(classes or [0] * count, int))


def test_a_piece_gives_way_to_the_whole_even_with_a_better_score() -> None:
    got = two(at((66, 20, 100, 60), scores=(0.99,)), at((66, 20, 120, 60), scores=(0.3,)))
    assert (got.boxes.tolist(), got.scores.tolist()) == ([[66, 20, 120, 60]], [0.3])


def test_a_piece_of_another_class_stays() -> None:
    got = two(at((66, 20, 100, 60), classes=(1,)), at((66, 20, 120, 60)))
    assert sorted(got.classes.tolist()) == [0, 1]


def test_a_piece_of_another_class_gives_way_where_classes_suppress_each_other() -> None:
    got = two(at((66, 20, 100, 60), classes=(1,)), at((66, 20, 120, 60)), nms="all")
    assert got.classes.tolist() == [0]


def test_joined_pieces_have_the_best_score_and_all_of_the_box() -> None:
    got = two(at((20, 20, 100, 60), scores=(0.4,)), at((60, 21, 140, 59), scores=(0.8,)))
    assert (got.boxes.tolist(), got.scores.tolist()) == ([[20, 20, 140, 60]], [0.8])


def test_pieces_that_disagree_about_what_both_tiles_see_stay_apart() -> None:
    got = two(at((20, 5, 100, 30)), at((60, 40, 140, 80)))
    assert sorted(got.boxes.tolist()) == [[20, 5, 100, 30], [60, 40, 140, 80]]


def test_a_piece_that_no_other_tile_knows_stays() -> None:
    assert two(at((20, 20, 100, 60)), at()).boxes.tolist() == [[20, 20, 100, 60]]


def test_boxes_at_the_images_rim_are_no_pieces() -> None:
    whole = at((0, 0, 99, 100), scores=(0.5,))
    assert two(at((2, 0, 70, 100), scores=(0.9,)), at()).boxes.tolist() == [[2, 0, 70, 100]]
    assert two(whole, at((61, 0, 160, 100), scores=(0.6,))).boxes.tolist() == [[0, 0, 160, 100]]


def test_one_object_whole_in_two_tiles_is_the_better_one() -> None:
    got = two(at((66, 20, 90, 40), scores=(0.7,)), at((68, 22, 92, 44), scores=(0.8,)))
    assert got.boxes.tolist() == [[68, 22, 92, 44]]


@pytest.mark.parametrize("right", [40, 100])
def test_boxes_of_one_tile_are_left_as_the_model_gave_them(right: int) -> None:
    got = two(at((10, 20, right, 40), (10, 20, right, 36)), at(), nms="none")
    assert len(got) == 2


@pytest.mark.parametrize(("box", "cut_by_the_rim"), [
    ((0, 50, 30, 80), True), ((50, 0, 80, 30), True), ((70, 50, 98, 80), True), ((50, 70, 80, 98), True),
    ((30, 30, 60, 60), False), ((9, 9, 89, 89), False), ((10, 30, 12, 60), False)])
def test_a_box_is_cut_where_it_ends_at_a_rim_that_is_not_the_images(box: tuple, cut_by_the_rim: bool) -> None:
    boxes = np.array([box]) + 100
    inner = Placement((300, 300), (100, 100, 200, 200), (100, 100), (0, 0, 100, 100))
    alone = Placement((100, 100), (0, 0, 100, 100), (100, 100), (0, 0, 100, 100))
    assert are_cut(boxes, inner).tolist() == [cut_by_the_rim]
    assert are_cut(boxes - 100, alone).tolist() == [False]


def test_a_lower_iou_of_the_caller_holds_across_tiles() -> None:
    first, second = at((66, 20, 90, 40), scores=(0.7,)), at((78, 20, 96, 40), scores=(0.8,))
    assert (len(two(first, second)), len(two(first, second, iou=0.3))) == (2, 1)


def test_the_best_come_first_and_no_more_than_top_k() -> None:
    first, second = at((10, 10, 20, 20), (30, 10, 40, 20), scores=(0.5, 0.9)), at((120, 10, 130, 20), scores=(0.7,))
    assert two(first, second).scores.tolist() == [0.9, 0.7, 0.5]
    assert two(first, second, top_k=2).scores.tolist() == [0.9, 0.7]


def test_tiles_that_found_nothing_and_no_tiles_have_no_objects() -> None:
    assert len(two(at(), at())) == 0
    assert len(merge([], cut(IMAGE, (64, 64), 0), spec(), Parameters())) == 0
