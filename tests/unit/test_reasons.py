"""A folder that cannot be served says all that is missing at once, and is served once the lines are added."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.errors import ModelNotUsable
from tests.answering import Shape, answering
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


def rows(count: int, columns: int, low: float = 10, high: float = 20) -> NDArray:
    return np.linspace(low, high, count * columns).reshape(1, count, columns)


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
    "a word for a number": Folder(LOGITS, '[input]\nscale = "1/255"', ("scale",), "[input]\nscale = 0.0039"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_reason_names_what_to_do_and_doing_it_helps(tmp_path: Path, name: str) -> None:
    folder = FOLDERS[name]
    answering(put(tmp_path / "m", folder.toml, folder.labels), folder.outputs, folder.image, folder.shapes)
    with pytest.raises(ModelNotUsable) as refused:
        loaded(tmp_path)
    assert [word for word in folder.words if word not in str(refused.value)] == [], str(refused.value)
    (tmp_path / "m" / "model.toml").write_text(folder.mended)
    assert loaded(tmp_path).spec.name == "m"
