import threading
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference.call_off import CallOff
from inference.errors import InferenceFailed, ModelNotUsable, Overdue
from inference.session import Session, TensorInfo
from tests.onnx_models import classifier, classifier_logits, sleeper
from tests.unit.conftest import in_child

FORKS, AT_ONCE, CHILD_LIMIT_S = 300, 2, 10
# A template of predictors does it so: it loads a model, then it forks. A child that hangs is ended by its alarm, which
# no handler of Python's delays. The freeze keeps the collector from copying the pages that a child shares.
FORK_AND_RUN = f"""
import collections, gc, os, pathlib, signal, sys
import numpy
from inference.session import Session
session = Session(pathlib.Path(os.environ["MODEL"]))
batch = numpy.random.default_rng(0).random((1, 3, 32, 32), numpy.float32)
result = lambda: session.run({{"image": batch}})["logits"].tobytes()
expected, running, ends = result(), [], collections.Counter()
gc.freeze()

def wait_for_first():
    ends[os.waitstatus_to_exitcode(os.waitpid(running.pop(0), 0)[1])] += 1

for _ in range({FORKS}):
    child = os.fork()
    if child == 0:
        signal.alarm({CHILD_LIMIT_S})
        sys.exit(result() != expected)
    running.append(child)
    if len(running) == {AT_ONCE}:
        wait_for_first()
while running:
    wait_for_first()
print(dict(ends))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return classifier(tmp_path / "model.onnx")


def test_importing_it_starts_no_thread() -> None:
    """Telemetry's thread would kill every process that forks."""
    code = "import os, inference.session\nprint(len(os.listdir('/proc/self/task')))"
    assert in_child(code).strip() == "1"


def test_loading_and_running_a_one_threaded_model_starts_no_thread(model: Path) -> None:
    code = ("import os, sys, pathlib, numpy\nfrom inference.session import Session\n"
            "session = Session(pathlib.Path(os.environ['MODEL']))\n"
            "session.run({'image': numpy.zeros((1, 3, 32, 32), numpy.float32)})\n"
            "print(len(os.listdir('/proc/self/task')))")
    assert in_child(code, MODEL=str(model)).strip() == "1"


def test_hundreds_of_forked_children_compute_the_same_and_leave_cleanly(model: Path) -> None:
    assert in_child(FORK_AND_RUN, MODEL=str(model)).strip() == str({0: FORKS})


def test_a_run_can_be_called_off_from_another_thread(tmp_path: Path) -> None:
    session, call_off = Session(sleeper(tmp_path / "model.onnx", 30)), CallOff()
    ending = threading.Timer(0.2, call_off.now, [Overdue("too long")])
    ending.start()
    with pytest.raises(Overdue, match="too long"):
        session.run({"image": np.ones((1, 3, 32, 32), np.float32)}, call_off)
    assert session.run({"image": np.zeros((1, 3, 32, 32), np.float32)})


def test_a_run_that_was_called_off_before_it_began_does_not_begin(model: Path) -> None:
    call_off = CallOff()
    for reason in ("first", "second"):
        call_off.now(Overdue(reason))
    with pytest.raises(Overdue, match="first"):
        Session(model).run({"image": np.zeros((1, 3, 32, 32), np.float32)}, call_off)


def test_it_tells_inputs_and_outputs(model: Path) -> None:
    told = Session(model).interface
    assert told.inputs == (TensorInfo("image", ("batch", 3, 32, 32), "FP32"),)
    assert told.outputs == (TensorInfo("logits", ("batch", 2), "FP32"),)
    assert told.inputs[0].to_dict() == {"name": "image", "shape": ["batch", 3, 32, 32], "datatype": "FP32"}


def test_it_computes_what_the_model_says(model: Path) -> None:
    batch = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    outputs = Session(model).run({"image": batch})
    assert np.allclose(outputs["logits"], classifier_logits(batch), atol=1e-5)


@pytest.mark.parametrize("feeds", [
    {"other": np.zeros((1, 3, 32, 32), np.float32)}, {"image": np.zeros((1, 3, 8, 8), np.float32)},
    {"image": np.zeros((1, 3, 32, 32), np.float64)},
], ids=["name", "shape", "type"])
def test_feeds_that_do_not_fit_are_a_failed_inference(model: Path, feeds: dict) -> None:
    with pytest.raises(InferenceFailed, match="the model failed"):
        Session(model).run(feeds)


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "is empty"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git lfs pull"),
    (b"no model at all", "cannot be loaded"), (b"\x08\x09\x12\x04test", "cannot be loaded"),
], ids=["empty", "lfs pointer", "text", "broken"])
def test_a_file_that_is_no_model_is_told_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelNotUsable, match=reason) as caught:
        Session(path)
    assert "\n" not in str(caught.value)


def test_a_missing_provider_is_named(model: Path) -> None:
    with pytest.raises(ModelNotUsable, match="MoonExecutionProvider"):
        Session(model, ["MoonExecutionProvider"])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_weights_are_found_in_both_forms_of_their_name(model: Path, form: Literal["NFC", "NFD"]) -> None:
    """macOS changes the form of a file's name, and not what the model says of it."""
    image = np.ones((1, 3, 32, 32), np.float32)
    expected, name = Session(model).run({"image": image})["logits"], "딸기.onnx.data"
    onnx.save(onnx.load(model), model, save_as_external_data=True, location=name, size_threshold=0)
    (model.parent / name).rename(model.parent / normalize(form, name))
    assert np.array_equal(Session(model).run({"image": image})["logits"], expected)


def test_a_dimension_whose_name_is_a_number_is_that_number(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", "3", "224", "height"])
    copy = helper.make_tensor_value_info("copy", TensorProto.FLOAT, ["batch", "3", "224", "height"])
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["copy"])], "same", [image], [copy])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    interface = Session(tmp_path / "m.onnx").interface
    assert [tensor.shape for tensor in (*interface.inputs, *interface.outputs)] == [("batch", 3, 224, "height")] * 2
