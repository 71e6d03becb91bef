import base64
import io
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from inference.geometry import Placement, place
from inference.parameters import ImageToImageParameters as Parameters
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks import TASKS
from inference.tasks.image_to_image import NAME, merge, read, result, with_image
from inference.tiling import Tiles, cut
from tests.answering import saved
from tests.unit.images import photo
from tests.unit.predicting import loaded
from tests.unit.predicting import result as predicted

RANDOM = np.random.default_rng(5)
ANY_SIZE = InputSpec("x", None)


def spec_of(wanted: InputSpec = ANY_SIZE, **output: Any) -> ModelSpec:
    return ModelSpec("m", "1", "image-to-image", (), wanted, OutputSpec(**({"names": {}} | output)))


def produced(values: NDArray, spec: ModelSpec, size: tuple[int, int]) -> NDArray:
    return read({"y": values}, spec, place(size, spec.input), Parameters())


def as_output(pixels: NDArray) -> NDArray:
    """(height, width, channels) bytes -> (1, channels, height, width) in 0..1."""
    return pixels.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255


def noise(width: int, height: int, channels: int = 3) -> NDArray[np.uint8]:
    return RANDOM.integers(0, 256, (height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize(("black_white", "values", "pixels"), [
    ((0, 1), [0, 0.5, 1, 1.2, -3], [0, 128, 255, 255, 0]), ((-1, 1), [-1, 0, 1, 2, -2], [0, 128, 255, 255, 0]),
    ((0, 255), [0, 127.6, 255, 300, -1], [0, 128, 255, 255, 0]), ((1, 0), [0, 0.2, 1, 2, -1], [255, 204, 0, 0, 255])])
def test_the_range_tells_black_and_white_and_what_lies_outside_is_clipped(
        black_white: tuple[float, float], values: list, pixels: list) -> None:
    found = produced(np.array([[[values]]], np.float32), spec_of(range=black_white), (5, 1))
    assert found.ravel().tolist() == pixels


@pytest.mark.filterwarnings("error")
def test_values_that_are_no_numbers_are_black() -> None:
    assert produced(np.full((1, 1, 1, 1), np.nan, np.float32), spec_of(), (1, 1)).tolist() == [[[0]]]


def test_bytes_are_pixels_already() -> None:
    pixels = noise(6, 4)
    assert (produced(pixels[np.newaxis], spec_of(range=(-1, 1)), (6, 4)) == pixels).all()


def test_channels_may_come_first_or_last_and_layout_decides_a_tie() -> None:
    pixels, tie = noise(6, 4), noise(3, 3)
    assert (produced(as_output(pixels), spec_of(), (6, 4)) == pixels).all()
    assert (produced(as_output(pixels).transpose(0, 2, 3, 1), spec_of(), (6, 4)) == pixels).all()
    assert (produced(as_output(tie), spec_of(), (3, 3)) == tie).all()
    last = spec_of(replace(ANY_SIZE, layout="NHWC"))
    assert (produced(as_output(tie).transpose(0, 2, 3, 1), last, (3, 3)) == tie).all()


def test_models_of_bgr_give_bgr() -> None:
    pixels = noise(6, 4)
    found = produced(as_output(pixels), spec_of(replace(ANY_SIZE, color="BGR")), (6, 4))
    assert (found == pixels[:, :, ::-1]).all()


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 0.5])
def test_the_filling_of_a_letterbox_is_cut_off_at_any_factor(factor: float) -> None:
    side = int(32 * factor)
    values = np.ones((1, 3, side, side), np.float32)
    values[:, :, side // 4:side * 3 // 4] = 0.2  # 64 x 32 fills the middle half
    found = produced(values, spec_of(InputSpec("x", (32, 32), resize="letterbox")), (64, 32))
    assert found.shape == (side // 2, side, 3)
    assert (found == 51).all()


def test_a_reduced_image_is_not_blown_up_and_its_aspect_is_restored() -> None:
    stretched = spec_of(InputSpec("x", (32, 32)))
    assert produced(np.zeros((1, 3, 32, 32)), stretched, (400, 300)).shape == (24, 32, 3)
    assert produced(np.zeros((1, 3, 32, 32)), stretched, (100, 400)).shape == (32, 8, 3)
    assert produced(np.zeros((1, 3, 32, 32)), stretched, (400, 400)).shape == (32, 32, 3)


def test_an_image_rounded_up_for_the_model_keeps_its_size_times_the_factor() -> None:
    rounded = spec_of(replace(ANY_SIZE, multiple_of=16))
    assert produced(np.zeros((1, 3, 64, 128)), rounded, (57, 30)).shape == (60, 114, 3)


def test_luma_gets_the_images_own_colours() -> None:
    """A model that enlarges luma as Pillow does gives what enlarging the colour image gives."""
    image = Image.fromarray(noise(12, 8)).resize((48, 32), Image.Resampling.BICUBIC)
    luma = np.asarray(image.resize((96, 64), Image.Resampling.BICUBIC).convert("YCbCr"))[:, :, :1]
    spec, placement = spec_of(replace(ANY_SIZE, color="Y")), place((48, 32), ANY_SIZE)
    value = read({"y": as_output(luma)}, spec, placement, Parameters())
    colored = with_image(value, image, spec, placement)
    expected = np.asarray(image.resize((96, 64), Image.Resampling.BICUBIC))
    assert np.abs(colored.astype(int) - expected).max() <= 3  # YCbCr in bytes is not reversible


def test_luma_of_a_tile_gets_the_colours_of_its_part_also_from_a_reduced_image() -> None:
    image = Image.new("RGB", (20, 10), "red")
    image.paste("blue", (10, 0, 20, 10))
    placement = Placement((40, 20), (24, 0, 40, 20), (16, 20), (0, 0, 16, 20))
    spec = spec_of(replace(ANY_SIZE, color="Y"))
    colored = with_image(np.full((20, 16, 1), 29, np.uint8), image, spec, placement)
    assert np.abs(colored.astype(int) - (0, 0, 255)).max() <= 3


def test_what_other_models_produce_is_left_as_it_is() -> None:
    value = noise(4, 4)
    assert with_image(value, Image.new("RGB", (4, 4)), spec_of(), place((4, 4), ANY_SIZE)) is value


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_the_result_is_a_data_url_of_a_png(channels: int, mode: str) -> None:
    pixels = noise(6, 4, channels)
    found = result(pixels, spec_of(), (6, 4), Parameters())
    head, _, data = found.pop("image").partition(",")
    assert (found, head) == ({"task": NAME, "width": 6, "height": 4}, "data:image/png;base64")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.mode) == ("PNG", mode)
        assert (np.asarray(image) == pixels.squeeze()).all()


def enlarged_tiles(pixels: NDArray, tiles: Tiles, spec: ModelSpec, factor: int) -> list[tuple[Placement, NDArray]]:
    """What a model that repeats each pixel makes of the tiles."""
    width, height = tiles.tile
    padded = np.pad(pixels, ((0, height), (0, width), (0, 0)))
    parts = [padded[box[1]:box[1] + height, box[0]:box[0] + width] for box in tiles.boxes()]
    outputs = [as_output(part.repeat(factor, 0).repeat(factor, 1)) for part in parts]
    return [(placement, read({"y": output}, spec, placement, Parameters()))
            for placement, output in zip(tiles.placements(spec.input), outputs, strict=True)]


@pytest.mark.parametrize("size", [(150, 130), (64, 64), (30, 100)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_tiles_of_a_model_that_sees_each_pixel_alone_give_what_the_whole_gives(
        factor: int, size: tuple[int, int]) -> None:
    pixels, spec, tiles = noise(*size), spec_of(InputSpec("x", (64, 64))), cut(size, (64, 64), 16)
    merged = merge(iter(enlarged_tiles(pixels, tiles, spec, factor)), tiles, spec, Parameters())
    assert (merged == pixels.repeat(factor, 0).repeat(factor, 1)).all()


def test_tiles_that_the_model_sees_reduced_fill_the_image() -> None:
    spec, tiles = spec_of(InputSpec("x", (16, 16))), cut((60, 40), (32, 32), 8)
    values = [(placement, read({"y": np.full((1, 3, 16, 16), 0.2, np.float32)}, spec, placement, Parameters()))
              for placement in tiles.placements(spec.input)]
    merged = merge(values, tiles, spec, Parameters())
    assert merged.shape == (40, 60, 3)
    assert (merged == 51).all()


def test_tiles_fade_into_each_other() -> None:
    spec, tiles = spec_of(InputSpec("x", (64, 64))), cut((112, 64), (64, 64), 16)
    values = [(placement, np.full((64, 64, 1), shade, np.uint8))
              for shade, placement in zip((0, 160), tiles.placements(spec.input), strict=True)]
    row = merge(values, tiles, spec, Parameters())[10, :, 0].astype(int)
    assert row[:48].tolist() == [0] * 48
    assert row[64:].tolist() == [160] * 48
    assert np.diff(row[47:65]).tolist() == [5, *[10] * 15, 5]


def test_tiles_that_show_only_their_middle_are_refused() -> None:
    wide, spec = Tiles((200, 100), (128, 100), (0, 72), (0,)), spec_of(InputSpec("x", (64, 64), resize="crop"))
    with pytest.raises(ValueError, match='resize = "stretch"'):
        merge([(placement, noise(64, 64)) for placement in wide.placements(spec.input)], wide, spec, Parameters())


def test_tiles_are_not_gathered_before_they_are_put_together() -> None:
    spec, tiles = spec_of(InputSpec("x", (128, 128))), cut((1472, 1472), (128, 128), 16)
    values = ((placement, np.zeros((256, 256, 3), np.uint8)) for placement in tiles.placements(spec.input))
    tracemalloc.start()
    try:
        merge(values, tiles, spec, Parameters())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2944 * 2944 * 3 + 8e6  # the image and what the blending holds; all tiles are 33 MB


@pytest.mark.parametrize("shape", [(1, 1000), (1, 4, 8, 8), (2, 3, 8, 8), (1, 8, 8, 2)])
def test_an_output_that_is_no_image_is_told_with_what_to_set(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"output 'y'.*\[output.names\] image in model.toml"):
        produced(np.zeros(shape), spec_of(), (8, 8))


def test_the_named_output_is_read() -> None:
    spec = spec_of(names={"image": "right"})
    outputs = {"wrong": np.zeros((1, 3)), "right": np.ones((1, 1, 2, 2))}
    assert read(outputs, spec, place((2, 2), spec.input), Parameters()).tolist() == [[[255], [255]]] * 2


def test_the_task_is_entered_under_its_name() -> None:
    assert (TASKS[NAME].read, TASKS[NAME].with_image) == (read, with_image)


def test_the_multiples_that_a_model_of_any_size_takes_are_seen(tmp_path: Path) -> None:
    """Four times four pixels go into a cell, and come out again."""
    nodes = [helper.make_node("SpaceToDepth", ["x"], ["cells"], blocksize=4),
             helper.make_node("DepthToSpace", ["cells"], ["y"], blocksize=4)]
    saved(tmp_path / "m" / "model.onnx", nodes, [], {"x": (1, 3, "h", "w")}, {"y": (1, 3, "h", "w")})
    model = loaded(tmp_path)
    assert (model.spec.task, model.spec.input.multiple_of, model.spec.input.fill) == ("image-to-image", 4, "mirror")
    told = predicted(model, photo((33, 30), "PNG"))
    assert (told["width"], told["height"]) == (33, 30)
