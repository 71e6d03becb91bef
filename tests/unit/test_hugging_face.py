"""Hugging Face folders, with the files of real processors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import ModelNotUsable
from inference.findings.sources import CONFIG, PREPROCESSOR_CONFIG
from inference.spec import ModelSpec
from tests.unit.findings_helpers import Shape, found, source_of, value_of

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
RESCALED = {"do_rescale": True, "rescale_factor": 0.00392156862745098, "do_normalize": True, "do_resize": True}
DYNAMIC: dict[str, Shape] = {"pixel_values": ("batch_size", "num_channels", "height", "width")}
LOGITS: dict[str, Shape] = {"logits": ("batch_size", 2)}
CLASSIFIER = {"architectures": ["ViTForImageClassification"], "model_type": "vit",
              "id2label": {"0": "tabby cat", "1": "tiger cat"}, "label2id": {"tabby cat": 0, "tiger cat": 1},
              "problem_type": None, "hidden_size": 768}


def exported(folder: Path, preprocessor: Mapping[str, Any], config: Mapping[str, Any] = CLASSIFIER,
             outputs: Mapping[str, Shape] = LOGITS, inputs: Mapping[str, Shape] = DYNAMIC, toml: str = "") -> ModelSpec:
    return found(folder, outputs, inputs, toml, files={"config.json": config,
                                                       "preprocessor_config.json": preprocessor})


@pytest.mark.parametrize(("preprocessor", "size", "resize", "shortest", "resample", "crop_down"), [
    ({"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "resample": 2},
     (224, 224), "stretch", None, "bilinear", False),
    ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2},
     (224, 224), "stretch", None, "bilinear", False),
    ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.875,
      "resample": 3}, (224, 224), "crop", 256, "bicubic", True),
    ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "crop_pct": 0.875,
      "resample": 3}, (384, 384), "stretch", None, "bicubic", False),
    ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "resample": 3},
     (224, 224), "crop", 256, "bicubic", True),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 224}, "do_center_crop": True,
      "crop_size": {"height": 224, "width": 224}, "resample": 3}, (224, 224), "crop", 224, "bicubic", True),
    ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "do_center_crop": True, "crop_size": 224,
      "resample": 3}, (224, 224), "crop", 224, "bicubic", True),
    ({"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}, "do_center_crop": True,
      "crop_size": {"height": 224, "width": 224}, "resample": 3, "do_convert_rgb": True},
     (224, 224), "crop", 256, "bicubic", True),
    ({"image_processor_type": "MobileNetV2ImageProcessor", "size": {"shortest_edge": 256}, "do_center_crop": True,
      "crop_size": {"height": 224, "width": 224}, "resample": 2}, (224, 224), "crop", 256, "bilinear", True),
    ({"image_processor_type": "BeitImageProcessor", "size": {"height": 224, "width": 224}, "do_center_crop": False,
      "crop_size": {"height": 224, "width": 224}, "resample": 2}, (224, 224), "stretch", None, "bilinear", False),
    ({"image_processor_type": "DeiTImageProcessor", "size": {"height": 256, "width": 256}, "do_center_crop": True,
      "crop_size": {"height": 224, "width": 224}, "resample": 3}, (224, 224), "stretch", 256, "bicubic", True),
    ({"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 224}, "do_center_crop": True,
      "crop_size": {"height": 224, "width": 224}, "resample": 3}, (224, 224), "crop", 256, "bicubic", True),
    ({"image_processor_type": "ViTImageProcessor", "size": {"height": 100, "width": 200}, "resample": 0},
     (200, 100), "stretch", None, "nearest", False),
])
def test_each_processor_places_the_image_its_way(tmp_path: Path, preprocessor: dict[str, Any], size: tuple[int, int],
                                                 resize: str, shortest: int | None, resample: str,
                                                 crop_down: bool) -> None:
    spec = exported(tmp_path, {**RESCALED, **HALVES, **preprocessor})
    image = spec.input
    assert (image.size, image.resize, image.shortest_edge) == (size, resize, shortest)
    assert (image.resample, image.crop_down, image.layout) == (resample, crop_down, "NCHW")
    assert {source_of(spec, fact) for fact in ("size", "resize", "resample", "mean")} == {PREPROCESSOR_CONFIG}


@pytest.mark.parametrize(("preprocessor", "color", "scale", "mean", "std"), [
    ({**RESCALED, **IMAGENET}, "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ({**RESCALED, **IMAGENET, "do_normalize": False}, "RGB", 1 / 255, (0.0,) * 3, (1.0,) * 3),
    ({"do_normalize": True, **HALVES}, "RGB", 1 / 255, (0.5,) * 3, (0.5,) * 3),
    ({"do_rescale": False, "do_normalize": True, "image_mean": [8.2, 7.3, 6.6], "image_std": [9.6, 9.0, 8.7]},
     "RGB", 1.0, (8.2, 7.3, 6.6), (9.6, 9.0, 8.7)),
    ({"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True, "do_rescale": True,
      "rescale_factor": 0.00392156862745098}, "BGR", 1 / 255, (0.0,) * 3, (1.0,) * 3),
    # EfficientNet: as exported from Keras, whose standard deviation is applied twice
    ({**RESCALED, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.47853944, 0.4732864, 0.47434163],
      "include_top": True, "rescale_offset": False}, "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ({**RESCALED, **HALVES, "do_normalize": False, "rescale_factor": 0.00784313725490196, "rescale_offset": True},
     "RGB", 2 / 255, (1.0,) * 3, (1.0,) * 3),
])
def test_pixels_are_normalised_as_the_processor_does(tmp_path: Path, preprocessor: dict[str, Any], color: str,
                                                     scale: float, mean: tuple, std: tuple) -> None:
    image = exported(tmp_path, {"size": {"height": 8, "width": 8}, **preprocessor}).input
    assert image.color == color
    np.testing.assert_allclose([image.scale, *image.mean, *image.std], [scale, *mean, *std], rtol=1e-6)


def test_a_classifier_is_named_by_its_config(tmp_path: Path) -> None:
    spec = exported(tmp_path, {**RESCALED, **HALVES, "size": {"height": 224, "width": 224}})
    assert (spec.task, spec.labels, spec.output.activation) == (
        "image-classification", ("tabby cat", "tiger cat"), "softmax")
    assert {source_of(spec, fact) for fact in ("task", "labels", "activation")} == {CONFIG}


def test_several_labels_at_once_get_a_sigmoid(tmp_path: Path) -> None:
    config = {**CLASSIFIER, "problem_type": "multi_label_classification"}
    assert exported(tmp_path, {"size": 224}, config).output.activation == "sigmoid"


def test_labels_are_ordered_by_number_and_gaps_numbered(tmp_path: Path) -> None:
    config = {**CLASSIFIER, "id2label": {"10": "k", "2": "c", **{str(n): f"l{n}" for n in (0, 1, *range(4, 10))}}}
    spec = exported(tmp_path, {"size": 224}, config, {"logits": ("b", 11)})
    assert (spec.labels[2], spec.labels[3], spec.labels[10]) == ("c", "3", "k")


def test_too_many_labels_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match="2 labels for 1000 classes"):
        exported(tmp_path, {"size": 224}, outputs={"logits": ("b", 1000)})


# Sizes that the ONNX file fixes


def test_a_fixed_shape_beats_the_processors_size_and_a_crop_keeps_its_edge(tmp_path: Path) -> None:
    preprocessor = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}
    image = exported(tmp_path, preprocessor, inputs={"pixel_values": (1, 3, 240, 240)}).input
    assert (image.size, image.resize, image.shortest_edge) == ((240, 240), "crop", 256)


def test_an_edge_shorter_than_the_fixed_shape_is_left_out(tmp_path: Path) -> None:
    preprocessor = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}
    image = exported(tmp_path, preprocessor, inputs={"pixel_values": (1, 3, 384, 384)}).input
    assert (image.size, image.resize, image.shortest_edge) == ((384, 384), "crop", None)


def test_model_toml_sets_another_size_and_way(tmp_path: Path) -> None:
    image = exported(tmp_path, {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224},
                     toml="[input]\nsize = 192\nresize = 'stretch'").input
    assert (image.size, image.resize, image.shortest_edge) == ((192, 192), "stretch", None)


# Detection

DETR = {"image_processor_type": "DetrImageProcessor", "format": "coco_detection", **RESCALED, **IMAGENET,
        "do_pad": True, "pad_size": None, "resample": 2, "size": {"longest_edge": 1333, "shortest_edge": 800}}
DETR_CONFIG = {"architectures": ["DetrForObjectDetection"], "model_type": "detr",
               "id2label": {str(number): f"thing {number}" for number in range(91)}}


def detr_outputs(classes: int) -> dict[str, Shape]:
    return {"logits": ("batch_size", "num_queries", classes), "pred_boxes": ("batch_size", "num_queries", 4)}


def test_detr_keeps_the_aspect_between_two_edges(tmp_path: Path) -> None:
    spec = exported(tmp_path, DETR, DETR_CONFIG, detr_outputs(92))
    image, output = spec.input, spec.output
    assert (image.size, image.resize, image.shortest_edge, image.longest_edge) == (None, "fit", 800, 1333)
    assert (output.activation, output.background, output.boxes, output.units) == (
        "softmax", "last", "cxcywh", "normalised")
    assert (output.nms, output.threshold, len(spec.labels)) == ("none", 0.5, 91)
    assert dict(output.names) == {"boxes": "pred_boxes", "scores": "logits"}
    assert value_of(spec, "size") == "the image's own"


def test_detr_of_a_fixed_size_is_stretched_to_it(tmp_path: Path) -> None:
    image = exported(tmp_path, DETR, DETR_CONFIG, detr_outputs(92), {"pixel_values": (1, 3, 640, 800)}).input
    assert (image.size, image.resize, image.shortest_edge, image.longest_edge) == ((800, 640), "stretch", None, None)


def test_an_older_detr_file_has_numbers(tmp_path: Path) -> None:
    preprocessor = {"feature_extractor_type": "DetrFeatureExtractor", "size": 800, "max_size": 1333, **IMAGENET}
    image = exported(tmp_path, preprocessor, DETR_CONFIG, detr_outputs(92)).input
    assert (image.resize, image.shortest_edge, image.longest_edge) == ("fit", 800, 1333)


def test_yolos_is_read_as_detr(tmp_path: Path) -> None:
    preprocessor = {**DETR, "image_processor_type": "YolosImageProcessor"}
    config = {**DETR_CONFIG, "architectures": ["YolosForObjectDetection"], "model_type": "yolos"}
    spec = exported(tmp_path, preprocessor, config, detr_outputs(92))
    assert (spec.output.activation, spec.output.background, spec.input.resize) == ("softmax", "last", "fit")


def test_rt_detr_has_sigmoids_and_one_size(tmp_path: Path) -> None:
    preprocessor = {"image_processor_type": "RTDetrImageProcessor", **RESCALED, **IMAGENET, "do_normalize": False,
                    "do_pad": False, "pad_size": None, "resample": 2, "size": {"height": 640, "width": 640}}
    config = {"architectures": ["RTDetrForObjectDetection"], "model_type": "rt_detr",
              "id2label": {str(number): f"thing {number}" for number in range(80)}}
    spec = exported(tmp_path, preprocessor, config, detr_outputs(80))
    assert (spec.output.activation, spec.output.background, len(spec.labels)) == ("sigmoid", "none", 80)
    assert (spec.input.size, spec.input.resize, spec.input.mean) == ((640, 640), "stretch", (0.0,) * 3)


def test_a_padded_detector_has_its_image_at_the_top_left(tmp_path: Path) -> None:
    preprocessor = {**DETR, "pad_size": {"height": 600, "width": 600}, "size": {"max_height": 600, "max_width": 600}}
    image = exported(tmp_path, preprocessor, DETR_CONFIG, detr_outputs(92)).input
    assert (image.size, image.resize, image.anchor) == ((600, 600), "letterbox", "top-left")
    assert image.fill == pytest.approx((0.485 * 255, 0.456 * 255, 0.406 * 255))


# The other tasks


def test_segformer_has_a_class_a_pixel(tmp_path: Path) -> None:
    preprocessor = {"image_processor_type": "SegformerImageProcessor", **RESCALED, **IMAGENET, "resample": 2,
                    "do_reduce_labels": True, "size": {"height": 512, "width": 512}}
    config = {"architectures": ["SegformerForSemanticSegmentation"], "model_type": "segformer",
              "id2label": {str(number): f"thing {number}" for number in range(150)}}
    spec = exported(tmp_path, preprocessor, config, {"logits": ("batch_size", 150, "height", "width")})
    assert (spec.task, len(spec.labels), spec.output.activation) == ("image-segmentation", 150, "softmax")
    assert (dict(spec.output.names), spec.input.size) == ({"masks": "logits"}, (512, 512))


@pytest.mark.parametrize(("architecture", "outputs", "embedding"), [
    ("Dinov2Model", {"last_hidden_state": ("b", "s", 384), "pooler_output": ("b", 384)}, "pooler_output"),
    ("CLIPVisionModelWithProjection", {"image_embeds": ("b", 512), "last_hidden_state": ("b", 50, 768)},
     "image_embeds"),
    ("ViTForImageClassification", {"last_hidden_state": ("b", 197, 768)}, "last_hidden_state"),
])
def test_features_are_picked_from_the_outputs(tmp_path: Path, architecture: str, outputs: dict[str, Shape],
                                              embedding: str) -> None:
    spec = exported(tmp_path, {"size": 224}, {"architectures": [architecture]}, outputs)
    assert (spec.task, dict(spec.output.names)) == ("image-feature-extraction", {"embedding": embedding})
    assert (spec.labels, spec.output.normalize) == ((), False)


def test_swin2sr_takes_any_size_that_is_a_multiple_of_8(tmp_path: Path) -> None:
    preprocessor = {"image_processor_type": "Swin2SRImageProcessor", "do_pad": True, "do_rescale": True, "pad_size": 8,
                    "rescale_factor": 0.00392156862745098}
    config = {"architectures": ["Swin2SRForImageSuperResolution"], "model_type": "swin2sr", "upscale": 2}
    spec = exported(tmp_path, preprocessor, config, {"reconstruction": ("b", "c", "h", "w")})
    assert (spec.task, spec.input.size, spec.input.resize) == ("image-to-image", None, "fit")
    assert (spec.input.multiple_of, spec.output.range) == (8, (0.0, 1.0))


def test_a_config_of_another_program_is_no_evidence(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": ("b", 2)}, files={"config.json": {"version": 3}})
    assert (spec.task, spec.labels) == ("image-classification", ("0", "1"))
