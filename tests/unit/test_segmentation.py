import base64
import io
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from inference.geometry import place
from inference.grids import blocks, on_grid, plane, window, winners
from inference.masks import encode_mask
from inference.parameters import SegmentationParameters as Parameters
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks import TASKS, task_of
from inference.tasks.segmentation import NAME, activate, merge, read, result
from inference.tiling import Tiles, cut
from tests.unit.images import decode_mask

RANDOM = np.random.default_rng(7)
SQUARE = InputSpec("x", (64, 64))


def spec_of(labels: int | tuple[str, ...], wanted: InputSpec = SQUARE, **output: Any) -> ModelSpec:
    names = tuple("abcdefghij"[:labels]) if isinstance(labels, int) else labels
    return ModelSpec("m", "1", "image-segmentation", names, wanted, OutputSpec(**({"names": {}} | output)))


def segments(values: NDArray, spec: ModelSpec, size: tuple[int, int], threshold: float = 0) -> dict[str, dict]:
    parameters = Parameters(threshold=threshold)
    value = read({"y": values}, spec, place(size, spec.input), parameters)
    found = result(value, spec, size, parameters)
    assert found["task"] == NAME
    return {entry["label"]: entry for entry in found["predictions"]}


def tiled_segments(values: NDArray, spec: ModelSpec, tiles: Tiles) -> list[dict]:
    """Of a model that sees each pixel alone: a tile's output is a part of the whole (1, c, height, width)."""
    width, height = tiles.tile
    padded = np.pad(values, ((0, 0), (0, 0), (0, height), (0, width)))
    readings = [(placement, read({"y": padded[:, :, box[1]:box[1] + height, box[0]:box[0] + width]}, spec, placement,
                                 Parameters()))
                for placement, box in zip(tiles.placements(spec.input), tiles.boxes(), strict=True)]
    return result(merge(iter(readings), tiles, spec, Parameters()), spec, tiles.image_size, Parameters())["predictions"]


def interpolated(values: NDArray, at_y: NDArray, at_x: NDArray) -> NDArray:
    """(c, h, w) at points of the grid in cells, by the textbook's bilinear formula."""
    y, x = np.clip(at_y - 0.5, 0, values.shape[1] - 1), np.clip(at_x - 0.5, 0, values.shape[2] - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, values.shape[1] - 1), np.minimum(left + 1, values.shape[2] - 1)
    down, across = (y - top)[:, None], (x - left)[None, :]
    rows_left = values[:, top][:, :, left] * (1 - down) + values[:, below][:, :, left] * down
    rows_right = values[:, top][:, :, right] * (1 - down) + values[:, below][:, :, right] * down
    return rows_left * (1 - across) + rows_right * across


def test_logits_of_a_coarse_grid_are_interpolated_and_the_best_class_wins() -> None:
    """As PyTorch's interpolate does it; the score is that of the winner, interpolated by itself."""
    spec, size = spec_of(4, replace(SQUARE, resize="letterbox"), activation="softmax"), (400, 300)
    logits = RANDOM.normal(size=(1, 4, 16, 16)).astype(np.float32) * 3
    powers = np.exp(logits[0].astype(np.float64))
    expected = interpolated((powers / powers.sum(0))[:, 2:14], (np.arange(300) + 0.5) * 12 / 300,
                            (np.arange(400) + 0.5) * 16 / 400)  # 400 x 300 fills rows 8 to 56 of 64: cells 2 to 14
    between = interpolated(logits[0][:, 2:14], (np.arange(300) + 0.5) * 12 / 300, (np.arange(400) + 0.5) * 16 / 400)
    clear = np.sort(between, 0)[-1] - np.sort(between, 0)[-2] > 1e-4
    found = segments(logits, spec, size)
    for index, label in enumerate(spec.labels):
        mask = decode_mask(found[label]["mask"])
        assert (mask == (between.argmax(0) == index))[clear].all()
        assert found[label]["score"] == pytest.approx(expected[index][mask].mean(), abs=1e-4)
    assert clear.mean() > 0.99


@pytest.mark.parametrize("spread", [0.1, 30])
def test_classes_that_are_passed_over_would_not_have_won(spread: float) -> None:
    size = (300, 200)
    scores = activate(RANDOM.normal(size=(9, 20, 20)) * spread, "softmax")
    grid = on_grid(scores, place(size, SQUARE))
    every = np.stack([plane(grid, index) for index in range(9)])
    for piece in blocks(size):
        classes, best = winners(window(grid, piece))
        part = every[:, piece[1]:piece[3], piece[0]:piece[2]]
        ordered = np.sort(part, 0)
        clear = ordered[-1] - ordered[-2] > 1e-5  # Pillow takes boxes in float32
        assert (classes == part.argmax(0))[clear].all()
        assert best == pytest.approx(part.max(0), abs=1e-5)


def test_pieces_meet_without_a_seam() -> None:
    grid = on_grid(RANDOM.normal(size=(1, 20, 20)).astype(np.float32), place((300, 200), SQUARE))
    whole, pieced = plane(grid, 0), np.zeros((200, 300), np.float32)
    for piece in blocks((300, 200)):
        pieced[piece[1]:piece[3], piece[0]:piece[2]] = plane(window(grid, piece), 0)
    assert pieced == pytest.approx(whole, abs=1e-4)


def test_the_axis_of_classes_is_as_long_as_the_labels() -> None:
    logits = RANDOM.normal(size=(1, 3, 8, 8)).astype(np.float32)
    spec = spec_of(3, activation="softmax")
    assert segments(logits, spec, (64, 64)) == segments(logits.transpose(0, 2, 3, 1), spec, (64, 64))


def test_layout_decides_where_both_axes_fit() -> None:
    logits = RANDOM.normal(size=(1, 3, 3, 3)).astype(np.float32)
    last = spec_of(3, replace(SQUARE, layout="NHWC"), activation="softmax")
    expected = segments(logits, spec_of(3, activation="softmax"), (9, 9))
    assert segments(logits.transpose(0, 2, 3, 1), last, (9, 9)) == expected
    assert segments(logits, last, (9, 9)) != expected


def test_a_pixel_gets_the_class_under_its_corner_as_nearest_neighbours_do_elsewhere() -> None:
    """PyTorch's interpolate(mode="nearest") of 3 cells to 5 pixels takes the cells 0, 0, 1, 1, 2."""
    found = segments(np.array([[[0, 1, 2]]]), spec_of(3), (5, 1))
    assert {label: np.flatnonzero(decode_mask(one["mask"])).tolist() for label, one in found.items()} == {
        "a": [0, 1], "b": [2, 3], "c": [4]}



@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 1, 4, 4), (1, 4, 4, 1)])
@pytest.mark.parametrize("labels", [3, 4])  # 4: as many as columns
def test_class_maps_are_enlarged_without_mixing_numbers_and_have_no_score(
        kind: type, shape: tuple, labels: int) -> None:
    numbers = RANDOM.integers(0, 3, (4, 4))
    found = segments(numbers.astype(kind).reshape(shape), spec_of(labels), (12, 8), threshold=0.9)
    for index, label in enumerate("abc"):
        assert (decode_mask(found[label]["mask"]) == np.kron(numbers == index, np.ones((2, 3)))).all()
        assert found[label]["score"] is None


def test_as_many_classes_as_bytes_can_count_do_not_overflow() -> None:
    labels = tuple(f"c{number}" for number in range(256))
    assert list(segments(np.full((1, 2, 2), 255, np.uint8), spec_of(labels), (2, 2))) == ["c255"]


@pytest.mark.parametrize(("activation", "values", "score"), [
    ("softmax", [[-9, 9]], 0.999877), ("sigmoid", [[-9, 9]], 0.999877), ("none", [[0.4, 0.7]], 0.7)])
def test_one_channel_marks_where_its_label_is_likelier_than_not(activation: str, values: list, score: float) -> None:
    spec = spec_of(1, activation=activation, background="first")
    found = segments(np.array([[values]], np.float32), spec, (2, 1))
    assert decode_mask(found["a"]["mask"]).tolist() == [[False, True]]
    assert found["a"]["score"] == pytest.approx(score, abs=1e-6)


def test_a_whole_number_for_a_single_label_is_a_mask() -> None:
    found = segments(np.array([[[0, 255]]], np.uint8), spec_of(1), (2, 1))
    assert decode_mask(found["a"]["mask"]).tolist() == [[False, True]]


def test_classes_of_a_sigmoid_overlap() -> None:
    logits = np.array([[[[5, 5]], [[-5, 5]], [[-5, -5]]]], np.float32)
    found = segments(logits, spec_of(3, activation="sigmoid"), (2, 1))
    masks = {label: decode_mask(entry["mask"]).tolist() for label, entry in found.items()}
    assert masks == {"a": [[True, True]], "b": [[False, True]]}


@pytest.mark.parametrize(("background", "labels"), [("none", "abc"), ("first", "bc"), ("last", "ab")])
def test_the_background_is_not_told(background: str, labels: str) -> None:
    logits = np.eye(3, dtype=np.float32).reshape(1, 3, 1, 3) * 9
    assert set(segments(logits, spec_of(3, activation="softmax", background=background), (3, 1))) == set(labels)


def test_the_largest_comes_first_and_absent_classes_not_at_all() -> None:
    numbers = np.array([[[2, 2, 2, 0, 0, 3]]])
    assert list(segments(numbers, spec_of(4), (6, 1))) == ["c", "a", "d"]


def test_of_equal_scores_the_first_class_wins() -> None:
    equal, spec = np.zeros((1, 3, 8, 8), np.float32), spec_of(3, activation="softmax")
    assert list(segments(equal, spec, (20, 10))) == ["a"]
    tiled = tiled_segments(np.zeros((1, 3, 100, 100), np.float32), spec, cut((100, 100), (64, 64), 16))
    assert [entry["label"] for entry in tiled] == ["a"]


def test_segments_with_a_mean_score_below_the_threshold_are_dropped() -> None:
    scores = np.array([[[[0.9, 0.4]], [[0.1, 0.6]]]], np.float32)
    assert list(segments(scores, spec_of(2), (2, 1), threshold=0.7)) == ["a"]
    assert set(segments(scores, spec_of(2), (2, 1))) == {"a", "b"}


def test_what_the_model_told_of_the_filling_does_not_leak_into_the_image() -> None:
    logits = np.zeros((1, 2, 16, 16), np.float32)
    logits[:, 1] = 50
    logits[:, :, 4:12] = np.array([1, 0]).reshape(2, 1, 1)
    spec = spec_of(2, replace(SQUARE, resize="letterbox"), activation="softmax")
    assert list(segments(logits, spec, (200, 100))) == ["a"]


def test_nothing_is_told_of_what_a_crop_cuts_off() -> None:
    found = segments(np.zeros((1, 8, 8), np.int64), spec_of(2, replace(SQUARE, resize="crop")), (200, 100))
    expected = np.zeros((100, 200), bool)
    expected[:, 50:150] = True
    assert (decode_mask(found["a"]["mask"]) == expected).all()


def test_an_image_smaller_than_the_grid_is_averaged() -> None:
    logits = np.zeros((1, 2, 64, 64), np.float32)
    logits[0, 0, :, :32], logits[0, 1, :, 32:] = 9, 9
    found = segments(logits, spec_of(2, activation="softmax"), (2, 1))
    assert decode_mask(found["a"]["mask"]).tolist() == [[True, False]]


@pytest.mark.parametrize(("values", "labels", "words"), [
    (np.zeros((1, 5, 8, 8)), 3, "set labels in model.toml"), (np.zeros((1, 3)), 3, "[1, 3, height, width]"),
    (np.zeros((2, 3, 8, 8)), 3, "[2, 3, 8, 8]"), (np.full((1, 4, 4), 7), 3, "0 to 2: set labels"),
    (np.full((1, 4, 4), -1), 3, "0 to 2: set labels"), (np.full((1, 4, 4), 0.5), 3, "fractions")])
def test_an_output_that_does_not_fit_is_told_with_what_to_set(values: NDArray, labels: int, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        segments(values, spec_of(labels), (8, 8))
    assert words in str(caught.value)
    assert "model.toml" in str(caught.value)


def test_the_named_output_is_read() -> None:
    spec = spec_of(2, names={"masks": "right"})
    outputs = {"wrong": np.zeros((1, 9)), "right": np.ones((1, 2, 2), np.int64)}
    value = read(outputs, spec, place((2, 2), spec.input), Parameters())
    assert [entry["label"] for entry in result(value, spec, (2, 2), Parameters())["predictions"]] == ["b"]


@pytest.mark.parametrize("size", [(150, 130), (64, 64), (30, 200)])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_tiles_of_a_model_that_sees_each_pixel_alone_give_what_the_whole_gives(
        activation: str, size: tuple[int, int]) -> None:
    logits = RANDOM.normal(size=(1, 3, size[1], size[0])).astype(np.float32) * 4
    spec = spec_of(3, activation=activation)
    whole = segments(logits, replace(spec, input=InputSpec("x", None)), size)
    tiled = {entry["label"]: entry for entry in tiled_segments(logits, spec, cut(size, (64, 64), 16))}
    assert set(tiled) == set(whole) == set("abc")
    for label, entry in tiled.items():
        differing = decode_mask(entry["mask"]) != decode_mask(whole[label]["mask"])
        assert differing.mean() < 1e-4  # equal scores up to the rounding of the weights
        assert entry["score"] == pytest.approx(whole[label]["score"], abs=1e-5)


def test_tiles_of_class_maps_give_what_the_whole_gives() -> None:
    numbers = RANDOM.integers(0, 3, (1, 1, 130, 150))
    tiled = tiled_segments(numbers, spec_of(3), cut((150, 130), (64, 64), 16))
    assert tiled == list(segments(numbers, spec_of(3, InputSpec("x", None)), (150, 130)).values())


def test_class_maps_of_tiles_meet_in_the_middle_of_their_overlap() -> None:
    tiles, spec = cut((112, 64), (64, 64), 16), spec_of(2)
    readings = [(placement, read({"y": np.full((1, 64, 64), number)}, spec, placement, Parameters()))
                for number, placement in enumerate(tiles.placements(spec.input))]
    found = result(merge(readings, tiles, spec, Parameters()), spec, (112, 64), Parameters())["predictions"]
    assert {entry["label"]: int(decode_mask(entry["mask"])[0].sum()) for entry in found} == {"a": 56, "b": 56}


def test_scores_fade_from_one_tile_to_the_next() -> None:
    """Where the left tile is sure (1, 0) and the right less so (0.4, 0.6), the border lies nearer to the right one."""
    tiles, spec = cut((112, 64), (64, 64), 16), spec_of(2)
    outputs = [np.tile(np.array(scores).reshape(1, 2, 1, 1), (1, 1, 4, 4)) for scores in ([1, 0], [0.4, 0.6])]
    readings = [(placement, read({"y": output}, spec, placement, Parameters()))
                for output, placement in zip(outputs, tiles.placements(spec.input), strict=True)]
    found = result(merge(readings, tiles, spec, Parameters()), spec, (112, 64), Parameters())["predictions"]
    # the right one's weight w must exceed 0.5 / 0.6 for 0.6 w > 1 - 0.6 w: 13 of the 16 pixels do not
    assert int(decode_mask(found[0]["mask"])[0].sum()) == 48 + 13


def test_tiles_that_show_only_their_middle_are_refused() -> None:
    wide = Tiles((200, 100), (128, 100), (0, 72), (0,))
    spec = spec_of(2, replace(SQUARE, resize="crop"))
    readings = [(placement, read({"y": np.zeros((1, 8, 8), np.int64)}, spec, placement, Parameters()))
                for placement in wide.placements(spec.input)]
    with pytest.raises(ValueError, match='resize = "stretch"'):
        merge(readings, wide, spec, Parameters())


def test_all_classes_of_all_pixels_are_never_held() -> None:
    labels, size = tuple(map(str, range(40))), (1000, 800)  # 128 MB of scores
    logits = RANDOM.normal(size=(1, 40, 12, 12)).astype(np.float32) * 5
    assert peak_megabytes(lambda: segments(logits, spec_of(labels, activation="softmax"), size)) < 20
    assert peak_megabytes(lambda: segments(logits - 5, spec_of(labels, activation="sigmoid"), size)) < 20


def test_all_classes_of_all_tiles_are_never_held() -> None:
    labels, tiles = tuple(map(str, range(20))), cut((1600, 1600), (256, 256), 32)  # 205 MB of scores
    spec = spec_of(labels, replace(SQUARE, size=(256, 256)), activation="softmax")
    logits = RANDOM.normal(size=(1, 20, 8, 8)).astype(np.float32)
    readings = ((placement, read({"y": logits}, spec, placement, Parameters()))
                for placement in tiles.placements(spec.input))
    assert peak_megabytes(lambda: merge(readings, tiles, spec, Parameters())) < 40


def peak_megabytes(work: Any) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_extreme_logits_stay_numbers_without_a_warning(activation: Any) -> None:
    scores = activate(np.array([1e4, -1e4], np.float32).reshape(2, 1, 1), activation)
    assert scores.ravel() == pytest.approx([1, 0])


def test_masks_are_grey_images_of_0_and_255() -> None:
    with Image.open(io.BytesIO(base64.b64decode(encode_mask(np.array([[0, 2], [1, 0]], np.uint8))))) as image:
        assert (image.format, image.mode, np.asarray(image).tolist()) == ("PNG", "L", [[0, 255], [255, 0]])


@pytest.mark.parametrize("given", [{"threshold": 1.1}, {"threshold": "x"}, {"top_k": 1}])
def test_wrong_parameters_are_refused(given: dict) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate(given)


def test_the_task_is_entered_under_its_name() -> None:
    assert TASKS[NAME].read is read
    assert task_of(spec_of(2)) is TASKS[NAME]
