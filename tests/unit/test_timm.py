"""timm folders, with a config.json as timm writes it."""

from pathlib import Path
from typing import Any

import pytest

from inference.errors import ModelNotUsable
from inference.findings.sources import CONFIG
from inference.spec import ModelSpec
from tests.unit.findings_helpers import Shape, found, source_of

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CONFIG_JSON: dict[str, Any] = {
    "architecture": "convnext_tiny", "num_classes": 2, "num_features": 768,
    "pretrained_cfg": {"tag": "fb_in1k", "custom_load": False, "input_size": [3, 224, 224],
                       "test_input_size": [3, 288, 288], "fixed_input_size": False, "interpolation": "bicubic",
                       "crop_pct": 0.875, "test_crop_pct": 1.0, "crop_mode": "center", "mean": MEAN, "std": STD,
                       "num_classes": 2, "pool_size": None, "first_conv": "stem.0", "classifier": "head.fc"},
}


def exported(folder: Path, inputs: Shape = ("b", 3, "h", "w"), outputs: Shape = ("b", 2), **changes: Any) -> ModelSpec:
    """`changes` of pretrained_cfg; those in capitals of the whole file."""
    whole = {key.lower(): value for key, value in changes.items() if key.isupper()}
    inner = {**CONFIG_JSON["pretrained_cfg"], **{key: value for key, value in changes.items() if not key.isupper()}}
    return found(folder, {"output0": outputs}, {"input0": inputs},
                 files={"config.json": {**CONFIG_JSON, "pretrained_cfg": inner, **whole}})


def test_a_classifier_is_evaluated_as_timm_does(tmp_path: Path) -> None:
    spec = exported(tmp_path)
    image = spec.input
    assert (spec.task, spec.output.activation, spec.labels) == ("image-classification", "softmax", ("0", "1"))
    assert (image.size, image.resize, image.shortest_edge, image.crop_down) == ((224, 224), "crop", 256, False)
    assert (image.resample, image.scale, image.mean, image.std) == ("bicubic", 1 / 255, tuple(MEAN), tuple(STD))
    assert {source_of(spec, fact) for fact in ("task", "size", "resize", "mean", "resample")} == {CONFIG}


@pytest.mark.parametrize(("changes", "resize", "shortest", "fill"), [
    ({"crop_pct": 0.9}, "crop", 248, None), ({"crop_pct": 1.0}, "crop", 224, None),
    ({"crop_pct": 1.0, "crop_mode": "squash"}, "stretch", None, None),
    ({"crop_pct": 0.875, "crop_mode": "squash"}, "stretch", 256, None),
    ({"crop_pct": 1.0, "crop_mode": "border"}, "letterbox", None, (124.0, 116.0, 104.0)),
])
def test_each_crop_mode_places_the_image_its_way(tmp_path: Path, changes: dict[str, Any], resize: str,
                                                 shortest: int | None, fill: tuple | None) -> None:
    image = exported(tmp_path, **changes).input
    assert (image.resize, image.shortest_edge) == (resize, shortest)
    assert fill is None or image.fill == fill


@pytest.mark.parametrize(("changes", "labels"), [
    ({"label_names": ["cat", "dog"]}, ("cat", "dog")), ({"LABEL_NAMES": ["cat", "dog"]}, ("cat", "dog")),
    ({"label_names": ["n01", "n02"], "label_descriptions": {"n01": "tench, Tinca tinca"}},
     ("tench, Tinca tinca", "n02")),
    ({"label_names": None}, ("0", "1")),
])
def test_labels_may_be_in_either_place_and_described(tmp_path: Path, changes: dict[str, Any],
                                                     labels: tuple[str, ...]) -> None:
    assert exported(tmp_path, **changes).labels == labels


def test_no_classes_mean_features(tmp_path: Path) -> None:
    spec = exported(tmp_path, outputs=("b", 768), NUM_CLASSES=0)
    assert (spec.task, dict(spec.output.names)) == ("image-feature-extraction", {"embedding": "output0"})


def test_a_fixed_shape_beats_the_config(tmp_path: Path) -> None:
    image = exported(tmp_path, (1, 3, 288, 288)).input
    assert (image.size, image.resize, image.shortest_edge) == ((288, 288), "crop", None)


def test_an_interpolation_that_is_not_one_is_passed_over(tmp_path: Path) -> None:
    assert exported(tmp_path, interpolation="random").input.resample == "bilinear"


def test_a_config_without_an_evaluation_has_timms_defaults(tmp_path: Path) -> None:
    spec = found(tmp_path, {"output0": (1, 2)}, {"input0": (1, 3, 32, 32)},
                 files={"config.json": {"architecture": "resnet18", "num_classes": 2}})
    assert (spec.input.mean, spec.input.resample, spec.input.size) == (tuple(MEAN), "bicubic", (32, 32))


def test_a_wrapped_timm_model_takes_its_labels_from_hugging_faces_part(tmp_path: Path) -> None:
    spec = exported(tmp_path, ARCHITECTURES=["TimmWrapperForImageClassification"], MODEL_TYPE="timm_wrapper",
                    ID2LABEL={"0": "cat", "1": "dog"})
    assert (spec.labels, spec.input.shortest_edge) == (("cat", "dog"), 256)


@pytest.mark.parametrize("changes", [{"input_size": [3, 224]}, {"crop_pct": "large"}, {"label_names": "cat"}])
def test_a_damaged_config_is_told_by_its_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelNotUsable, match=r"^config.json, pretrained_cfg"):
        exported(tmp_path, **changes)
