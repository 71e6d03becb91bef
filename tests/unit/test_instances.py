import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import Placement
from inference.masks import encode_mask
from inference.parameters import InstanceParameters as Parameters
from inference.spec import InputSpec, ModelSpec, Size
from inference.tasks.instances import NAME, Instances, merge, read, result
from inference.tiling import cut
from tests.unit.detections import spec
from tests.unit.findings_helpers import Shape, found

NAMES = {"masks": "protos"}
MODEL = spec(columns="box scores", names=NAMES, nms="per-class")
LETTERBOXED = Placement((200, 100), (0, 0, 200, 100), (64, 64), (0, 16, 64, 48))
TALL = Placement((300, 900), (0, 0, 300, 900), (64, 64), (21, 0, 42, 64))
CUT_OUT = Placement((400, 300), (120, 60, 280, 220), (64, 64), (0, 0, 64, 64))
SHRUNK = Placement((20, 16), (0, 0, 20, 16), (64, 64), (0, 0, 64, 64))


def disc(centre: tuple[float, float], radius: float, size: Size = (16, 16), cell: float = 4.0) -> NDArray:
    """Logits (h, w) on a grid of cells of so many pixels of the input: above 0 within a disc."""
    x, y = ((np.arange(side) + 0.5) * cell for side in size)
    return (radius - np.hypot(x - centre[0], y[:, None] - centre[1])).astype(np.float32)


def outputs(boxes: list[tuple[float, float, float, float]], logits: list[NDArray], end2end: bool = False) -> dict:
    """Objects of the first label, of falling score, each with a prototype of its own."""
    count = len(boxes)
    scores = np.linspace(0.9, 0.5, count)
    named = [scores, np.zeros(count)] if end2end else [scores, np.zeros(count), np.zeros(count)]
    rows = np.column_stack([np.array(boxes).reshape(-1, 4), *named, np.eye(count) * 2]).astype(np.float32)
    halved = np.array(logits)[None] / 2
    return {"rows": rows[None] if end2end else rows.T[None], "protos": halved.astype(np.float32)}


def reference(logits: NDArray, placement: Placement, box: NDArray) -> NDArray[np.bool_]:
    """Bilinear between the middles of the cells, at the middle of each pixel of the image."""
    at = []
    for axis in (0, 1):
        middles = np.arange(placement.image_size[axis]) + 0.5
        in_input = (middles - placement.source[axis]) * placement.scale[axis] + placement.target[axis]
        at.append(in_input * logits.shape[1 - axis] / placement.input_size[axis] - 0.5)
    across = np.array([np.interp(at[0], np.arange(logits.shape[1]), row) for row in logits])
    whole = np.array([np.interp(at[1], np.arange(logits.shape[0]), column) for column in across.T]).T
    x, y = (np.arange(side) + 0.5 for side in placement.image_size)
    inside = (x >= box[0]) & (x < box[2]) & ((y >= box[1]) & (y < box[3]))[:, None]
    return (whole > 0) & inside


def shares(one: NDArray, other: NDArray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_query_has_a_mask_of_its_own_that_its_box_does_not_cut_off() -> None:
    """RF-DETR: logits of each query's mask, boxes as shares of the input."""
    logits = [disc((40, 24), 20), disc((12, 38), 8), np.full((16, 16), -9, np.float32)]
    model = spec(names={"boxes": "dets", "scores": "labels", "masks": "masks"}, boxes="cxcywh", units="normalised",
                 activation="sigmoid", nms="none")
    outputs = {"dets": np.array([[[0.6, 0.4, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1], [0.5, 0.5, 1, 1]]], np.float32),
               "labels": np.array([[[-9, 2, -9], [3, -9, -9], [-9, -9, -9]]], np.float32),
               "masks": np.array([logits])}
    found = read(outputs, model, LETTERBOXED, Parameters(threshold=0.5))
    assert found.detections.scores.round(3).tolist() == [0.953, 0.881]
    for row, shown in enumerate((logits[1], logits[0])):
        whole = reference(shown, LETTERBOXED, np.array([0, 0, 200, 100]))
        assert shares(found.mask(row, LETTERBOXED.image_size), whole) > 0.95



@pytest.mark.parametrize("placement", [LETTERBOXED, TALL, CUT_OUT], ids=["letterboxed", "tall", "cut out"])
def test_masks_lie_where_the_prototypes_show_them(placement: Placement) -> None:
    logits = [disc((30, 30), 9), disc((34, 40), 30)]
    value = read(outputs([(20, 20, 41, 41), (25, 18, 40, 46)], logits), MODEL, placement, Parameters(iou=1))
    for row, shown in enumerate(logits):
        mask = value.mask(row, placement.image_size)
        assert mask.sum() > 100
        assert np.array_equal(mask, reference(shown, placement, value.detections.boxes[row]))


def test_masks_may_be_finer_than_the_image() -> None:
    value = read(outputs([(16, 16, 48, 48)], [disc((32, 32), 14)]), MODEL, SHRUNK, Parameters())
    x, y = np.arange(20) + 0.5, np.arange(16) + 0.5
    wanted = np.hypot(x * 3.2 - 32, y[:, None] * 4 - 32) < 14
    assert shares(value.mask(0, (20, 16)), wanted) > 0.9


TORCHVISION = {"boxes": "b", "scores": "s", "classes": "c", "masks": "m"}


def test_masks_as_large_as_the_image_are_taken_as_they_are() -> None:
    own = Placement((40, 30), (0, 0, 40, 30), (40, 30), (0, 0, 40, 30))
    masks = np.zeros((2, 1, 30, 40), np.float32)
    masks[0, 0, 10:20, 5:25] = 0.9
    masks[1, 0, 2:8, 30:38] = 0.6
    given = {"b": np.array([[5, 10, 25, 20], [30, 2, 38, 8]], np.float32), "s": np.array([0.5, 0.8], np.float32),
             "c": np.array([1, 3]), "m": masks}
    model = spec(names=TORCHVISION, background="first")
    value = read(given, model, own, Parameters())
    assert value.detections.classes.tolist() == [2, 0]
    assert np.array_equal(value.mask(0, (40, 30)), masks[1, 0] > 0.5)
    assert np.array_equal(value.mask(1, (40, 30)), masks[0, 0] > 0.5)
    nothing = {name: values[:0] for name, values in given.items()}
    assert len(read(nothing, model, own, Parameters()).pieces) == 0


def test_masks_end_at_the_rim_of_the_image() -> None:
    value = read(outputs([(0, 16, 64, 48)], [disc((32, 32), 100)]), MODEL, LETTERBOXED, Parameters())
    assert value.mask(0, (200, 100)).all()


@pytest.mark.parametrize("box", [(63.9, 47.9, 64, 48), (0, 16, 0.1, 16.1), (30.1, 30.1, 30.2, 30.2)])
def test_an_object_smaller_than_a_pixel_has_one(box: tuple[float, float, float, float]) -> None:
    value = read(outputs([box], [disc((32, 32), 100)]), MODEL, LETTERBOXED, Parameters())
    assert value.mask(0, (200, 100)).sum() == 1


def test_rows_of_a_built_in_suppression_have_their_masks() -> None:
    model = spec(columns="box score class", names=NAMES)
    logits = [disc((12, 32), 9), disc((50, 32), 9)]
    boxes = [(2.0, 20.0, 22.0, 44.0), (40.0, 20.0, 60.0, 44.0)]
    value = read(outputs(boxes, logits, end2end=True), model, LETTERBOXED, Parameters())
    for row, shown in enumerate(logits):
        assert np.array_equal(value.mask(row, (200, 100)), reference(shown, LETTERBOXED, value.detections.boxes[row]))


def test_a_suppressed_object_takes_its_mask_with_it() -> None:
    logits = [disc((12, 32), 9), disc((50, 32), 9), disc((50, 32), 5)]
    boxes = [(2.0, 20.0, 22.0, 44.0), (2.0, 20.0, 22.0, 43.0), (40.0, 20.0, 60.0, 44.0)]
    value = read(outputs(boxes, logits), MODEL, LETTERBOXED, Parameters())
    assert len(value.pieces) == 2
    assert np.array_equal(value.mask(1, (200, 100)), reference(logits[2], LETTERBOXED, value.detections.boxes[1]))


def test_float16_masks_are_as_those_of_float32() -> None:
    whole = outputs([(20, 20, 41, 41)], [disc((30, 30), 9)])
    half = {name: values.astype(np.float16) for name, values in whole.items()}
    masks = [read(given, MODEL, LETTERBOXED, Parameters()).mask(0, (200, 100)) for given in (whole, half)]
    assert shares(*masks) > 0.99


def test_a_result_has_masks_as_large_as_the_image() -> None:
    value = read(outputs([(20, 20, 41, 41), (2, 20, 18, 40)], [disc((30, 30), 9), disc((10, 30), 9)]), MODEL,
                 LETTERBOXED, Parameters())
    answer = result(value, MODEL, (200, 100), Parameters(top_k=1))
    assert answer["task"] == NAME == "image-segmentation"
    assert [set(entry) for entry in answer["predictions"]] == [{"label", "score", "mask", "box"}]
    assert answer["predictions"][0]["box"] == {"xmin": 62.5, "ymin": 12.5, "xmax": 128.12, "ymax": 78.12}
    image = decoded(answer["predictions"][0]["mask"])
    assert np.array_equal(np.asarray(image) == 255, value.mask(0, (200, 100)))


def decoded(text: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(text)))


@pytest.mark.parametrize("kind", [bool, np.uint8])
def test_a_mask_is_a_grey_png_of_black_and_white(kind: type) -> None:
    mask: NDArray = (np.arange(12).reshape(3, 4) % 3).astype(kind)
    image = decoded(encode_mask(mask))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (4, 3))
    assert np.array_equal(np.asarray(image), np.where(mask, 255, 0))


def test_a_column_of_a_larger_mask_can_be_encoded() -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:3] = True
    assert np.array_equal(np.asarray(decoded(encode_mask(mask[:, ::2]))) == 255, mask[:, ::2])


def tile_outputs(placement: Placement, box: tuple[float, ...], centre: tuple[float, float], radius: float) -> dict:
    """What a model says about one tile, not resized, that shows a part of a disc."""
    left, top = placement.source[:2]
    moved = np.array(box) - (left, top, left, top)
    shown = np.clip(moved, 0, 128)
    rows = [tuple(shown)] if (shown[2:] - shown[:2] > 4).all() else []
    logits = [disc((centre[0] - left, centre[1] - top), radius, (32, 32))]
    return outputs(rows, logits) if rows else {"rows": np.empty((1, 8, 0)), "protos": np.array(logits)[None]}


@pytest.mark.parametrize(("centre", "radius"), [((60, 60), 30), ((150, 110), 90), ((100, 100), 20)])
def test_tiles_give_one_object_with_the_mask_of_all_its_pieces(centre: tuple[float, float], radius: float) -> None:
    size = (300, 220)
    box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    tiles = cut(size, (128, 128), 48)
    values = [(placement, seen(tile_outputs(placement, box, centre, radius), placement))
              for placement in tiles.placements(InputSpec("image", (128, 128)))]
    value = merge(iter(values), tiles, MODEL, Parameters())
    x, y = np.arange(300) + 0.5, np.arange(220) + 0.5
    assert value.detections.boxes == pytest.approx(np.array([box]))
    assert shares(value.mask(0, size), np.hypot(x - centre[0], y[:, None] - centre[1]) < radius) > 0.95


def seen(given: dict, placement: Placement) -> Instances:
    return read(given, MODEL, placement, Parameters())


@pytest.mark.parametrize(("given", "model", "text"), [
    (outputs([(1, 1, 9, 9)], [disc((5, 5), 3)]), spec(columns="box scores"),
     "none of the outputs rows, protos is known to hold the masks, [1, numbers, height, width] "
     "or [objects, 1, height, width]: "
     "set masks in [output.names] in model.toml"),
    ({"rows": np.zeros((1, 116, 8400)), "protos": np.zeros((1, 32, 16, 16))}, MODEL,
     "output of shape [1, 116, 8400] does not hold 4 box numbers, 3 scores and 32 mask numbers a row: "
     "set labels, or [output] columns, in model.toml"),
])
def test_outputs_that_do_not_fit_say_what_to_set(given: dict, model: ModelSpec, text: str) -> None:
    with pytest.raises(ValueError) as error:
        read(given, model, LETTERBOXED, Parameters())
    assert str(error.value) == text


def test_fewer_objects_than_boxes_are_asked_for_by_default() -> None:
    assert (Parameters().top_k, Parameters().threshold) == (100, None)


def test_torchvisions_masks_are_known_by_the_names_of_the_outputs(tmp_path: Path) -> None:
    outputs: dict[str, Shape] = {"boxes": ("n", 4), "labels": ("n",), "scores": ("n",), "masks": ("n", 1, "h", "w")}
    spec = found(tmp_path, outputs, {"image": (1, 3, "height", "width")}, types={"labels": "INT64"},
                 toml='labels = ["__background__", "person", "car"]')
    assert (spec.task, spec.tells_objects, spec.input.resize) == (NAME, True, "fit")
    assert dict(spec.output.names) == {"boxes": "boxes", "scores": "scores", "classes": "labels", "masks": "masks"}
    assert (spec.labels, spec.output.background) == (("person", "car"), "first")
