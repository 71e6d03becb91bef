from pathlib import Path
from typing import Any

import pytest

from inference.errors import ModelNotUsable
from inference.session import CPU, TensorInfo
from inference.spec import (
    DEFAULT,
    LABELS_TXT,
    MODEL_TOML,
    ONNX_SHAPES,
    ModelSpec,
    find_out,
    providers_of,
    read_toml,
    threads_of,
)

OUTPUTS = (TensorInfo("logits", ("batch", 2), "FP32"),)
EVERY_KEY = """
task = "image-classification"
labels = ["a", "b"]
threads = 2
providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
[input]
name = "image"
size = { width = 40, height = 30 }
resize = "letterbox"
layout = "NHWC"
color = "BGR"
scale = 1.0
mean = [1.0, 2.0, 3.0]
std = [4.0]
[output]
activation = "sigmoid"
"""


def image_input(*shape: int | str | None, datatype: str = "FP32") -> tuple[TensorInfo, ...]:
    return (TensorInfo("image", shape, datatype),)


def found(folder: Path, toml: str = "", inputs: tuple[TensorInfo, ...] = image_input("batch", 3, 32, 48),
          outputs: tuple[TensorInfo, ...] = OUTPUTS) -> ModelSpec:
    (folder / MODEL_TOML).write_text(toml)
    return find_out("leaf", "1", folder, read_toml(folder / MODEL_TOML), inputs, outputs)


def source_of(spec: ModelSpec, fact: str) -> str:
    return next(finding.source for finding in spec.findings if finding.fact == fact)


def test_a_model_without_files_is_read_from_its_shapes(tmp_path: Path) -> None:
    spec = found(tmp_path)
    assert (spec.task, spec.labels, spec.activation) == ("image-classification", ("0", "1"), "softmax")
    assert (spec.input.size, spec.input.layout, spec.input.color) == ((48, 32), "NCHW", "RGB")
    assert (spec.input.scale, spec.input.mean, spec.input.std) == (1 / 255, (0.0,) * 3, (1.0,) * 3)
    assert {fact: source_of(spec, fact) for fact in ("task", "labels", "size", "layout", "color", "mean")} == {
        "task": ONNX_SHAPES, "labels": "numbered", "size": ONNX_SHAPES, "layout": ONNX_SHAPES, "color": DEFAULT,
        "mean": DEFAULT}


def test_model_toml_overrides_everything(tmp_path: Path) -> None:
    spec = found(tmp_path, EVERY_KEY)
    assert (spec.labels, spec.activation, spec.input.size) == (("a", "b"), "sigmoid", (40, 30))
    assert (spec.input.layout, spec.input.color, spec.input.resize) == ("NHWC", "BGR", "letterbox")
    assert (spec.input.scale, spec.input.mean, spec.input.std) == (1.0, (1.0, 2.0, 3.0), (4.0, 4.0, 4.0))
    assert {finding.source for finding in spec.findings} == {MODEL_TOML}


def test_threads_and_providers_have_defaults(tmp_path: Path) -> None:
    given, absent = tmp_path / MODEL_TOML, read_toml(tmp_path / "absent.toml")
    given.write_text(EVERY_KEY)
    assert (threads_of(read_toml(given)), providers_of(read_toml(given))) == (2, ("CUDAExecutionProvider", CPU))
    assert (threads_of(absent), providers_of(absent)) == (1, (CPU,))


@pytest.mark.parametrize(("shape", "layout", "color", "size"), [
    ((1, 3, 32, 48), "NCHW", "RGB", (48, 32)), ((None, 32, 48, 3), "NHWC", "RGB", (48, 32)),
    (("n", 1, 28, 28), "NCHW", "L", (28, 28)), (("n", 28, 28, 1), "NHWC", "L", (28, 28)),
])
def test_layout_colour_and_size_follow_the_input_shape(tmp_path: Path, shape: tuple, layout: str, color: str,
                                                       size: tuple[int, int]) -> None:
    image = found(tmp_path, inputs=image_input(*shape)).input
    assert (image.layout, image.color, image.size) == (layout, color, size)


def test_labels_come_from_model_toml_then_labels_txt(tmp_path: Path) -> None:
    (tmp_path / LABELS_TXT).write_text("fine\nill\n")
    from_file, from_toml = found(tmp_path), found(tmp_path, 'labels = ["a", "b"]')
    assert (from_file.labels, source_of(from_file, "labels")) == (("fine", "ill"), LABELS_TXT)
    assert (from_toml.labels, source_of(from_toml, "labels")) == (("a", "b"), MODEL_TOML)


@pytest.mark.parametrize(("toml", "named"), [
    ("tsak = 'x'", "tsak"), ("[input]\nsise = 3", "input.sise"), ("[input]\nresize = 'squash'", "input.resize"),
    ("[input]\nmean = 'x'", "input.mean"), ("threads = 0", "threads"),
    ("[output]\nactivation = 1", "output.activation"),
    ("[input]\nlayout = 'CHW'", "input.layout"), ("task = ", "is not TOML"), ("labels = [1, 2]", "labels"),
    ("[input]\nsize = 0", "input.size"), ("[input]\nsize = { width = 0, height = 3 }", "input.size"),
])
def test_a_wrong_model_toml_names_the_key(tmp_path: Path, toml: str, named: str) -> None:
    with pytest.raises(ModelNotUsable, match=named):
        found(tmp_path, toml)


@pytest.mark.parametrize(("toml", "inputs", "named"), [
    ("", image_input(1, 3, 224), "one input of four dimensions"),
    ("", (*image_input(1, 3, 8, 8), TensorInfo("shape", (2,), "INT64")), "one input of four dimensions"),
    ("[input]\nname = 'other'", image_input(1, 3, 8, 8), "one input of four dimensions"),
    ("", image_input(1, 3, 8, 8, datatype="UINT8"), "UINT8"),
    ("", image_input(1, 3, "h", "w"), "size = 224"),
    ("", image_input(1, None, 8, 8), "layout"),
    ("[input]\nmean = [1.0, 2.0]", image_input(1, 3, 8, 8), "input.mean"),
    ("[input]\nstd = [1.0, 0.0, 1.0]", image_input(1, 3, 8, 8), "input.std"),
    ("labels = ['only one']", image_input(1, 3, 8, 8), "1 labels for 2 classes"),
])
def test_what_cannot_be_found_out_is_told_with_advice(tmp_path: Path, toml: str, inputs: tuple[TensorInfo, ...],
                                                      named: str) -> None:
    with pytest.raises(ModelNotUsable, match=named):
        found(tmp_path, toml, inputs)


def test_one_of_several_inputs_is_chosen_by_name(tmp_path: Path) -> None:
    inputs = (*image_input(1, 3, 8, 8), TensorInfo("mask", (1, 1, 8, 8), "FP32"))
    assert found(tmp_path, "[input]\nname = 'image'", inputs).input.name == "image"


@pytest.mark.parametrize("outputs", [(), (TensorInfo("boxes", (1, 84, 8400), "FP32"),), OUTPUTS * 2])
def test_outputs_of_another_task_need_model_toml(tmp_path: Path, outputs: tuple[TensorInfo, ...]) -> None:
    with pytest.raises(ModelNotUsable, match="task"):
        found(tmp_path, outputs=outputs)


def test_labels_of_another_encoding_are_told(tmp_path: Path) -> None:
    (tmp_path / LABELS_TXT).write_bytes("gesund\nBlattfäule\n".encode("latin-1"))
    with pytest.raises(ModelNotUsable, match=LABELS_TXT):
        found(tmp_path)


def test_findings_can_be_told_as_json(tmp_path: Path) -> None:
    finding: dict[str, Any] = found(tmp_path).findings[0].to_dict()
    assert finding == {"fact": "layout", "value": "NCHW", "source": ONNX_SHAPES}
