import base64
import io
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from inference.geometry import Placement, place
from inference.parameters import DepthParameters as Parameters
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks import TASKS
from inference.tasks.depth import BAND_PIXELS, NAME, read, result
from tests.unit.findings_helpers import Shape, found
from tests.unit.images import encode
from tests.unit.predicting import loaded
from tests.unit.predicting import result as predicted

RANDOM = np.random.default_rng(11)
SQUARE = InputSpec("x", (64, 64))


def spec_of(wanted: InputSpec = SQUARE, names: Mapping[str, str] | None = None) -> ModelSpec:
    return ModelSpec("m", "1", "depth-estimation", (), wanted, OutputSpec(names or {}))


def told(values: NDArray, size: tuple[int, int], wanted: InputSpec = SQUARE) -> dict[str, Any]:
    spec = spec_of(wanted)
    value = read({"predicted_depth": values}, spec, place(size, wanted), Parameters())
    return result(value, spec, size, Parameters())


def test_an_aligned_grid_has_its_corners_on_the_images() -> None:
    """As torch.nn.functional.interpolate(mode="bilinear", align_corners=True), which MiDaS and Ultralytics use."""
    values, (width, height) = RANDOM.normal(size=(1, 5, 7)).astype(np.float32), (23, 11)
    spec = replace(spec_of(), output=OutputSpec({}, interpolation="aligned"))
    answer = result(read({"predicted_depth": values}, spec, place((width, height), SQUARE), Parameters()), spec,
                    (width, height), Parameters())
    down = np.array([np.interp(np.linspace(0, 4, height), range(5), column) for column in values[0].T]).T
    expected = np.array([np.interp(np.linspace(0, 6, width), range(7), row) for row in down])
    np.testing.assert_allclose(depths(answer), expected, atol=1e-3)


def depths(answer: dict[str, Any]) -> NDArray[np.float64]:
    """The depth of each pixel (height, width), in the model's measure."""
    prefix, data = answer["depth"].split(",")
    assert prefix == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "I;16")
        pixels = np.asarray(picture).astype(np.float64)
    return answer["minimum"] + pixels / 65535 * (answer["maximum"] - answer["minimum"])


def bicubic(values: NDArray, size: tuple[int, int]) -> NDArray[np.float64]:
    """(h, w) at `size`, by the textbook's cubic convolution with a = -0.75, pixel by pixel."""
    def weight(distance: float) -> float:
        far, a = abs(distance), -0.75
        if far <= 1:
            return (a + 2) * far**3 - (a + 3) * far**2 + 1
        return a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a if far < 2 else 0.0

    def matrix(cells: int, pixels: int) -> NDArray[np.float64]:
        found = np.zeros((pixels, cells))
        for pixel in range(pixels):
            at = (pixel + 0.5) * cells / pixels - 0.5
            for cell in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
                found[pixel, min(max(cell, 0), cells - 1)] += weight(at - cell)
        return found

    return matrix(values.shape[0], size[1]) @ values @ matrix(values.shape[1], size[0]).T


@pytest.mark.parametrize("size", [(97, 61), (64, 64), (20, 30)])
def test_the_depth_of_each_pixel_is_interpolated_bicubically(size: tuple[int, int]) -> None:
    values = RANDOM.normal(3, 2, (1, 16, 24)).astype(np.float32)
    answer = told(values, size)
    expected = bicubic(values[0].astype(np.float64), size)
    assert (answer["task"], answer["minimum"], answer["maximum"]) == (
        NAME, pytest.approx(expected.min(), rel=1e-5), pytest.approx(expected.max(), rel=1e-5))
    step = (expected.max() - expected.min()) / 65535
    np.testing.assert_allclose(depths(answer), expected, atol=0.6 * step + 1e-5)


def test_a_map_as_large_as_the_image_stays_as_it_is() -> None:
    values = RANDOM.normal(0, 1, (1, 40, 30)).astype(np.float32)
    answer = told(values, (30, 40), InputSpec("x", None, resize="fit"))
    assert (answer["minimum"], answer["maximum"]) == (float(str(values.min())), float(str(values.max())))
    np.testing.assert_allclose(depths(answer), values[0], atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 8, 8), (1, 8, 8, 1)])
def test_an_axis_of_one_channel_does_not_matter(shape: tuple[int, ...]) -> None:
    values = RANDOM.normal(0, 1, (8, 8)).astype(np.float32)
    assert told(values.reshape(shape), (20, 20)) == told(values[np.newaxis], (20, 20))


@pytest.mark.parametrize(("wanted", "shown"), [
    (InputSpec("x", (64, 64), resize="letterbox"), (slice(16, 48), slice(0, 64))),
    (InputSpec("x", (64, 64), resize="letterbox", anchor="top-left"), (slice(0, 32), slice(0, 64)))])
def test_the_filling_is_cut_off_and_does_not_bleed_in(wanted: InputSpec, shown: tuple[slice, slice]) -> None:
    values = np.full((1, 64, 64), 1000.0, np.float32)
    values[(0, *shown)] = RANDOM.normal(0, 1, (32, 64))
    expected = bicubic(values[(0, *shown)].astype(np.float64), (200, 100))
    np.testing.assert_allclose(depths(told(values, (200, 100), wanted)), expected, atol=1e-3)


def test_what_a_crop_does_not_show_gets_the_nearest_depth() -> None:
    values = np.tile(np.arange(64, dtype=np.float32), (1, 64, 1))
    found = depths(told(values, (128, 64), InputSpec("x", (64, 64), resize="crop")))
    assert found.shape == (64, 128)
    assert np.ptp(found[:, :30]) == np.ptp(found[:, 98:]) == 0
    np.testing.assert_allclose(found[10, 32:96], np.arange(64), atol=0.01)


def test_a_plane_without_depth_is_black() -> None:
    answer = told(np.full((1, 4, 4), 7.5, np.float32), (9, 9))
    assert (answer["minimum"], answer["maximum"]) == (pytest.approx(7.5), pytest.approx(7.5))
    assert np.ptp(depths(answer)) == 0


def test_numbers_are_written_as_short_as_fp32_can_be() -> None:
    answer = told(np.array([[[0.1, 0.1], [0.7, 0.7]]], np.float32), (2, 2), InputSpec("x", None, resize="fit"))
    assert (answer["minimum"], answer["maximum"]) == (0.1, 0.7)


@pytest.mark.parametrize(("outputs", "names", "wanted"), [
    ({"a": (1, 4, 4), "predicted_depth": (1, 4, 4)}, {}, "predicted_depth"),
    ({"a": (1, 4, 4), "predicted_depth": (1, 4, 4)}, {"depth": "a"}, "a"),
    ({"fov": (1,), "map": (1, 1, 4, 4), "features": (1, 8, 4, 4)}, {}, "map")])
def test_the_depth_is_found_by_name_or_shape(outputs: dict[str, tuple[int, ...]], names: dict[str, str],
                                             wanted: str) -> None:
    values = {name: np.full(shape, number, np.float32) for number, (name, shape) in enumerate(outputs.items())}
    found = read(values, spec_of(names=names), place((4, 4), SQUARE), Parameters())
    assert found.values[0, 0] == list(outputs).index(wanted)


@pytest.mark.parametrize(("outputs", "text"), [
    ({"a": np.zeros((1, 4, 4), np.float32), "b": np.zeros((1, 4, 4), np.float32)}, "2 of the outputs a, b are maps"),
    ({"predicted_depth": np.zeros((1, 3, 4, 4), np.float32)}, r"'predicted_depth' is \[1, 3, 4, 4\], expected a depth"),
    ({"a": np.full((1, 4, 4), np.nan, np.float32)}, r"output 'a' has values that are not finite: check \[input\]")])
def test_outputs_that_are_no_depth_are_told(outputs: dict[str, NDArray], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read(outputs, spec_of(), place((4, 4), SQUARE), Parameters())


def test_bands_of_a_large_image_fit_together_and_take_little_memory() -> None:
    size = (4096, 12 * BAND_PIXELS // 4096 + 5)
    values = RANDOM.normal(0, 1, (1, 20, 30)).astype(np.float32)
    tracemalloc.start()
    value = read({"y": values}, spec_of(), place(size, SQUARE), Parameters())
    answer = result(value, spec_of(), size, Parameters())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * size[0] * size[1]  # bytes, of which 2 are the result's before it is written
    with Image.open(io.BytesIO(base64.b64decode(answer["depth"].split(",")[1]))) as picture:
        rows = np.asarray(picture).astype(np.float64)
    assert np.abs(np.diff(rows, axis=0)).max() < 65535 / 20


def test_depths_of_tiles_are_not_put_together() -> None:
    assert TASKS[NAME].merge is None


def test_no_pixel_is_too_small_to_have_a_place() -> None:
    placement = Placement((1, 5000), (0, 0, 1, 5000), (64, 64), (0, 0, 1, 64))
    value = read({"y": np.ones((1, 7, 7), np.float32)}, spec_of(), placement, Parameters())
    assert depths(result(value, spec_of(), (1, 5000), Parameters())).shape == (5000, 1)


# From the files to the answer


@pytest.mark.parametrize(("files", "outputs", "output"), [
    ({}, {"predicted_depth": (1, 32, 48)}, "predicted_depth"),
    ({"config.json": {"architectures": ["DPTForDepthEstimation"]}}, {"depth_map": (1, 1, 32, 48)}, "depth_map")])
def test_the_task_is_found_by_the_outputs_name_or_the_config(tmp_path: Path, files: dict[str, Any],
                                                             outputs: dict[str, Shape], output: str) -> None:
    spec = found(tmp_path, outputs, files=files)
    assert (spec.task, spec.labels, dict(spec.output.names)) == ("depth-estimation", (), {"depth": output})


def test_a_depth_model_answers_with_a_picture_as_large_as_the_image(tmp_path: Path) -> None:
    folder = tmp_path / "depths"
    folder.mkdir()
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, 32, 32])
    depth = helper.make_tensor_value_info("predicted_depth", TensorProto.FLOAT, [1, 32, 32])
    graph = helper.make_graph([helper.make_node("ReduceMean", ["pixel_values"], ["predicted_depth"], axes=[1],
                                                keepdims=0)], "depth", [image], [depth])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    (folder / "model.toml").write_text("[input]\nmean = 0\nstd = 1")
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))).convert("RGB")
    answer = predicted(loaded(tmp_path), encode(ramp, "PNG"))
    pixels = depths(answer)
    assert pixels.shape == (48, 64)
    np.testing.assert_allclose(pixels[24, 8:56], np.linspace(0, 1, 64)[8:56], atol=0.02)
