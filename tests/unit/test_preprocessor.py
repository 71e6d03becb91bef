"""What Hugging Face's processors write, and where they put an image: sizes as transformers 5 computes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from inference.errors import ModelNotUsable
from inference.findings.sources import PREPROCESSOR_CONFIG, PROCESSOR_CONFIG
from inference.geometry import place
from inference.spec import ModelSpec
from tests.unit.findings_helpers import Shape, found, source_of

OPEN: dict[str, Shape] = {"pixel_values": ("batch_size", 3, "height", "width")}
FIXED: dict[str, Shape] = {"pixel_values": (1, 3, 64, 64)}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
MEAN_PIXEL = (0.485 * 255, 0.456 * 255, 0.406 * 255)
USUAL = {"do_resize": True, "do_rescale": True, "rescale_factor": 0.00392156862745098, "do_normalize": True, **IMAGENET}
DEPTH: dict[str, Shape] = {"predicted_depth": ("batch_size", "height", "width")}
DPT = {**USUAL, "image_processor_type": "DPTImageProcessor", "size": {"height": 518, "width": 518}, "do_pad": False,
       "keep_aspect_ratio": True, "ensure_multiple_of": 14, "resample": 3, "size_divisor": None}
ZOE = {**USUAL, "image_processor_type": "ZoeDepthImageProcessor", "size": {"height": 384, "width": 512}, "do_pad": True,
       "keep_aspect_ratio": True, "ensure_multiple_of": 32, "resample": 2}
GLPN = {"do_rescale": True, "do_resize": True, "feature_extractor_type": "GLPNFeatureExtractor", "resample": 2,
        "size_divisor": 32}
YOLOS = {**USUAL, "image_processor_type": "YolosImageProcessor", "format": "coco_detection", "do_pad": True,
         "pad_size": None, "resample": 2, "size": {"shortest_edge": 800, "longest_edge": 1333}}
DETR = {**YOLOS, "image_processor_type": "DetrImageProcessorFast"}
MASKFORMER = {**USUAL, "image_processor_type": "MaskFormerImageProcessor", "size_divisor": 32, "resample": 2,
              "size": {"shortest_edge": 800, "longest_edge": 1333}, "ignore_index": 255, "do_reduce_labels": True}
SAM = {**USUAL, "image_processor_type": "SamImageProcessor", "do_pad": True, "pad_size": {"height": 64, "width": 64},
       "size": {"longest_edge": 64}, "mask_size": {"longest_edge": 16}, "mask_pad_size": {"height": 16, "width": 16},
       "do_convert_rgb": True, "processor_class": "SamProcessor", "resample": 2}


def exported(folder: Path, preprocessor: Mapping[str, Any], inputs: Mapping[str, Shape] = OPEN,
             outputs: Mapping[str, Shape] = DEPTH, toml: str = "", name: str = PREPROCESSOR_CONFIG) -> ModelSpec:
    return found(folder, outputs, inputs, toml, files={name: preprocessor})


# Where an image lands


@pytest.mark.parametrize(("preprocessor", "image", "size"), [
    (DPT, (640, 480), (686, 518)), (DPT, (480, 640), (518, 686)), (DPT, (518, 518), (518, 518)),
    (DPT, (4000, 2250), (924, 518)), (DPT, (300, 200), (518, 350)), (DPT, (20000, 10), (518, 14)),
    ({**DPT, "image_processor_type": "DPTImageProcessorFast", "size": {"height": 56, "width": 56}},
     (640, 480), (70, 56)),
    (GLPN, (640, 480), (640, 480)), (GLPN, (170, 260), (160, 256)), (GLPN, (10, 40), (32, 32)),
    (YOLOS, (640, 480), (1056, 800)), (YOLOS, (500, 375), (1056, 800)), (YOLOS, (427, 640), (800, 1184)),
    (YOLOS, (2000, 500), (1328, 320)),
    (DETR, (640, 480), (1066, 800)), (DETR, (500, 375), (1066, 800)), (DETR, (427, 640), (800, 1199)),
    (DETR, (2000, 500), (1333, 333)),
    (MASKFORMER, (640, 480), (1088, 800)), (MASKFORMER, (427, 640), (800, 1216)),
    ({**SAM, "do_pad": False}, (240, 121), (64, 32)),
])
def test_sides_of_their_own_are_those_of_the_processor(tmp_path: Path, preprocessor: dict[str, Any],
                                                       image: tuple[int, int], size: tuple[int, int]) -> None:
    spec = exported(tmp_path, preprocessor)
    placement = place(image, spec.input)
    assert (placement.input_size, placement.target) == (size, (0, 0, *size))
    assert spec.warnings == ()


def test_a_zoe_depth_image_is_surrounded_by_itself(tmp_path: Path) -> None:
    image = exported(tmp_path, ZOE).input
    assert (image.resize, image.size, image.multiple_of, image.margin, image.fill, image.resample) == (
        "closest", (512, 384), 32, 3.0, "mirror", "linear")
    placement = place((640, 480), image)  # 640 + 2 x 53, 480 + 2 x 46 before it is resized
    assert (placement.input_size, placement.target) == ((512, 384), (37, 32, 475, 352))
    assert placement.source == pytest.approx((0.7, 1.5, 639.3, 478.5), abs=0.05)  # whole pixels of the input


def test_a_picture_for_sam_is_at_the_top_left_of_its_mean_colour(tmp_path: Path) -> None:
    for inputs in (OPEN, FIXED):
        image = exported(tmp_path, SAM, inputs).input
        placement = place((240, 121), image)
        assert (placement.input_size, placement.target) == ((64, 64), (0, 0, 64, 32))
        assert image.fill == pytest.approx(MEAN_PIXEL)


def test_a_padded_image_keeps_the_scale_of_its_edges(tmp_path: Path) -> None:
    preprocessor = {**DETR, "size": {"shortest_edge": 100, "longest_edge": 200},
                    "pad_size": {"height": 300, "width": 300}}
    placement = place((400, 300), exported(tmp_path, preprocessor).input)
    assert (placement.input_size, placement.target) == ((300, 300), (0, 0, 133, 100))


def test_the_sides_of_an_image_in_a_largest_box_are_cut_off(tmp_path: Path) -> None:
    preprocessor = {**DETR, "size": {"max_height": 100, "max_width": 100}}
    assert place((300, 200), exported(tmp_path, preprocessor).input).target == (0, 0, 100, 66)


def test_dino_depth_is_filled_up_around_the_middle(tmp_path: Path) -> None:
    preprocessor = {**DPT, "do_resize": False, "do_pad": True, "size_divisor": 14}
    placement = place((100, 60), exported(tmp_path, preprocessor).input)
    assert (placement.input_size, placement.target) == ((112, 70), (6, 5, 106, 65))


@pytest.mark.parametrize(("preprocessor", "size"), [
    ({**DPT, "keep_aspect_ratio": False, "ensure_multiple_of": 14}, (518, 518)),
    ({**DPT, "keep_aspect_ratio": False, "ensure_multiple_of": 32}, (512, 512)),
    ({**DPT, "keep_aspect_ratio": False, "ensure_multiple_of": 1}, (518, 518)),
    ({**ZOE, "keep_aspect_ratio": False, "ensure_multiple_of": 1 / 32, "do_pad": False}, (512, 384)),
    ({**MASKFORMER, "size": {"height": 500, "width": 640}}, (640, 512)),
])
def test_exact_sides_are_multiples_too(tmp_path: Path, preprocessor: dict[str, Any], size: tuple[int, int]) -> None:
    image = exported(tmp_path, preprocessor).input
    assert (image.resize, image.size) == ("stretch", size)


def test_swin2sr_fills_up_with_the_image_mirrored(tmp_path: Path) -> None:
    preprocessor = {"image_processor_type": "Swin2SRImageProcessorFast", "do_pad": True, "size_divisor": 8,
                    "rescale_factor": 0.00392156862745098, "do_rescale": True}
    image = exported(tmp_path, preprocessor, outputs={"reconstruction": ("b", 3, "h", "w")}).input
    assert (image.resize, image.multiple_of, image.fill, image.size) == ("fit", 8, "mirror", None)


# What is written


CLIP = {**USUAL, "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "resample": 3,
        "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "do_convert_rgb": True}
FAST = {"crop_size": None, "data_format": "channels_first", "default_to_square": True, "device": None,
        "disable_grouping": None, "do_center_crop": None, "do_convert_rgb": None, "do_normalize": True, "do_pad": None,
        "do_rescale": True, "do_resize": True, "image_processor_type": "ViTImageProcessorFast", "pad_size": None,
        "input_data_format": None, "resample": 2, "rescale_factor": 0.00392156862745098, "return_tensors": None,
        "size": {"height": 48, "width": 40}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def test_transformers_5_writes_the_same_keys_into_the_processors_file(tmp_path: Path) -> None:
    spec = exported(tmp_path, {"image_processor": CLIP, "processor_class": "CLIPProcessor"}, name=PROCESSOR_CONFIG)
    image = spec.input
    assert (image.size, image.resize, image.shortest_edge, image.resample) == ((32, 32), "crop", 32, "bicubic")
    assert image.mean == tuple(IMAGENET["image_mean"])
    assert {source_of(spec, fact) for fact in ("size", "resize", "mean")} == {PROCESSOR_CONFIG}


def test_a_file_of_its_own_goes_before_the_processors(tmp_path: Path) -> None:
    files = {PROCESSOR_CONFIG: {"image_processor": CLIP}, PREPROCESSOR_CONFIG: {**CLIP, "size": {"shortest_edge": 40}}}
    assert found(tmp_path, DEPTH, OPEN, files=files).input.shortest_edge == 40


def test_a_processor_without_images_says_nothing(tmp_path: Path) -> None:
    spec = exported(tmp_path, {"feature_extractor": {"sampling_rate": 16000}}, FIXED, name=PROCESSOR_CONFIG)
    assert PROCESSOR_CONFIG not in {finding.source for finding in spec.findings}


def test_a_damaged_key_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match=r"^processor_config\.json, image_processor\.do_resize: expected"):
        exported(tmp_path, {"image_processor": {"do_resize": "maybe"}}, name=PROCESSOR_CONFIG)


def test_a_fast_processor_writes_every_key(tmp_path: Path) -> None:
    spec = exported(tmp_path, FAST)
    assert (spec.input.size, spec.input.resize, spec.input.resample) == ((40, 48), "stretch", "bilinear")
    assert (spec.input.mean, spec.input.std, spec.warnings) == ((0.5,) * 3, (0.5,) * 3, ())


def test_pool_former_cuts_its_crop_out_of_a_larger_image(tmp_path: Path) -> None:
    preprocessor = {**CLIP, "image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 400},
                    "crop_size": {"height": 400, "width": 400}, "crop_pct": 0.8}
    image = exported(tmp_path, preprocessor).input
    assert (image.resize, image.size, image.shortest_edge) == ("crop", (400, 400), 500)


# What cannot be followed


@pytest.mark.parametrize("key", ["do_thumbnail", "do_grayscale", "do_split_image", "do_color_quantize"])
def test_a_key_that_is_not_followed_is_a_reason(tmp_path: Path, key: str) -> None:
    with pytest.raises(ModelNotUsable, match=rf"^preprocessor_config\.json asks for {key}, which is not done here: "):
        exported(tmp_path, {**FAST, key: True})


@pytest.mark.parametrize(("preprocessor", "text"), [
    ({**FAST, "do_pad": True, "pad_size": {"height": 64, "width": 64}}, "pad_size: what was resized to exact sides"),
    ({**CLIP, "size": {"longest_edge": 64}}, "crop_size: what is cut out was resized by its longest edge"),
    ({**ZOE, "keep_aspect_ratio": False}, "do_pad: the image is surrounded by itself, and then stretched"),
    ({**DPT, "do_pad": True, "size_divisor": 32}, "size_divisor: the sides become multiples of ensure_multiple_of")])
def test_keys_that_are_not_followed_together_are_a_reason(tmp_path: Path, preprocessor: dict[str, Any],
                                                          text: str) -> None:
    with pytest.raises(ModelNotUsable, match=rf"^preprocessor_config\.json, {text}.*, which is not done here: remove"):
        exported(tmp_path, preprocessor)


def test_an_unknown_processor_is_named(tmp_path: Path) -> None:
    preprocessor = {**FAST, "image_processor_type": "StrangeImageProcessor"}
    [warning] = exported(tmp_path, preprocessor).warnings
    assert warning.startswith("preprocessor_config.json is of StrangeImageProcessor, which is not known here")
    assert exported(tmp_path, preprocessor, toml="[input]\nresize = 'stretch'").warnings == ()


@pytest.mark.parametrize("preprocessor", [DPT, DETR, {**SAM, "do_pad": False}])
def test_an_aspect_that_a_fixed_input_cannot_keep_is_named(tmp_path: Path, preprocessor: dict[str, Any]) -> None:
    spec = exported(tmp_path, preprocessor, FIXED)
    assert (spec.input.size, spec.input.resize, spec.input.shortest_edge) == ((64, 64), "stretch", None)
    [warning] = spec.warnings
    assert warning.startswith("each image would keep its aspect (preprocessor_config.json), and the input is 64 x 64")
    assert exported(tmp_path, preprocessor, FIXED, toml="[input]\nresize = 'stretch'").warnings == ()


@pytest.mark.parametrize("way", ["fit", "closest"])
def test_model_toml_asks_no_fixed_input_for_many_sizes(tmp_path: Path, way: str) -> None:
    with pytest.raises(ModelNotUsable, match=rf'^model\.toml, input\.resize: "{way}" gives images of many sizes'):
        exported(tmp_path, {}, FIXED, toml=f"[input]\nresize = '{way}'")


def test_model_toml_says_how_sides_become_multiples(tmp_path: Path) -> None:
    toml = "[input]\nresize = 'closest'\nsize = 64\nmultiple_of = 8\nrounding = 'up'\nmargin = 1\nfill = 'mirror'"
    image = found(tmp_path, DEPTH, OPEN, toml).input
    assert (image.size, image.multiple_of, image.rounding) == ((64, 64), 8, "up")
    assert (image.margin, image.fill) == (1.0, "mirror")
