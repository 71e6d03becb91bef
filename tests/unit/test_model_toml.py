from pathlib import Path

import pytest

from inference.errors import ModelNotUsable
from inference.findings import providers_of, threads_of
from inference.model_toml import MODEL_TOML, ModelToml, read_toml
from inference.session import CPU

EVERY_KEY = """
task = "object-detection"
labels = ["a", "b"]
threads = 2
providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
[input]
name = "image"
size = { width = 40, height = 30 }
resize = "letterbox"
shortest_edge = 40
longest_edge = 80
anchor = "top-left"
margin = 2.5
fill = [0, 127.5, 255]
resample = "bicubic"
multiple_of = 8
layout = "NHWC"
color = "BGR"
scale = 1
mean = [1.0, 2, 3.0]
std = 4
[output]
activation = "sigmoid"
columns = "box scores"
boxes = "grid"
units = "normalised"
background = "first"
strides = [8, 16, 32]
nms = "all"
threshold = 0.4
iou = 1
normalize = true
range = [-1, 1]
[output.names]
boxes = "b"
[tiling]
tile = 640
overlap = 64
batch = 4
[constants]
threshold = 0.5
sizes = [[640, 480]]
"""


def written(folder: Path, text: str | bytes) -> ModelToml:
    path = folder / MODEL_TOML
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_toml(path)


def test_every_key_is_read(tmp_path: Path) -> None:
    toml = written(tmp_path, EVERY_KEY)
    assert (toml.task, toml.labels, toml.output.names.boxes) == ("object-detection", ("a", "b"), "b")
    assert (toml.input.fill, toml.input.mean, toml.input.std) == ((0.0, 127.5, 255.0), (1.0, 2.0, 3.0), 4.0)
    assert (toml.output.strides, toml.output.range) == ((8, 16, 32), (-1.0, 1.0))
    assert toml.constants == {"threshold": 0.5, "sizes": [[640, 480]]}


def test_no_file_means_no_key(tmp_path: Path) -> None:
    assert read_toml(tmp_path / MODEL_TOML) == ModelToml()


def test_a_file_saved_by_a_windows_editor_is_read(tmp_path: Path) -> None:
    assert written(tmp_path, b"\xef\xbb\xbftask = 'tensor'\r\n").task == "tensor"


def test_threads_and_providers_have_defaults(tmp_path: Path) -> None:
    toml = written(tmp_path, EVERY_KEY)
    assert (threads_of(toml), providers_of(toml)) == (2, ("CUDAExecutionProvider", CPU))
    assert (threads_of(ModelToml()), providers_of(ModelToml())) == (1, (CPU,))


@pytest.mark.parametrize(("text", "told"), [
    ("tsak = 'x'", "model.toml, tsak: there is no such key"),
    ("[input]\nsise = 3", "model.toml, input.sise: there is no such key"),
    ("[input]\nsize = { w = 3 }", "input.size: expected one number of pixels from 1 to 8192, or { width = 640"),
    ("[input]\nsize = { width = 0, height = 3 }", "input.size: expected one number of pixels"),
    ("[input]\nsize = 0", "input.size: expected one number of pixels from 1 to 8192"),
    ("[input]\nsize = 9000", "input.size: expected one number of pixels from 1 to 8192"),
    ("[input]\nresize = 'squash'", "input.resize: expected 'stretch', 'crop', 'letterbox', 'fit' or 'closest'"),
    ("[input]\nlayout = 'CHW'", "input.layout: expected 'NCHW' or 'NHWC'"),
    ("[input]\nmean = 'x'", "input.mean: expected one number, or a list with one number a channel"),
    ("[input]\nstd = [1, 'x']", "input.std: expected one number, or a list with one number a channel"),
    ("[input]\nfill = [1, 2]", "input.fill: expected one number, or a list of three"),
    ("[input]\nfill = 'blue'", 'input.fill: expected one number, or a list of three (red, green, blue), or "mirror"'),
    ("[input]\nmargin = 11", "input.margin: expected a value less than or equal to 10"),
    ("[input]\nscale = 'a'", "input.scale: expected a number"),
    ("[input]\nname = 3", "input.name: expected a text"),
    ("[output]\nactivation = 1", "output.activation: expected 'softmax', 'sigmoid' or 'none'"),
    ("[output]\nthreshold = 2", "output.threshold: expected a value less than or equal to 1"),
    ("[output]\nnormalize = 'maybe'", "output.normalize: expected true or false"),
    ("[output]\nstrides = 8", "output.strides: expected a list of whole numbers"),
    ("[output]\nrange = [0]", "output.range: expected a list of two numbers"),
    ("[output.names]\nbox = 'x'", "output.names.box: there is no such key"),
    ("output = 3", "output: expected a table"),
    ("threads = 0", "threads: expected a value greater than or equal to 1"),
    ("threads = 1.5", "threads: expected a whole number"),
    ("labels = 'cat'", "labels: expected a list of texts"),
    ("labels = [1, 2]", "labels: expected a list of texts"),
    ("task = 'detection'", "task: expected 'image-classification', 'object-detection'"),
    ("[tiling]\nbatch = 100", "tiling.batch: expected a value less than or equal to 64"),
    ("constants = 3", "constants: expected a table"),
    ("task = ", "model.toml is not TOML"),
])
def test_a_wrong_key_or_value_is_told_with_what_to_write(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ModelNotUsable) as raised:
        written(tmp_path, text)
    assert told in str(raised.value)


def test_another_encoding_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match="is not TOML"):
        written(tmp_path, "labels = ['Blattfäule']".encode("latin-1"))
