"""What is answered for one image, by an exporter's own library or by Punnet, in the words of docs/api.md."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Answer:
    """Each array has one row an object, segment or class, as `labels` has; what a task does not tell is None.

    `boxes` (n, 4) are xmin, ymin, xmax, ymax and `polygons` (n, 4, 2) corners, in pixels of the upright image;
    `keypoints` (n, k, 3) are x, y, score; `masks` (n, height, width) are as large as the image. `values` are a depth
    (height, width), a produced picture (height, width, 3) of 0..255, an embedding (n,) or a tensor.
    `asked` are the parameters of a request under which Punnet is to answer the same.
    """

    task: str
    labels: tuple[str, ...] = ()
    scores: NDArray | None = None
    boxes: NDArray | None = None
    polygons: NDArray | None = None
    keypoints: NDArray | None = None
    masks: NDArray | None = None
    values: NDArray | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """As one .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        told = asdict(self)
        words = {name: told.pop(name) for name in ("task", "labels", "asked")}
        arrays = {name: np.asarray(values) for name, values in told.items() if values is not None}
        np.savez_compressed(path, words=json.dumps(words), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Answer":
        """What `save` wrote."""
        with np.load(path) as arrays:
            words = json.loads(str(arrays["words"]))
            told = {name: arrays[name] for name in arrays.files if name != "words"}
        return cls(**words | {"labels": tuple(words["labels"])}, **told)


def classes(scores: Mapping[str, float]) -> Answer:
    """A classifier's answer: all of its scores, by label."""
    return Answer("image-classification", tuple(scores), np.array(list(scores.values()), np.float64),
                  asked={"top_k": max(1, len(scores))})


def segments(numbers: NDArray, labels: Mapping[int, str]) -> Answer:
    """The answer of a segmenter that tells the class of every pixel (height, width); those without a label are left
    out, as the background is."""
    present = [int(number) for number in np.unique(numbers) if int(number) in labels]
    masks = np.array([numbers == number for number in present], bool).reshape(-1, *numbers.shape)
    return Answer("image-segmentation", tuple(labels[number] for number in present), masks=masks)
