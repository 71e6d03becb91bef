"""Boxes that are turned: corners, suppression, placing, tiles, and what is told of them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.boxes import oriented
from inference.drawing.painters import draw
from inference.drawing.style import Style
from inference.geometry import Placement
from inference.parameters import DetectionParameters as Parameters
from inference.spec import InputSpec, ModelSpec
from inference.tasks.detection import Detections, merge, read, result
from inference.tiling import cut
from tests.unit.detections import beside, spec

LETTERBOXED = Placement((200, 100), (0, 0, 200, 100), (64, 64), (0, 16, 64, 48))
SAME = Placement((100, 100), (0, 0, 100, 100), (100, 100), (0, 0, 100, 100))


def model(**output: Any) -> ModelSpec:
    return spec(**{"columns": "box scores", "boxes": "cxcywh", "oriented": True, "nms": "per-class", **output})


def rows(*boxes: tuple[float, ...], scores: tuple[float, ...] = ()) -> dict[str, NDArray]:
    """[1, K, n] boxes of the first label with their angles (cx, cy, w, h, radians), of falling score."""
    given = np.array(boxes)
    table = np.zeros((len(boxes), 3))
    table[:, 0] = scores or np.linspace(0.9, 0.8, len(boxes))
    return {"o": beside(given[:, :4], table, given[:, 4]).transpose(0, 2, 1)}


def test_corners_go_round_the_box() -> None:
    box = np.array([[50, 40, 20, 10, np.pi / 2]])
    assert oriented.corners(box)[0] == pytest.approx(np.array([[45, 50], [55, 50], [55, 30], [45, 30]]))
    assert oriented.upright(box)[0] == pytest.approx([45, 30, 55, 50])


def test_probiou_is_ultralytics() -> None:
    """Figures of ultralytics.utils.metrics.batch_probiou, 8.4.190."""
    some = np.array([[50, 50, 40, 20, 0.0], [50, 50, 40, 20, np.pi / 2]])
    others = np.array([[50, 50, 40, 20, 0.0], [60, 50, 40, 20, 0.2], [500, 50, 40, 20, 0.0]])
    assert oriented.overlaps(some, others) == pytest.approx(np.array(
        [[0.999552786, 0.679870392, 0.0], [0.552786264, 0.442796256, 0.0]]), abs=1e-7)


def plain_suppression(boxes: NDArray, scores: NDArray, classes: NDArray, iou: float) -> list[int]:
    order = np.argsort(-scores, kind="stable").tolist()
    return [row for place, row in enumerate(order) if not any(
        classes[row] == classes[better] and oriented.overlaps(boxes[[better]], boxes[[row]])[0, 0] >= iou
        for better in order[:place])]


@pytest.mark.parametrize("seed", range(3))
def test_any_better_box_takes_a_worse_one_away(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = np.column_stack((random.uniform(0, 100, (150, 2)), random.uniform(5, 40, (150, 2)),
                             random.uniform(0, 3, 150)))
    scores, classes = random.uniform(size=150), random.integers(0, 2, 150)
    expected = plain_suppression(boxes, scores, classes, 0.3)
    assert oriented.suppress(boxes, scores, classes, 0.3, limit=300).tolist() == expected
    assert oriented.suppress(boxes, scores, classes, 0.3, limit=7).tolist() == expected[:7]


def test_a_detection_tells_corners_and_angle_beside_its_box() -> None:
    value = read(rows((32, 32, 20, 8, np.pi / 6)), model(), LETTERBOXED, Parameters())
    [told] = result(value, model(), (200, 100), Parameters())["predictions"]
    across, down = 31.25 * np.array([np.sqrt(3) / 2, 0.5]), 12.5 * np.array([-0.5, np.sqrt(3) / 2])
    corners = np.add([across + down, across - down, -across - down, down - across], (100, 50))
    assert [(point["x"], point["y"]) for point in told["polygon"]] == pytest.approx(corners, abs=0.01)
    assert told["angle"] == 30


@pytest.mark.parametrize(("angle", "told"), [(-0.7, -40.11), (2.3, 131.78), (-5.25, 59.2)])
def test_the_angle_is_that_of_the_width_as_the_model_gives_it(angle: float, told: float) -> None:
    value = read(rows((50, 50, 20, 8, angle)), model(), SAME, Parameters())
    [found] = result(value, model(), (100, 100), Parameters())["predictions"]
    assert found["angle"] == told
    first, last = found["polygon"][0], found["polygon"][3]
    assert np.hypot(first["x"] - last["x"], first["y"] - last["y"]) == pytest.approx(20, abs=0.02)


def test_the_box_is_the_upright_one_around_the_corners() -> None:
    value = read(rows((32, 32, 20, 8, np.pi / 6)), model(), LETTERBOXED, Parameters())
    [told] = result(value, model(), (200, 100), Parameters())["predictions"]
    corners = np.array([(point["x"], point["y"]) for point in told["polygon"]])
    assert list(told["box"].values()) == pytest.approx([*corners.min(axis=0), *corners.max(axis=0)], abs=0.01)


def test_a_box_ends_at_the_images_rim_and_its_polygon_does_not() -> None:
    value = read(rows((2, 50, 20, 10, 0.0)), model(), SAME, Parameters())
    [told] = result(value, model(), (100, 100), Parameters())["predictions"]
    assert told["box"] == {"xmin": 0, "ymin": 45, "xmax": 12, "ymax": 55}
    assert min(point["x"] for point in told["polygon"]) == -8


def test_slanted_neighbours_both_stay() -> None:
    """Their upright boxes are nearly the same."""
    value = read(rows((50, 50, 80, 6, np.pi / 4), (56, 44, 80, 6, np.pi / 4)), model(), SAME, Parameters())
    assert len(value) == 2


def test_rows_after_suppression_are_taken_as_they_are() -> None:
    named = {"o": beside(np.array([[50, 50, 20, 10]] * 2), [0.9, 0.8], [1, 1], [0.5, 0.5])}
    value = read(named, model(columns="box score class", nms="none"), SAME, Parameters())
    assert (len(value), value.classes.tolist()) == (2, [1, 1])


def test_a_stretched_image_keeps_the_middles_of_the_sides() -> None:
    stretched = Placement((200, 100), (0, 0, 200, 100), (100, 100), (0, 0, 100, 100))
    moved = oriented.to_image(stretched, np.array([[50, 50, 20, 10, np.pi / 2]]))[0]
    assert moved == pytest.approx([100, 50, 20, 20, np.pi / 2])


def seen(placement: Placement, objects: NDArray) -> Detections:
    """What a detector finds of upright objects (n, 4) in one tile: turned boxes around the parts that it sees."""
    window = np.array(placement.source)
    parts = np.concatenate((np.maximum(objects[:, :2], window[:2]), np.minimum(objects[:, 2:], window[2:])), axis=1)
    parts = parts[(parts[:, 2:] > parts[:, :2]).all(axis=1)]
    turned = oriented.turned(parts, np.zeros(len(parts)))
    return Detections(parts, np.full(len(parts), 0.8), np.zeros(len(parts), np.intp), turned)


def test_tiles_tell_each_object_once_also_where_a_rim_cuts_it() -> None:
    tiles = cut((300, 200), (200, 200), 40)
    objects = np.array([[20.0, 20, 60, 40], [120, 100, 180, 130], [60, 150, 290, 170]])
    placements = list(tiles.placements(InputSpec("image", (200, 200))))
    found = merge([(placement, seen(placement, objects)) for placement in placements], tiles, model(), Parameters())
    assert found.turned is not None
    order = np.argsort(found.boxes[:, 1])
    assert found.boxes[order] == pytest.approx(objects)
    assert oriented.upright(found.turned[order]) == pytest.approx(objects)


def test_rows_without_an_angle_are_refused() -> None:
    with pytest.raises(ValueError, match="4 box numbers, 3 scores and an angle a row"):
        read({"o": np.zeros((1, 7, 50), np.float32)}, model(), SAME, Parameters())


def test_a_turned_box_is_drawn_along_its_corners() -> None:
    value = read(rows((50, 50, 60, 20, np.pi / 4)), model(), SAME, Parameters())
    drawn = draw(Image.new("RGB", (100, 100)), result(value, model(), (100, 100), Parameters()), Style(scale=1))
    assert drawn.getpixel((64, 78)) != (0, 0, 0)  # the middle of the lower end
    assert drawn.getpixel((50, 50)) == drawn.getpixel((22, 74)) == (0, 0, 0)  # within it, and the upright box's corner
