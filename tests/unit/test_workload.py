from typing import Any

import pytest

from inference.cost import Work
from inference.image_info import ImageInfo
from inference.model_info import ModelInfo
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.workload import decoding, drawing, first_guess, running_part, workload

WANTED = (100, 100)
SPEC = ModelSpec("leaf", "1", "image-classification", ("a", "b"), InputSpec("image", (32, 32)), OutputSpec({}))
LEAF = ModelInfo(SPEC, "f1", (), (), run_ms=4.0)
PHOTO = ImageInfo(1000, 500, "JPEG", size_bytes=200_000)


def jpeg(side: int, progressive: bool = False, scans: int = 1, mode: str = "RGB") -> ImageInfo:
    return ImageInfo(side, side, "JPEG", progressive, scans=scans, mode=mode, size_bytes=500_000)


@pytest.mark.parametrize(("image", "part"), [
    (jpeg(400), "decode JPEG 1/1"), (jpeg(600), "decode JPEG 1/2"), (jpeg(1200), "decode JPEG 1/4"),
    (jpeg(2400), "decode JPEG 1/8"), (jpeg(9000), "decode JPEG 1/8"),
    (jpeg(1600, progressive=True), "decode JPEG progressive"), (jpeg(600, mode="L"), "decode JPEG L 1/2"),
    (ImageInfo(9000, 100, "MPO"), "decode JPEG 1/1"), (ImageInfo(1600, 1600, "PNG"), "decode PNG"),
    (ImageInfo(1600, 1600, "PNG", mode="RGBA"), "decode PNG RGBA"), (ImageInfo(16, 16, "BMP"), "decode BMP"),
    (ImageInfo(16, 16, "BMP", mode="P", coding="RLE"), "decode BMP P RLE"),
    (ImageInfo(100, 100, "BMP", size_bytes=900_000), "decode BMP padded"),
    (ImageInfo(4000, 3000, "HEIC", coding="grid", size_bytes=2_000_000), "decode HEIC grid"),
])
def test_what_decoding_costs_depends_on_format_mode_and_scale(image: ImageInfo, part: str) -> None:
    assert decoding(image, WANTED).part == part


def test_decoding_is_counted_in_images_megapixels_and_megabytes() -> None:
    assert decoding(jpeg(1000), WANTED).amounts == (1.0, 1.0, 0.5)


def test_many_pieces_count_as_several_images() -> None:
    tiff = ImageInfo(1000, 1000, "TIFF", pieces=1000, size_bytes=3_000_000)
    assert decoding(tiff, None).amounts == (10.0, 1.0, 3.0)


def test_a_drawing_is_counted_like_an_image() -> None:
    assert drawing(PHOTO, "image/webp") == Work("draw webp JPEG", (1.0, 0.5, 0.2))


@pytest.mark.parametrize(("scans", "passes"), [(1, 1.0), (10, 1.0), (30, 3.0)])
def test_further_scans_of_a_progressive_jpeg_are_further_passes(scans: int, passes: float) -> None:
    assert decoding(jpeg(1000, progressive=True, scans=scans), WANTED).amounts[1] == passes


@pytest.mark.parametrize(("asked", "amounts"), [
    ({}, (1.0, 0.5 / 16, 0.5)),  # decoded at 1/4
    ({"tile": 500}, (3.0, 0.0, 0.5)),  # nothing is resized before it is cut
])
def test_a_models_work_is_counted_in_runs_and_in_megapixels_that_are_resized_and_shown(asked: dict[str, Any],
                                                                                       amounts: tuple) -> None:
    assert workload(LEAF, PHOTO, LEAF.parameters(asked)).running.amounts == amounts


def test_what_a_prediction_took_is_told_part_by_part() -> None:
    work = workload(LEAF, PHOTO, LEAF.parameters({}))
    assert work.samples({"decode": 5.0, "preprocess": 1.0, "inference": 7.0, "postprocess": 0.5}) == [
        ("decode JPEG 1/4", (1.0, 0.5, 0.2), 5.0), ("run leaf f1", work.running.amounts, 8.5)]


def test_a_models_part_bears_its_fingerprint() -> None:
    assert running_part(LEAF) == "run leaf f1"


def test_the_first_guess_of_a_model_is_what_its_warm_up_took() -> None:
    own = 32 * 32 / 1e6
    assert first_guess(LEAF)[:2] == [((1.0, own, own), 4.0), ((8.0, own, own), 32.0)]
