"""Asks Punnet for the same images, nothing written, and prints a table of how far it is from the references."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.errors import InferenceError
from inference.image import open_image
from inference.loading import reason_of, try_out
from inference.model import LoadedModel
from inference.prediction import predict
from inference.repository import Fingerprints, ModelFiles, scan
from tools.exports.making import Folders
from tools.exports.measures import NOTHING, Difference, difference
from tools.exports.references import Answer

MAX_PIXELS = 100_000_000
DEPTHS = 65535  # grey levels of a depth's picture
HEADER = "| export | task | state | agrees | largest difference | warnings, or the reason |\n|---|---|---|---|---|---|"
BOX_KEYS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Row:
    """One export in the table."""

    name: str
    task: str
    state: str
    differences: Sequence[Difference] = ()
    remarks: Sequence[str] = ()  # the warnings, or the reason of the refusal

    @property
    def is_right(self) -> bool:
        """Each image's answer is, and at least one has something to tell."""
        told = [found for found in self.differences if str(found) != NOTHING]
        return bool(told) and all(found.is_small for found in told)

    def __str__(self) -> str:
        largest = max(self.differences, key=lambda found: (not found.is_small, found.share), default="")
        agrees = "yes" if self.is_right else "NO"
        return f"| {self.name} | {self.task} | {self.state} | {agrees} | {largest} | {' '.join(self.remarks)} |"


def compare(folders: Folders, wanted: Sequence[str]) -> bool:
    """Print a row for each export, and what they come to. Whether every one is right."""
    print(HEADER)
    rows = list[Row]()
    for files in _exports(folders, wanted):
        rows.append(_row(folders, files))
        print(rows[-1], flush=True)
    right = sum(row.is_right for row in rows)
    silent = [row.name for row in rows if row.state == "ready" and not row.is_right and not row.remarks]
    print(f"\n{right} of {len(rows)} are right; ready, wrong and without a warning: {', '.join(silent) or 'none'}")
    return right == len(rows)


def _exports(folders: Folders, wanted: Sequence[str]) -> Iterator[ModelFiles]:
    for files in scan(folders.models):
        is_wanted = not wanted or any(files.name == name or files.name.startswith(f"{name}-") for name in wanted)
        if is_wanted and (folders.references / files.name).is_dir():
            yield files


def _row(folders: Folders, files: ModelFiles) -> Row:
    references = sorted((folders.references / files.name).iterdir())
    try:
        model = try_out(files, Fingerprints().of(files))
    except Exception as error:  # as a trial does: whatever the files bring is the reason
        return Row(files.name, Answer.load(references[0]).task, "failed", (), [reason_of(error)])
    found = [_difference(model, folders.images / path.stem, Answer.load(path)) for path in references]
    return Row(files.name, model.spec.task, "ready", found, model.spec.warnings)


def _difference(model: LoadedModel, image: Path, wanted: Answer) -> Difference:
    if model.spec.task != wanted.task:
        return Difference(f"the task is {wanted.task}", np.inf)
    try:
        opened = open_image(image.read_bytes(), MAX_PIXELS)
        return difference(answer_of(predict(model, opened, model.parameters(wanted.asked)).result), wanted)
    except (InferenceError, ValueError) as error:
        return Difference(f"{image.name}: {error}", np.inf)


# Punnet's results


def answer_of(result: dict[str, Any]) -> Answer:
    """What Punnet answers (docs/api.md) in the form of the references."""
    told: list[dict[str, Any]] = result.get("predictions", [])
    columns = {"boxes": _column(told, "box", lambda box: [box[key] for key in BOX_KEYS]),
               "polygons": _column(told, "polygon", lambda corners: [(corner["x"], corner["y"]) for corner in corners]),
               "keypoints": _column(told, "keypoints", lambda points: [(point["x"], point["y"], point["score"])
                                                                      for point in points]),
               "masks": _column(told, "mask", _mask), "scores": _column(told, "score", lambda score: score)}
    return Answer(result["task"], tuple(found["label"] for found in told), values=_values(result), **columns)


def _column(told: list[dict[str, Any]], key: str, read: Any) -> NDArray | None:
    if not all(found.get(key) is not None for found in told):
        return None
    return np.array([read(found[key]) for found in told])


def _mask(text: str) -> NDArray[np.bool_]:
    return np.asarray(_picture(text)) > 0


def _picture(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text.rpartition(",")[2])))


def _values(result: dict[str, Any]) -> NDArray | None:
    if "depth" in result:
        shares = np.asarray(_picture(result["depth"]), np.float64) / DEPTHS
        return result["minimum"] + shares * (result["maximum"] - result["minimum"])
    if "image" in result:
        return np.asarray(_picture(result["image"]).convert("RGB"), np.float64)
    if "outputs" in result:
        return np.concatenate([np.ravel(output["data"]) for output in result["outputs"]])
    return result.get("embedding")
