"""An answer of each task as the page may get it, and what has to be seen of it. Their image has 64 x 48 pixels."""

import base64
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from inference.skeleton import COCO_KEYPOINTS

WIDTH, HEIGHT = 64, 48
HOSTILE = '<img src=x onerror="document.title=1">'
BOX = {"xmin": 8, "ymin": 6, "xmax": 40, "ymax": 40}
PERSON = [{"label": label, "x": 10 + number, "y": 8 + 1.5 * number, "score": 0.9 if number else 0.2}
          for number, label in enumerate(COCO_KEYPOINTS)]
TURNED = [{"x": 24, "y": 6}, {"x": 40, "y": 23}, {"x": 24, "y": 40}, {"x": 8, "y": 23}]


def png(mode: str, image: Image.Image | None = None) -> str:
    """Base64 of a picture whose left half is black and whose right half is white."""
    if image is None:
        image = Image.new(mode, (WIDTH, HEIGHT))
        image.paste(65535 if mode == "I;16" else 255, (WIDTH // 2, 0, WIDTH, HEIGHT))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def answer(**result: Any) -> dict[str, Any]:
    """What POST /predict answers with."""
    phases = ("queue", "decode", "preprocess", "inference", "postprocess")
    return {"status": 200, "id": "0", "model_type": "strawberry", "model_version": "1", "route": "inline",
            "image": {"width": WIDTH, "height": HEIGHT, "format": "PNG"}, "result": result,
            "timings_ms": dict.fromkeys(phases, 2.0) | {"total": 12.0}}


def depth() -> dict[str, Any]:
    return answer(task="depth-estimation", depth=f"data:image/png;base64,{png('I;16')}", minimum=0.5, maximum=7.25)


def produced() -> dict[str, Any]:
    return answer(task="image-to-image", image=f"data:image/png;base64,{png('L')}", width=WIDTH, height=HEIGHT)


def found(task: str, label: str, score: float | None, **more: Any) -> dict[str, Any]:
    """An answer with one prediction."""
    return answer(task=task, predictions=[{"label": label, "score": score, **more}])


# An answer, what is drawn or listed of it (a selector, how often), and a text that is read beside the image
SHOWN: Mapping[str, tuple[dict[str, Any], Mapping[str, int], str]] = {
    "boxes": (found("object-detection", HOSTILE, 0.9, box=BOX), {".frame rect.line": 1}, HOSTILE),
    "oriented boxes": (found("object-detection", "ship", 0.9, box=BOX, polygon=TURNED, angle=45),
                       {".frame polygon.line": 1}, "ship"),
    "keypoints": (found("keypoint-detection", "person", 0.8, box=BOX, keypoints=PERSON),
                  {".frame circle.dot": 16, ".frame line.line.limb": 17}, "person"),
    "masks": (found("image-segmentation", "sky", None, mask=png("L")), {".frame svg image": 1}, "sky"),
    "masks of objects": (found("image-segmentation", "cup", 0.9, mask=png("L"), box=BOX),
                         {".frame svg image": 1, ".frame rect.line": 1}, "cup"),
    "depth": (depth(), {".frame image.depth": 1, ".depths .colors": 1}, "7.25"),
    "an image": (produced(), {".frame > img": 2}, "Image to image"),
    "a vector": (answer(task="image-feature-extraction", embedding=[0.1, -0.2] * 256), {".vector span": 128},
                 "512 numbers"),
    "tensors": (answer(task="tensor", outputs=[{"name": HOSTILE, "shape": [1, 84], "datatype": "FP32", "data": []}]),
                {".result td": 2}, "84"),
    "labels": (found("image-classification", HOSTILE, 0.75), {".bars li": 1}, "75%"),
    "tiles": (found("image-classification", "a", 0.75) | {"result": {
        "task": "image-classification", "predictions": [{"label": "a", "score": 0.75}],
        "tiles": [{"box": BOX, "label": "a", "score": 0.7}]}}, {".frame rect.tile": 1}, "75%"),
    "what hooks made up": (answer(task="count", anything={"of": HOSTILE}), {".raw": 1}, "count"),
}
