"""What the answers to test images say beside an output's shape, whatever a file says."""

from inference.evidence import ACTIVATIONS, Shown, follows_shift, picture_range
from inference.findings.sources import GRAPH, TEST_IMAGE, Claims
from inference.findings.sources.onnx_classes import scores_output
from inference.findings.sources.onnx_outputs import channel_axis, class_axis, image_output, map_output
from inference.findings.sources.seen import Seen
from inference.model_toml import TaskName


def shown_by(task: TaskName, seen: Seen) -> list[Claims]:
    """Scores that are scores already get no activation: a softmax or sigmoid is never applied twice."""
    if task == "image-classification":
        return _activated(seen.shown(scores_output(seen)), 1, is_map=False)
    if task == "image-segmentation" and (masks := map_output(seen)) is not None:
        return _activated(seen.shown(masks), class_axis(masks, seen), is_map=True)
    if task == "image-to-image" and (picture := image_output(seen)) is not None:
        return _range(seen.shown(picture))
    return []


def moves_with_image(seen: Seen) -> bool:
    """Whether the image that a model makes may be put together from tiles; taken for granted where the model was not
    run, or its test images were too small to tell."""
    picture = image_output(seen)
    shown = seen.shown(picture)
    size = None if seen.tested is None else seen.tested.size
    if picture is None or shown is None or size is None:
        return True
    return follows_shift(shown, channel_axis(picture, seen), size) is not False


def makes_mask(task: TaskName, seen: Seen) -> bool:
    """Whether a model makes one plane of 0..1 of a coloured image: a cut-out, or where an object is."""
    picture = image_output(seen)
    shown = seen.shown(picture)
    if task != "image-to-image" or picture is None or shown is None or seen.channels == 1:
        return False
    return shown.shape[channel_axis(picture, seen)] == 1 and picture_range(shown) == (0.0, 1.0)


def _range(shown: Shown | None) -> list[Claims]:
    if shown is None or shown.values[0].dtype.kind != "f":
        return []
    found = picture_range(shown)
    return [] if found is None else [Claims(TEST_IMAGE, {"range": found})]


def _activated(shown: Shown | None, axis: int, is_map: bool) -> list[Claims]:
    """The few values of a classifier are scores where an operator or their sum says so; all values of a map in 0..1
    are."""
    if shown is not None and shown.quantum is not None and not is_map:
        done = {"activation": "none"} if shown.maker in ACTIVATIONS else {}
        return [Claims(GRAPH, {"range": shown.quantum, **done})]
    if shown is None or shown.values[0].dtype.kind != "f":
        return []
    sums = len(shown.shape) > axis and shown.sum_to_1(axis)
    if not sums and shown.maker not in ACTIVATIONS and not (is_map and shown.are_scores):
        return []
    return [Claims(GRAPH if shown.maker in ACTIVATIONS else TEST_IMAGE, {"activation": "none"})]
