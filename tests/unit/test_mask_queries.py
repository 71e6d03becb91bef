from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.errors import ModelNotUsable
from inference.geometry import Placement
from inference.parameters import MaskQueryParameters as Parameters
from inference.parameters import parameters_of
from inference.spec import InputSpec, ModelSpec, OutputSpec, Size
from inference.tasks import MASK_QUERIES, task_of
from inference.tasks.mask_queries import LEAST_LEFT, MASK_THRESHOLD, NAME, read, result
from tests.onnx_exports import mask_former
from tests.unit.findings_helpers import found, source_of
from tests.unit.images import decode_mask, encode, quadrants
from tests.unit.predicting import loaded
from tests.unit.predicting import result as predicted

GRID = 16  # cells a side, of 4 pixels of the input
NAMES = {"queries": "class_queries_logits", "masks": "masks_queries_logits"}
LABELS = ("cat", "dog", "sky")
STRETCHED = Placement((320, 200), (0, 0, 320, 200), (64, 64), (0, 0, 64, 64))
LETTERBOXED = Placement((200, 100), (0, 0, 200, 100), (64, 64), (0, 16, 64, 48))
CUT_OUT = Placement((400, 300), (120, 60, 280, 220), (64, 64), (0, 0, 64, 64))
SHRUNK = Placement((20, 16), (0, 0, 20, 16), (64, 64), (0, 0, 64, 64))
USUAL: dict[str, Any] = {"activation": "softmax", "background": "last", "threshold": 0.5}


def spec(**output: Any) -> ModelSpec:
    return ModelSpec("m", "1", "image-segmentation", LABELS, InputSpec("image", (64, 64)),
                     OutputSpec(NAMES, **(USUAL | output)))


def disc(centre: tuple[float, float], radius: float, steepness: float = 0.5) -> NDArray:
    """Logits of a mask (h, w) that is a disc, in pixels of the input."""
    middles = (np.arange(GRID) + 0.5) * 4
    return (radius - np.hypot(middles - centre[0], middles[:, None] - centre[1])) * steepness


def outputs(queries: list[tuple[int, float, NDArray]]) -> dict[str, NDArray]:
    """Queries by class (3 is nothing), its chance, and the logits of the mask."""
    chances = np.full((len(queries), 4), 1e-9)
    for row, (label, chance, _) in enumerate(queries):
        chances[row] = (1 - chance) / 3
        chances[row, label] = chance
    masks = np.array([mask for _, _, mask in queries]).reshape(-1, GRID, GRID)
    return {"class_queries_logits": np.log(chances)[None].astype(np.float32),
            "masks_queries_logits": masks[None].astype(np.float32)}


def segments(queries: list[tuple[int, float, NDArray]], placement: Placement = STRETCHED,
             threshold: float | None = None) -> list[tuple[str, float, NDArray[np.bool_]]]:
    """What is told of queries: labels, scores and masks."""
    asked = Parameters(threshold=threshold)
    told = result(read(outputs(queries), spec(), placement, asked), spec(), placement.image_size, asked)
    assert told["task"] == NAME == "image-segmentation"
    return [(one["label"], one["score"], decode_mask(one["mask"])) for one in told["predictions"]]


def at_pixels(logits: NDArray, placement: Placement) -> NDArray:
    """Bilinear between the middles of the cells, at the middle of each pixel of the image."""
    at = []
    for axis in (0, 1):
        middles = np.arange(placement.image_size[axis]) + 0.5
        in_input = (middles - placement.source[axis]) * placement.scale[axis] + placement.target[axis]
        at.append(in_input * GRID / placement.input_size[axis] - 0.5)
    across = np.array([np.interp(at[0], np.arange(GRID), row) for row in logits])
    return np.array([np.interp(at[1], np.arange(GRID), column) for column in across.T]).T


def reference(queries: list[tuple[int, float, NDArray]], placement: Placement) -> list[tuple[str, float, NDArray]]:
    """The same as `segments`, all at once and with all pixels of all queries."""
    kept = [query for query in queries if query[0] != 3 and query[1] >= 0.5]
    masks = np.array([1 / (1 + np.exp(-at_pixels(mask, placement))) for _, _, mask in kept])
    weighed = masks * np.array([chance for _, chance, _ in kept])[:, None, None]
    winners, told = weighed.argmax(axis=0), []
    for row, (label, chance, _) in enumerate(kept):
        mask = (winners == row) & (masks[row] >= MASK_THRESHOLD)
        claimed = (weighed[row] >= MASK_THRESHOLD).sum()
        if claimed and mask.sum() / claimed > LEAST_LEFT:
            told.append((LABELS[label], chance, mask))
    return sorted(told, key=lambda one: -one[1])


def shares(one: NDArray, other: NDArray) -> float:
    return float((one & other).sum() / (one | other).sum())


SCENE = [(0, 0.9, disc((20, 32), 14)), (2, 0.7, disc((40, 30), 15)), (1, 0.6, disc((32, 52), 9, 2)),
         (3, 0.99, disc((32, 32), 40)), (1, 0.4, disc((10, 50), 9)), (0, 0.8, disc((52, 56), 1, 0.1))]


@pytest.mark.parametrize("placement", [STRETCHED, LETTERBOXED, SHRUNK], ids=["stretched", "letterboxed", "shrunk"])
def test_segments_are_those_of_the_panoptic_algorithm(placement: Placement) -> None:
    found_, wanted = segments(SCENE, placement), reference(SCENE, placement)
    assert [(label, pytest.approx(score, abs=1e-5)) for label, score, _ in found_] == [one[:2] for one in wanted]
    for (_, _, mask), (_, _, truth) in zip(found_, wanted, strict=True):
        assert mask.shape == placement.image_size[::-1]
        assert np.mean(mask != truth) < 0.01


def test_no_pixel_has_two_segments() -> None:
    assert np.sum([mask for _, _, mask in segments(SCENE)], axis=0).max() == 1


def test_a_pixel_in_no_mask_belongs_to_nobody() -> None:
    """One query alone is the likeliest everywhere."""
    [(_, _, mask)] = segments([(0, 0.9, disc((32, 32), 14))])
    assert shares(mask, at_pixels(disc((32, 32), 14), STRETCHED) >= 0) > 0.99
    assert 0.1 < mask.mean() < 0.2


def test_a_crop_tells_nothing_of_what_it_cuts_off() -> None:
    [(_, _, mask)] = segments([(0, 0.9, disc((32, 32), 100))], CUT_OUT)
    assert mask[60:220, 120:280].all()
    assert mask.sum() == 160 * 160


def test_what_others_have_taken_away_is_no_segment() -> None:
    whole = disc((32, 32), 14, 5)
    half = np.where(np.arange(GRID) < 8, whole, -9)
    assert [label for label, _, _ in segments([(0, 0.9, half), (1, 0.6, whole)])] == ["cat"]
    assert [label for label, _, _ in segments([(0, 0.6, half), (1, 0.9, whole)])] == ["dog"]


@pytest.mark.parametrize(("threshold", "labels"), [
    (None, ["cat", "dog"]), (0.3, ["cat", "dog", "sky"]), (0.8, ["cat"]), (1, [])])
def test_the_caller_chooses_how_sure_a_segment_has_to_be(threshold: float | None, labels: list[str]) -> None:
    queries = [(0, 0.9, disc((12, 12), 9)), (1, 0.7, disc((50, 12), 9)), (2, 0.45, disc((32, 50), 9))]
    assert [label for label, _, _ in segments(queries, threshold=threshold)] == labels


def test_queries_that_see_nothing_give_no_segments() -> None:
    assert segments([(3, 0.9, disc((32, 32), 30))]) == segments([]) == []


def test_float16_is_read_as_float32() -> None:
    half = {name: values.astype(np.float16) for name, values in outputs(SCENE).items()}
    value = read(half, spec(), STRETCHED, Parameters())
    assert len(result(value, spec(), STRETCHED.image_size, Parameters())["predictions"]) == len(segments(SCENE))


@pytest.mark.parametrize(("activation", "background", "table"), [
    ("sigmoid", "none", [[3, -3, -3], [-3, -3, 2]]), ("softmax", "first", [[-3, 3, -3, -3], [-3, -3, -3, 3]]),
    ("none", "last", [[0.9, 0, 0, 0.1], [0, 0.1, 0.8, 0.1]])])
def test_scores_may_be_written_in_other_ways(activation: str, background: str, table: list[list[float]]) -> None:
    given = {"class_queries_logits": np.array([table], np.float32),
             "masks_queries_logits": np.array([[disc((12, 12), 9), disc((50, 50), 9)]], np.float32)}
    model = spec(activation=activation, background=background)
    told = result(read(given, model, STRETCHED, Parameters()), model, STRETCHED.image_size, Parameters())
    assert [one["label"] for one in told["predictions"]] == ["cat", "sky"]


@pytest.mark.parametrize("given", [
    {}, {"class_queries_logits": np.zeros((1, 5, 3)), "masks_queries_logits": np.zeros((1, 5, 4, 4))},
    {"class_queries_logits": np.zeros((1, 5, 4)), "masks_queries_logits": np.zeros((1, 6, 4, 4))},
    {"class_queries_logits": np.zeros((2, 5, 4)), "masks_queries_logits": np.zeros((2, 5, 4, 4))},
    {"class_queries_logits": np.zeros((1, 5, 4)), "masks_queries_logits": np.zeros((5, 4, 4))}])
def test_outputs_that_do_not_fit_say_what_to_set(given: dict) -> None:
    with pytest.raises(ValueError, match=r"\[1, queries, 4\] for 3 labels .* set labels, or queries and masks in "
                                         r"\[output\.names\], in model\.toml"):
        read(given, spec(), STRETCHED, Parameters())


def test_scores_that_are_no_numbers_are_refused() -> None:
    given = outputs(SCENE) | {"class_queries_logits": np.full((1, 6, 4), np.nan, np.float32)}
    with pytest.raises(ValueError, match="NaN"):
        read(given, spec(), STRETCHED, Parameters())


def test_the_task_is_chosen_by_the_outputs_and_is_not_tiled() -> None:
    assert (task_of(spec()), MASK_QUERIES.merge) == (MASK_QUERIES, None)
    assert set(parameters_of(spec()).model_fields) == {"threshold"}


# How such a model is known

MASK_FORMER = {"class_queries_logits": (1, 100, 4), "masks_queries_logits": (1, 100, 8, 12)}
DETR = {"logits": ("batch", 100, 4), "pred_boxes": ("batch", 100, 4), "pred_masks": ("batch", 100, "h", "w")}
CONFIG = {"config.json": {"architectures": ["MaskFormerForInstanceSegmentation"], "model_type": "maskformer",
                          "id2label": dict(enumerate(LABELS))}}


@pytest.mark.parametrize(("shapes", "queries", "masks"), [
    (MASK_FORMER, "class_queries_logits", "masks_queries_logits"),
    ({**MASK_FORMER, "encoder_last_hidden_state": (1, 64, 8, 12)}, "class_queries_logits", "masks_queries_logits"),
    (DETR, "logits", "pred_masks")])
def test_a_segmenter_by_queries_is_known_by_the_names_of_its_outputs(tmp_path: Path, shapes: dict, queries: str,
                                                                     masks: str) -> None:
    model = found(tmp_path, shapes, files={"labels.txt": "\n".join(LABELS)})
    assert (model.task, model.labels) == ("image-segmentation", LABELS)
    assert model.output.names == {"queries": queries, "masks": masks}
    assert (model.output.activation, model.output.background, model.output.threshold) == ("softmax", "last", 0.5)
    assert model.has_mask_queries


def test_labels_may_come_from_hugging_faces_config(tmp_path: Path) -> None:
    model = found(tmp_path, MASK_FORMER, files=CONFIG)
    assert (model.labels, source_of(model, "labels")) == (LABELS, "config.json")


def test_a_label_for_nothing_is_left_out(tmp_path: Path) -> None:
    assert found(tmp_path, MASK_FORMER, files={"labels.txt": "cat\ndog\nsky\nno-object"}).labels == LABELS


def test_outputs_of_other_names_can_be_named(tmp_path: Path) -> None:
    toml = 'task = "image-segmentation"\n[output]\nthreshold = 0.7\n[output.names]\nqueries = "a"\nmasks = "b"\n'
    model = found(tmp_path, {"a": (1, 100, 4), "b": (1, 100, 8, 12)}, toml=toml)
    assert (model.labels, model.output.threshold, model.has_mask_queries) == (("0", "1", "2"), 0.7, True)


def test_tiles_of_segments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match="image-segmentation by queries cannot be put together from tiles"):
        found(tmp_path, MASK_FORMER, toml="[tiling]")


def test_a_model_with_queries_is_served(tmp_path: Path) -> None:
    """Red, green and blue are a query's each; white is nobody's."""
    mask_former(tmp_path / "colors")
    size: Size = (96, 64)
    told = predicted(loaded(tmp_path), encode(quadrants(size), "PNG"))["predictions"]
    boxes = {"red": (0, 0), "green": (0, 48), "blue": (32, 0)}
    assert {one["label"] for one in told} == set(boxes)
    for one in told:
        wanted = np.zeros(size[::-1], bool)
        top, left = boxes[one["label"]]
        wanted[top:top + 32, left:left + 48] = True
        assert shares(decode_mask(one["mask"]), wanted) > 0.9
