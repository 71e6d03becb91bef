"""A folder that cannot be served says all that is missing at once, and is served once the lines are added."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from inference.errors import ModelNotUsable
from tests.answering import Shape, answering, saved
from tests.unit.predicting import loaded
from tests.unit.test_test_images import put

SMALL: Shape = (1, 3, 64, 64)
OPEN: Shape = (1, 3, "height", "width")
DETECTOR = 'task = "object-detection"\n'


@dataclass(frozen=True)
class Folder:
    """A model's outputs and what a person wrote, the words of the reason, and the lines that mend it."""

    outputs: dict[str, NDArray]
    toml: str
    words: tuple[str, ...]
    mended: str
    labels: str = ""
    image: Shape = SMALL
    shapes: dict[str, Shape] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    make: Callable[[Path], None] | None = None


def rows(count: int, columns: int, low: float = 10, high: float = 20) -> NDArray:
    return np.linspace(low, high, count * columns).reshape(1, count, columns)


def four_times(path: Path) -> None:
    """A model of any size that takes images of 384 pixels alone, as a vision transformer does."""
    ones = numpy_helper.from_array(np.ones((1, 3, 384, 384), np.float32), "positions")
    nodes = [helper.make_node("Mul", ["x", "positions"], ["with positions"]),
             helper.make_node("ReduceMean", ["with positions"], ["out"], axes=[2, 3], keepdims=0)]
    saved(path, nodes, [ones], {"x": (1, 3, "height", "width")}, {"out": (1, 3)})


def odd_size(path: Path) -> None:
    ones = numpy_helper.from_array(np.ones((1, 3, 77, 91), np.float32), "positions")
    nodes = [helper.make_node("Mul", ["x", "positions"], ["with positions"]),
             helper.make_node("ReduceMean", ["with positions"], ["out"], axes=[2, 3], keepdims=0)]
    saved(path, nodes, [ones], {"x": (1, 3, "height", "width")}, {"out": (1, 3)})


def two_images(path: Path) -> None:
    nodes = [helper.make_node("Sub", ["left", "right"], ["difference"]),
             helper.make_node("ReduceMean", ["difference"], ["out"], axes=[2, 3], keepdims=0)]
    saved(path, nodes, [], {"left": SMALL, "right": SMALL}, {"out": (1, 3)})


def no_layout(path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["out"], axes=[2, 3], keepdims=0)]
    saved(path, nodes, [], {"x": (1, "a", "b", "c")}, {"out": (1, 3)})


def processor(**keys: object) -> str:
    return json.dumps({"do_resize": False, "do_rescale": True, "do_normalize": True, "image_mean": [0.5],
                       "image_std": [0.5], **keys})


LOGITS = {"logits": np.array([[1.0, 2.0, 5.0]])}
TWO = {"a": rows(9, 4, 20, 10), "b": rows(9, 2, 0, 1)}
FOLDERS = {
    "no size": Folder(LOGITS, "", ("size", "size = 224", "[input]"), "[input]\nsize = 224", image=OPEN),
    "too few labels": Folder(LOGITS, "", ("2 labels for 3 classes",), 'labels = ["a", "b", "c"]', labels="a\nb"),
    "too many labels": Folder(LOGITS, 'labels = ["a", "b", "c", "d"]', ("4 labels for 3 classes",),
                              'labels = ["a", "b", "c"]'),
    "another size": Folder(LOGITS, "[input]\nsize = 32", ("size", "64"), "[input]\nsize = 64"),
    "fit on one size": Folder(LOGITS, '[input]\nresize = "fit"', ("resize", "64 x 64", "letterbox"),
                              '[input]\nresize = "letterbox"'),
    "grey for three channels": Folder(LOGITS, '[input]\ncolor = "L"', ("color", "takes 3", '"RGB"'),
                                      '[input]\ncolor = "RGB"'),
    "two means": Folder(LOGITS, "[input]\nmean = [1, 2]", ("mean", "2 numbers for 3 channels"), "[input]\nmean = 1"),
    "std of 0": Folder(LOGITS, "[input]\nstd = 0", ("std", "none of them 0"), "[input]\nstd = 1"),
    "boxes of two outputs": Folder(TWO, DETECTOR, ("boxes and units", 'boxes = "xyxy"', 'units = "pixels"', "[output]"),
                                   DETECTOR + '[output]\nboxes = "xyxy"\nunits = "pixels"'),
    "size and boxes": Folder(TWO, DETECTOR, ("size, boxes and units", "size = 224", 'boxes = "xyxy"'),
                             DETECTOR + '[input]\nsize = 224\n[output]\nboxes = "xyxy"\nunits = "pixels"', image=OPEN),
    "another name": Folder(TWO, DETECTOR + '[output.names]\nboxes = "c"\nscores = "b"', ('no output "c"', "a, b"),
                           DETECTOR + '[output]\nboxes = "xyxy"\nunits = "pixels"\n[output.names]\nboxes = "a"\n'
                           'scores = "b"'),
    "rows of open columns": Folder({"rows": rows(50, 7)}, DETECTOR, ("columns", 'columns = "box scores"'),
                                   DETECTOR + '[output]\ncolumns = "box scores"'),
    "classes that do not fit": Folder({"rows": rows(7, 50)}, DETECTOR + 'labels = ["a"]', ("1 label for 3 classes",),
                                      DETECTOR + 'labels = ["a", "b", "c"]'),
    "tiles of a tensor": Folder(LOGITS, 'task = "tensor"\n[tiling]\ntile = 32', ("tiling", "remove [tiling]"),
                                'task = "tensor"'),
    "overlap of a whole tile": Folder(LOGITS, "[tiling]\ntile = 32\noverlap = 32", ("tiling.overlap", "fewer"),
                                      "[tiling]\ntile = 32\noverlap = 8"),
    "batch of two": Folder(LOGITS, "[tiling]\nbatch = 2", ("tiling.batch", "remove batch"), "[tiling]\ntile = 32"),
    "a constant of no input": Folder(LOGITS, "[constants]\nspeed = 1", ("constants.speed", "none"), ""),
    "an unknown key": Folder(LOGITS, "[input]\nsise = 64", ("sise",), "[input]\nsize = 64"),
    "an unknown task": Folder(LOGITS, 'task = "classification"', ("task", "image-classification"),
                              'task = "image-classification"'),
    "size and labels": Folder(LOGITS, "", ("size cannot be found out", "size = 224",
                                           "labels.txt: 2 labels for 3 classes"),
                              'labels = ["a", "b", "c"]\n[input]\nsize = 224', labels="a\nb", image=OPEN),
    "size, boxes and labels": Folder(
        TWO, DETECTOR + 'labels = ["a", "b", "c"]',
        ("size, boxes and units", "model.toml, labels: 3 labels for 2 classes"),
        DETECTOR + 'labels = ["a", "b"]\n[input]\nsize = 224\n[output]\nboxes = "xyxy"\nunits = "pixels"',
        image=OPEN),
    "a size of its own": Folder({}, "", ("size = 384",), "[input]\nsize = 384", make=four_times),
    "a size that nobody guesses": Folder({}, "", ("width = …", "224", "operator Mul", "91 by"),
                                         "[input]\nsize = { width = 91, height = 77 }", make=odd_size),
    "labels of a config": Folder(LOGITS, "", ("config.json: 2 labels for 3 classes", "model.toml"),
                                 'labels = ["a", "b", "c"]',
                                 files={"config.json": '{"model_type": "vit", "id2label": {"0": "a", "1": "b"}}'}),
    "two images": Folder({}, "", ("left", "right", 'name = "left"', "right = 0", "[constants]"),
                         '[input]\nname = "left"\n[constants]\nright = 0', make=two_images),
    "no layout": Folder({}, "", ("layout and size", 'layout = "NCHW"', "size = 224"),
                        '[input]\nlayout = "NCHW"\nsize = 224', make=no_layout),
    "colours for grey": Folder(LOGITS, "", ("preprocessor_config.json, mean", "3 numbers for 1 channel:", "as mean"),
                               "[input]\nmean = 0.5\nstd = 0.5", image=(1, 1, 64, 64),
                               files={"preprocessor_config.json": processor(image_mean=[0.4, 0.5, 0.6])}),
    "JSON that is broken": Folder(LOGITS, "", ("config.json is not JSON", "remove it"), "",
                                  files={"config.json": "{"}),
    "a class without a label": Folder({"rows": np.array([[[0, 10, 10, 20, 20, 0.9, 7]]])},
                                      'task = "object-detection"\nlabels = ["a"]\n[output]\n'
                                      'columns = "batch box score class"', ("class 7", "1 labels", "set labels"),
                                      'task = "object-detection"\n[output]\ncolumns = "batch box score class"'),
    "three planes of anything": Folder(
        {"out": np.linspace(-0.2, 0.3, 3 * 64 * 64).reshape(1, 3, 64, 64)[:, :, ::-1]}, "",
        ("task cannot be found out", "image-segmentation", "image-to-image"), 'task = "image-segmentation"'),
    "many faults at once": Folder(
        LOGITS, 'labels = ["a"]\n[input]\ncolor = "L"\nmean = [1, 2]\nstd = 0\nsize = 32',
        ("labels: 1 label for 3 classes", "color", "mean: 2 numbers", "std", "32 x 32"), 'labels = ["a", "b", "c"]'),
    "several wrong keys": Folder(LOGITS, 'colour = "RGB"\n[input]\nscale = "x"\n[output]\nnms = 3',
                                 ("colour: there is no such key", "input.scale", "output.nms"), ""),
    "a word for a number": Folder(LOGITS, '[input]\nscale = "1/255"', ("scale",), "[input]\nscale = 0.0039"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_reason_names_what_to_do_and_doing_it_helps(tmp_path: Path, name: str) -> None:
    folder = FOLDERS[name]
    path = put(tmp_path / "m", folder.toml, folder.labels)
    if folder.make is None:
        answering(path, folder.outputs, folder.image, folder.shapes)
    else:
        folder.make(path)
    for file, text in folder.files.items():
        (tmp_path / "m" / file).write_text(text)
    with pytest.raises(ModelNotUsable) as refused:
        loaded(tmp_path)
    assert [word for word in folder.words if word not in str(refused.value)] == [], str(refused.value)
    (tmp_path / "m" / "model.toml").write_text(folder.mended)
    for file in folder.files if not folder.mended else ():
        (tmp_path / "m" / file).unlink()
    assert loaded(tmp_path).spec.name == "m"


@pytest.mark.parametrize(("shape", "told"), [
    ((1, 3, 0, 0), "input images [1, 3, 0, 0] has a side of 0"), ((1, 0, 64, 64), "has a side of 0"),
    ((1, 4, 64, 64), "export the model for images in RGB or in grey"),
    ((1, 3, 8, 64, 64), "one input of four dimensions"), ((1, 3, 99999, 64), "8192 a side are served")])
def test_an_input_that_no_image_fits_is_told_plainly(tmp_path: Path, shape: Shape, told: str) -> None:
    answering(put(tmp_path / "m"), LOGITS, shape)
    with pytest.raises(ModelNotUsable) as refused:
        loaded(tmp_path)
    assert told in str(refused.value)
