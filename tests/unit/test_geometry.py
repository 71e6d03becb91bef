import numpy as np
import pytest

from inference.boxes.placing import to_image
from inference.geometry import Placement, place
from inference.model_toml import Rounding
from inference.spec import InputSpec

IMAGE = (200, 100)


@pytest.mark.parametrize(("wanted", "input_size", "source", "target"), [
    ({"size": (64, 64)}, (64, 64), (0, 0, 200, 100), (0, 0, 64, 64)),
    ({"size": (64, 64), "resize": "letterbox"}, (64, 64), (0, 0, 200, 100), (0, 16, 64, 48)),
    ({"size": (64, 64), "resize": "letterbox", "anchor": "top-left"}, (64, 64), (0, 0, 200, 100), (0, 0, 64, 32)),
    ({"size": (64, 64), "resize": "letterbox", "multiple_of": 16}, (64, 32), (0, 0, 200, 100), (0, 0, 64, 32)),
    ({"size": (60, 60), "resize": "letterbox", "multiple_of": 32}, (60, 60), (0, 0, 200, 100), (0, 15, 60, 45)),
    ({"size": (96, 96), "resize": "letterbox", "multiple_of": 32}, (96, 64), (0, 0, 200, 100), (0, 8, 96, 56)),
    ({"size": (64, 64), "resize": "letterbox", "margin": 0.125}, (64, 64), (0, 0, 200, 100), (6, 19, 57, 45)),
    ({"size": (63, 63), "resize": "letterbox", "rounding": "down"}, (63, 63), (0, 0, 200, 100), (0, 16, 63, 47)),
    ({"size": (63, 63), "resize": "letterbox", "rounding": "nearest"}, (63, 63), (0, 0, 200, 100), (0, 15, 63, 47)),
    ({"size": (50, 50), "resize": "crop"}, (50, 50), (50, 0, 150, 100), (0, 0, 50, 50)),
    ({"size": (40, 40), "resize": "crop", "shortest_edge": 50}, (40, 40), (60, 10, 140, 90), (0, 0, 40, 40)),
    ({"size": (60, 60), "resize": "crop", "shortest_edge": 50}, (60, 60), (40, 0, 160, 100), (0, 5, 60, 55)),
    ({"size": None, "resize": "fit"}, (200, 100), (0, 0, 200, 100), (0, 0, 200, 100)),
    ({"size": None, "resize": "fit", "multiple_of": 64}, (256, 128), (0, 0, 200, 100), (0, 0, 200, 100)),
    ({"size": None, "resize": "fit", "shortest_edge": 50}, (100, 50), (0, 0, 200, 100), (0, 0, 100, 50)),
    ({"size": None, "resize": "fit", "shortest_edge": 50, "longest_edge": 80}, (80, 40), (0, 0, 200, 100),
     (0, 0, 80, 40)),
    ({"size": None, "resize": "fit", "shortest_edge": 8000}, (8192, 4096), (0, 0, 200, 100), (0, 0, 8192, 4096)),
], ids=str)
def test_where_an_image_lands(wanted: dict, input_size: tuple, source: tuple, target: tuple) -> None:
    placement = place(IMAGE, InputSpec("image", **wanted))
    assert placement.input_size == input_size
    assert placement.source == pytest.approx(source)
    assert placement.target == target


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 7), (4000, 2250)])
@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox", "fit", "closest"])
def test_every_image_has_a_place(size: tuple[int, int], resize: str) -> None:
    placement = place(size, InputSpec("image", (64, 32), resize=resize))  # type: ignore[arg-type]
    left, top, right, bottom = placement.source
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    assert all(low < high for low, high in zip(placement.target[:2], placement.target[2:], strict=True))


@pytest.mark.parametrize(("rounding", "size"), [("down", (96, 32)), ("nearest", (96, 64)), ("up", (128, 64))])
def test_sides_become_multiples_by_resizing_where_it_is_told_how(rounding: Rounding, size: tuple[int, int]) -> None:
    placement = place((111, 50), InputSpec("image", None, resize="fit", multiple_of=32, rounding=rounding))
    assert (placement.input_size, placement.target) == (size, (0, 0, *size))


@pytest.mark.parametrize(("rounding", "height"), [(None, 33), ("nearest", 33), ("down", 32), ("up", 33)])
def test_a_letterboxed_side_is_rounded_as_told(rounding: Rounding | None, height: int) -> None:
    placement = place((100, 51), InputSpec("image", (64, 64), resize="letterbox", anchor="top-left", rounding=rounding))
    assert placement.target == (0, 0, 64, height)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 2000), (5000, 40)])
def test_a_surrounded_image_keeps_a_place_however_small_it_is(size: tuple[int, int]) -> None:
    left, top, right, bottom = place(size, InputSpec("image", (2, 2), resize="closest", margin=3.0)).target
    assert left < right
    assert top < bottom


def test_boxes_go_back_to_where_they_came_from_and_end_at_the_images_rim() -> None:
    placement = Placement((1000, 500), (100, 50, 300, 150), (64, 64), (0, 16, 64, 48))
    boxes = np.array([[0, 16, 64, 48], [32, 32, 48, 40], [-1000, -1000, 1000, 1000]])
    assert to_image(placement, boxes).tolist() == [[100, 50, 300, 150], [200, 100, 250, 125], [0, 0, 1000, 500]]


def test_the_size_of_the_whole_image_at_a_parts_scale() -> None:
    assert Placement((1000, 500), (0, 0, 100, 50), (64, 64), (0, 0, 50, 25)).whole_size == (500, 250)
