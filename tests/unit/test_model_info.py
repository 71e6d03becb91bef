import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from inference.errors import BadParameter
from inference.model_info import ModelInfo, warm_up_size
from inference.model_toml import TaskName
from inference.parameters import PARAMETERS, InstanceParameters, TiledParameters, parameters_of
from inference.spec import Finding, InputSpec, ModelSpec, OutputSpec, TensorInfo, TilingSpec

FIXED, OPEN = InputSpec("image", (32, 32)), InputSpec("image", None, multiple_of=16)
TILING = TilingSpec((64, 64), 12, 4)
INPUTS = TensorInfo("image", ("batch", 3, None, 32), "FP32"), TensorInfo("more", (), "INT64")
FINDINGS = (Finding("size", [32, 32], "shapes"), Finding("tiling", {"tile": [64, 64], "overlap": 12}, "model.toml"),
            Finding("threshold", 0.25, "usual"), Finding("color", "RGB", "usual"))
SPECS = [ModelSpec("leaf", "3", task, ("weiß", "b"), FIXED, OutputSpec({"image": "y"}), None, FINDINGS)
         for task in get_args(TaskName)]
SPECS += [
    ModelSpec("leaf", "1", "image-to-image", (), OPEN, OutputSpec({}, range=(-1.0, 1.0)), TILING, FINDINGS),
    ModelSpec("leaf", "1", "image-segmentation", ("a",), FIXED, OutputSpec({"masks": "m"}, columns="box scores",
                                                                           strides=(8, 16, 32), nms="all")),
    ModelSpec("leaf", "1", "image-feature-extraction", (),
              InputSpec("x", None, "UINT8", 2, "NHWC", "L", "fit", 800, 1333, fill=(0, 0.5, 1), mean=(0.5,)),
              OutputSpec({}, normalize=True)),
    ModelSpec("leaf", "1", "depth-estimation", (),
              InputSpec("x", (64, 48), resize="closest", rounding="up", margin=3.0, fill="mirror", multiple_of=14),
              OutputSpec({"depth": "d"}))]


def info_of(task: TaskName = "image-classification", wanted: InputSpec = FIXED, tiling: TilingSpec | None = None,
            **known: Any) -> ModelInfo:
    spec = ModelSpec("leaf", "1", task, ("a", "b"), wanted, OutputSpec({}), tiling)
    return ModelInfo(spec, "f1", INPUTS, (), **known)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.task} {spec.input.size}")
def test_what_is_known_of_a_model_survives_json(spec: ModelSpec) -> None:
    info = ModelInfo(spec, "f1", INPUTS, (TensorInfo("y", (1, 2), "FP16"),), has_hooks=True, preprocesses=True,
                     run_ms=12.5, on_device=True, one_thread=False)
    assert ModelInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_what_another_release_wrote_is_refused() -> None:
    values = info_of().to_json()
    del values["fingerprint"]
    with pytest.raises(ValidationError):
        ModelInfo.from_json(values)


@pytest.mark.parametrize("task", get_args(TaskName))
def test_every_task_has_its_parameters(task: TaskName) -> None:
    assert info_of(task).parameters({}) == PARAMETERS[task]()


def test_a_segmenter_of_objects_has_its_own_parameters() -> None:
    info = info_of("image-segmentation")
    objects = replace(info.spec, output=OutputSpec({}, columns="box scores"))
    assert (parameters_of(objects), parameters_of(info.spec)) == (InstanceParameters, PARAMETERS["image-segmentation"])


def test_parameters_may_come_as_text() -> None:
    assert info_of().parameters({"top_k": "3", "tile": "64"}).model_dump() == {
        "top_k": 3, "threshold": 0.0, "tile": 64}


@pytest.mark.parametrize(("task", "given", "text"), [
    ("image-classification", {"k": 1}, r"^unknown parameter 'k'; this task takes tile, top_k, threshold$"),
    ("tensor", {"tile": 32}, r"^unknown parameter 'tile'; this task takes outputs$"),
    ("depth-estimation", {"tile": 32}, r"^unknown parameter 'tile'; this task takes no parameters$"),
    ("image-classification", {"top_k": 10**20}, r"^parameter 'top_k': Input should be less than or equal to 1000000$"),
    ("image-classification", {"tile": 10**20}, r"^parameter 'tile': Input should be less than or equal to 1000000$"),
    ("image-classification", {"top_k": 0}, r"^parameter 'top_k': Input should be greater than or equal to 1$"),
    *(("image-classification", {name: value}, rf"^parameter '{name}': Input should be a number, not true or false$")
      for name in ("top_k", "threshold", "tile") for value in (True, False)),
    ("object-detection", {"iou": True}, r"^parameter 'iou': Input should be a number"),
    ("tensor", {"outputs": True}, r"^parameter 'outputs': Input should be a valid string"),
    ("object-detection", {"iou": "much"}, r"^parameter 'iou': Input should be a valid number"),
    ("object-detection", {"tile": -1}, r"^parameter 'tile': Input should be greater than or equal to 0$")])
def test_a_wrong_parameter_is_named(task: TaskName, given: dict, text: str) -> None:
    with pytest.raises(BadParameter, match=text):
        info_of(task).parameters(given)


def test_a_model_with_hooks_is_not_cut_into_tiles() -> None:
    info = info_of(tiling=TILING, has_hooks=True)
    assert not info.can_tile
    assert info.tiles((1000, 1000), info.parameters({"tile": 0})) is None
    with pytest.raises(BadParameter, match=r"^parameter 'tile': a model with hooks\.py is not cut into tiles$"):
        info.parameters({"tile": 32})


def test_tiles_can_be_asked_of_every_task_whose_results_fit_together() -> None:
    whole = {"tensor", "depth-estimation"}
    assert {task for task in get_args(TaskName) if not info_of(task).can_tile} == whole
    assert {task for task, kind in PARAMETERS.items() if not issubclass(kind, TiledParameters)} == whole


@pytest.mark.parametrize(("wanted", "tiling", "asked", "tile"), [
    (FIXED, None, {}, None), (FIXED, TILING, {}, (64, 64)), (FIXED, TILING, {"tile": 0}, None),
    (FIXED, TILING, {"tile": 50}, (50, 50)), (FIXED, None, {"tile": 50}, (50, 50)),
    (OPEN, None, {"tile": 50}, (64, 64)), (FIXED, TILING, {"tile": 200}, None)])
def test_a_callers_tile_beats_the_models(wanted: InputSpec, tiling: TilingSpec | None, asked: dict,
                                         tile: tuple[int, int] | None) -> None:
    info = info_of(wanted=wanted, tiling=tiling)
    tiles = info.tiles((200, 100), info.parameters(asked))
    assert (tiles and tiles.tile) == tile


def test_too_many_tiles_are_refused() -> None:
    info = info_of()
    with pytest.raises(BadParameter, match="ask for larger ones"):
        info.tiles((5000, 5000), info.parameters({"tile": 8}))


@pytest.mark.parametrize(("known", "asked", "size"), [
    ({}, {}, (32, 32)), ({}, {"tile": 64}, None), ({"has_hooks": True, "preprocesses": True}, {}, None),
    ({"has_hooks": True}, {}, (32, 32)), ({"wanted": replace(FIXED, resize="crop")}, {}, (64, 32))])
def test_an_image_is_decoded_as_small_as_the_model_sees_it(known: dict, asked: dict,
                                                           size: tuple[int, int] | None) -> None:
    info = info_of(**known)
    assert info.decoded_size((200, 100), info.parameters(asked)) == size


@pytest.mark.parametrize(("wanted", "tiling", "runs"), [
    (FIXED, None, 1), (FIXED, TILING, 8), (OPEN, None, 208 * 112 / 256**2), (OPEN, TILING, 8),
    (replace(OPEN, shortest_edge=50, resize="fit"), None, 112 * 64 / 50**2)])
def test_work_is_counted_in_runs_of_the_warm_up(wanted: InputSpec, tiling: TilingSpec | None, runs: float) -> None:
    info = info_of(wanted=wanted, tiling=tiling)
    assert info.runs((200, 100), info.parameters({})) == pytest.approx(runs)


@pytest.mark.parametrize(("wanted", "tiling", "size"), [
    (FIXED, TILING, (32, 32)), (OPEN, TILING, (64, 64)), (OPEN, None, (256, 256)),
    (replace(OPEN, shortest_edge=50), None, (50, 50))])
def test_a_model_is_warmed_up_with_what_it_takes_in_one_run(wanted: InputSpec, tiling: TilingSpec | None,
                                                            size: tuple[int, int]) -> None:
    assert warm_up_size(info_of(wanted=wanted, tiling=tiling).spec) == size


def test_an_image_that_single_pixels_are_picked_from_is_decoded_in_full() -> None:
    large, parameters = (4000, 3000), PARAMETERS["image-classification"]()
    assert info_of(wanted=replace(FIXED, resample="linear")).decoded_size(large, parameters) is None
    assert info_of(wanted=FIXED).decoded_size(large, parameters) == (32, 32)


def test_a_rectangle_is_less_work_than_the_square_of_the_warm_up() -> None:
    wanted = InputSpec("image", (640, 640), resize="letterbox", multiple_of=32)
    info, parameters = info_of(wanted=wanted), PARAMETERS["image-classification"]()
    assert warm_up_size(info.spec) == (640, 640)
    assert info.runs((4000, 2000), parameters) == 0.5
    assert info.runs((500, 500), parameters) == 1
