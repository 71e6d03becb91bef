"""Exports run with no model.toml, and give what a straight computation with Pillow, numpy and onnxruntime gives."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests import onnx_exports
from tests.onnx_exports import MASK_STRIDE, NAMES, SIDE
from tests.unit.images import encode, opencv_linear
from tests.unit.predicting import loaded, result

TOLERANCE = 1e-4
BOX_TOLERANCE = 0.006  # boxes are told with two digits
IOU, THRESHOLD = 0.7, 0.25
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def drawn(size: tuple[int, int] = (150, 90)) -> Image.Image:
    """Blurred coloured noise, PNG-safe."""
    noise = np.random.default_rng(5).integers(0, 256, (size[1] // 6, size[0] // 6, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def predicted(models: Path, **parameters: Any) -> dict:
    """The result of the only model of a folder."""
    return result(loaded(models), encode(drawn(), "PNG"), **parameters)


def run(model: Path, pixels: NDArray) -> list[NDArray]:
    """`pixels` (height, width, 3), normalised -> the model's outputs."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: pixels.transpose(2, 0, 1)[np.newaxis].astype(np.float32)})


# Detection and segmentation


def letterboxed(image: Image.Image) -> tuple[NDArray, float, int, int]:
    """The image on a grey square, with the scale and the corner of it."""
    scale = min(SIDE / image.width, SIDE / image.height)
    width, height = round(image.width * scale), round(image.height * scale)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    square = Image.new("RGB", (SIDE, SIDE), (114, 114, 114))
    square.paste(opencv_linear(image, (width, height)), (left, top))
    return np.asarray(square) / 255, scale, left, top


def overlap(one: NDArray, other: NDArray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def kept_rows(rows: NDArray) -> list[tuple[NDArray, int, float, NDArray]]:
    """Box in pixels of the input, class, score and row of what the suppression per class leaves, the best first."""
    kept: list[tuple[NDArray, int, float, NDArray]] = []
    for row in sorted(rows, key=lambda row: -row[4:4 + len(NAMES)].max()):
        (x, y, width, height), scores = row[:4], row[4:4 + len(NAMES)]
        box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        best = int(scores.argmax())
        if scores[best] >= THRESHOLD and not any(
                best == other and overlap(box, earlier) > IOU for earlier, other, _, _ in kept):
            kept.append((box, best, float(scores[best]), row[4 + len(NAMES):]))
    return kept


def on_image(box: NDArray, image: Image.Image, scale: float, left: int, top: int) -> NDArray:
    """A box of the input in pixels of the image."""
    size = np.array(image.size * 2)
    inner = np.array([round(side * scale) for side in image.size] * 2)
    return np.clip((box - (left, top, left, top)) * size / inner, 0, size)


def visible(box: NDArray) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def test_an_ultralytics_detector_gives_the_reference_boxes(tmp_path: Path) -> None:
    model = onnx_exports.ultralytics_detector(tmp_path / "berries")
    pixels, scale, left, top = letterboxed(drawn())
    [output] = run(model, pixels)
    expected = [(on_image(box, drawn(), scale, left, top), label, score)
                for box, label, score, _ in kept_rows(output[0].T)]
    expected = [item for item in expected if visible(item[0])]
    predictions = predicted(tmp_path)["predictions"]
    assert 3 < len(predictions) == len(expected) < output.shape[2]
    for prediction, (box, label, score) in zip(predictions, expected, strict=True):
        assert prediction["label"] == NAMES[label]
        assert prediction["score"] == pytest.approx(score, abs=TOLERANCE)
        np.testing.assert_allclose(list(prediction["box"].values()), box, atol=BOX_TOLERANCE)


def reference_mask(coefficients: NDArray, prototypes: NDArray, box: NDArray, image: Image.Image) -> NDArray[np.bool_]:
    """Where the sum of the prototypes is above 0 inside the box, in pixels of the image."""
    _, scale, left, top = letterboxed(image)
    logits = np.tensordot(coefficients, prototypes, 1).astype(np.float32)
    shares = Image.fromarray(1 / (1 + np.exp(-logits)))
    right, bottom = left + round(image.width * scale), top + round(image.height * scale)
    shown = left / MASK_STRIDE, top / MASK_STRIDE, right / MASK_STRIDE, bottom / MASK_STRIDE
    mask = np.asarray(shares.resize(image.size, Image.Resampling.BILINEAR, box=shown)) > 0.5
    columns, rows = np.arange(image.width) + 0.5, np.arange(image.height) + 0.5
    inside = ((rows > box[1]) & (rows < box[3]))[:, None] & ((columns > box[0]) & (columns < box[2]))
    return mask & inside


def test_an_ultralytics_segmenter_gives_the_reference_masks(tmp_path: Path) -> None:
    model = onnx_exports.ultralytics_segmenter(tmp_path / "berries")
    pixels, scale, left, top = letterboxed(drawn())
    rows, prototypes = run(model, pixels)
    expected = [(on_image(box, drawn(), scale, left, top), label, score, coefficients)
                for box, label, score, coefficients in kept_rows(rows[0].T)]
    expected = [item for item in expected if visible(item[0])]
    predictions = predicted(tmp_path)["predictions"]
    assert 3 < len(predictions) == len(expected)
    for prediction, (box, label, score, coefficients) in zip(predictions, expected, strict=True):
        assert prediction["label"] == NAMES[label]
        assert prediction["score"] == pytest.approx(score, abs=TOLERANCE)
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(prediction["mask"])))) > 0
        wanted = reference_mask(coefficients, prototypes[0], box, drawn())
        assert mask.shape == wanted.shape
        # Which pixels a box's rim takes in is a matter of rounding.
        assert np.count_nonzero(mask ^ wanted) <= (box[2] - box[0] + box[3] - box[1]) * 2 + 8


def test_an_ultralytics_pose_model_gives_the_reference_keypoints(tmp_path: Path) -> None:
    model = onnx_exports.ultralytics_pose(tmp_path / "berries")
    pixels, scale, left, top = letterboxed(drawn())
    [output] = run(model, pixels)
    expected = [(on_image(box, drawn(), scale, left, top), score, numbers.reshape(2, 3))
                for box, _, score, numbers in kept_rows(output[0].T)]
    expected = [item for item in expected if visible(item[0])]
    predictions = predicted(tmp_path)["predictions"]
    assert 3 < len(predictions) == len(expected)
    for prediction, (_, score, points) in zip(predictions, expected, strict=True):
        assert prediction["score"] == pytest.approx(score, abs=TOLERANCE)
        placed = on_image(np.ravel(points[:, :2]), drawn(), scale, left, top)
        found = prediction["keypoints"]
        assert [point["label"] for point in found] == ["tip", "stem"]
        np.testing.assert_allclose([side for point in found for side in (point["x"], point["y"])], placed,
                                   atol=BOX_TOLERANCE)
        np.testing.assert_allclose([point["score"] for point in found], points[:, 2], atol=TOLERANCE)


def test_an_ultralytics_oriented_model_gives_turned_boxes(tmp_path: Path) -> None:
    model = onnx_exports.ultralytics_oriented(tmp_path / "berries")
    pixels, scale, left, top = letterboxed(drawn())
    [output] = run(model, pixels)
    best = max(output[0].T, key=lambda row: row[4:4 + len(NAMES)].max())
    told = predicted(tmp_path)["predictions"][0]
    assert told["score"] == pytest.approx(best[4:4 + len(NAMES)].max(), abs=TOLERANCE)
    middle = np.mean([(point["x"], point["y"]) for point in told["polygon"]], axis=0)
    inner = [round(side * scale) for side in drawn().size]
    np.testing.assert_allclose(middle, (best[:2] - (left, top)) * drawn().size / inner, atol=BOX_TOLERANCE)
    assert told["angle"] == pytest.approx(np.degrees(best[-1]), abs=0.6)  # the image is stretched by a pixel


# Classification


def by_label(predictions: list[dict]) -> list[float]:
    scores = {prediction["label"]: prediction["score"] for prediction in predictions}
    return [scores[name] for name in NAMES]


def softmax(logits: NDArray) -> NDArray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def cropped(image: Image.Image, edge: int, side: int, resample: Image.Resampling, down: bool) -> NDArray:
    """The shorter side becomes `edge`, the middle of that is cut out."""
    scale = edge / min(image.size)
    size = edge if image.width <= image.height else int(image.width * scale), (
        edge if image.height <= image.width else int(image.height * scale))
    left, top = ((length - side) // 2 if down else round((length - side) / 2) for length in size)
    return np.asarray(image.resize(size, resample).crop((left, top, left + side, top + side))) / 255


def test_an_ultralytics_classifier_gives_the_reference_scores(tmp_path: Path) -> None:
    model = onnx_exports.ultralytics_classifier(tmp_path / "berries", 32)
    [scores] = run(model, cropped(drawn(), 32, 32, Image.Resampling.BILINEAR, down=False))
    np.testing.assert_allclose(by_label(predicted(tmp_path)["predictions"]), scores[0], atol=TOLERANCE)


@pytest.mark.parametrize(("processor", "edge"), [
    ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 56}, "crop_pct": 0.875}, 64),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 63}, "do_center_crop": True,
      "crop_size": {"height": 56, "width": 56}}, 63),
])
def test_a_hugging_face_folder_gives_the_reference_scores(tmp_path: Path, processor: dict[str, Any],
                                                          edge: int) -> None:
    settings = {"do_resize": True, "resample": 3, "do_rescale": True, "rescale_factor": 0.00392156862745098,
                "do_normalize": True, "image_mean": MEAN.tolist(), "image_std": STD.tolist(), **processor}
    model = onnx_exports.hugging_face_classifier(tmp_path / "berries", settings)
    pixels = (cropped(drawn(), edge, 56, Image.Resampling.BICUBIC, down=True) - MEAN) / STD
    [logits] = run(model, pixels)
    np.testing.assert_allclose(by_label(predicted(tmp_path)["predictions"]), softmax(logits[0]), atol=TOLERANCE)


def test_a_hugging_face_folder_that_stretches_gives_the_reference_scores(tmp_path: Path) -> None:
    settings = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 40, "width": 48},
                "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": False}
    model = onnx_exports.hugging_face_classifier(tmp_path / "berries", settings)
    [logits] = run(model, np.asarray(drawn().resize((48, 40), Image.Resampling.BILINEAR)) / 255)
    np.testing.assert_allclose(by_label(predicted(tmp_path)["predictions"]), softmax(logits[0]), atol=TOLERANCE)


def test_a_timm_folder_gives_the_reference_scores(tmp_path: Path) -> None:
    config = {"input_size": [3, 48, 48], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
              "mean": MEAN.tolist(), "std": STD.tolist(), "num_classes": len(NAMES), "pool_size": None}
    model = onnx_exports.timm_classifier(tmp_path / "berries", config, 48)
    pixels = (cropped(drawn(), 53, 48, Image.Resampling.BICUBIC, down=False) - MEAN) / STD
    [logits] = run(model, pixels)
    np.testing.assert_allclose(by_label(predicted(tmp_path)["predictions"]), softmax(logits[0]), atol=TOLERANCE)
