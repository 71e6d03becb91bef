import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.cost import Snapshot
from inference.engine import Engine
from inference.errors import BadParameter, ModelNotFound, TooManyPixels, UnsupportedImage
from inference.runner import runner
from inference.session import Session
from inference.stop import Stop
from tests.onnx_models import classifier, classifier_logits
from tests.unit.conftest import LABELS, MAX_PIXELS, in_child
from tests.unit.pictures import photo, png_header

T = TypeVar("T")
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
IMAGENET = "[input]\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"
FORKS = 20
FORK_AND_PREDICT = f"""
import os, pathlib, sys
from inference.cost import Snapshot
from inference.engine import Engine
engine = Engine(pathlib.Path(os.environ["MODELS"]), 10**8)
engine.load(before_fork=True)
data = pathlib.Path(os.environ["PICTURE"]).read_bytes()
result = lambda: engine.predict("leaf", engine.open(data), engine.parameters("leaf", {{}})).result
expected = result()
for _ in range({FORKS}):
    child = os.fork()
    if child == 0:
        sys.exit(result() != expected)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Elsewhere:
    """Takes a second of a core for each step."""

    def __init__(self) -> None:
        self.steps = 0

    def run(self, call: Callable[[], T]) -> T:
        self.steps += 1
        return call()

    def core_s(self) -> float:
        return float(self.steps)


def loaded(models_dir: Path, before_fork: bool = False) -> Engine:
    engine = Engine(models_dir, MAX_PIXELS)
    engine.load(before_fork)
    return engine


def with_toml(models_dir: Path, name: str, toml: str, **model: object) -> None:
    classifier(models_dir / name / "model.onnx", **model)  # type: ignore[arg-type]
    (models_dir / name / "model.toml").write_text(toml)


def scores(engine: Engine, name: str, data: bytes) -> dict[str, float]:
    result = engine.predict(name, engine.open(data), engine.parameters(name, {})).result
    return {entry["label"]: entry["score"] for entry in result["predictions"]}


def reference_scores(data: bytes) -> list[float]:
    """The same prediction, as plainly as it can be written."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR))
    batch = ((pixels / 255 - MEAN) / STD).astype(np.float32)[np.newaxis]
    powers = np.exp(classifier_logits(batch, layout="NHWC")[0].astype(float))
    return list(powers / powers.sum())


@pytest.mark.parametrize(("file_format", "size"), [("PNG", (640, 480)), ("JPEG", (40, 60)), ("JPEG", (32, 32))])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_prediction_is_what_a_plain_script_computes(tmp_path: Path, file_format: str, size: tuple[int, int],
                                                      layout: str) -> None:
    with_toml(tmp_path, "leaf", IMAGENET, layout=layout)
    data = photo(size, file_format)
    assert list(scores(loaded(tmp_path), "leaf", data).values()) == pytest.approx(
        sorted(reference_scores(data), reverse=True), abs=1e-5)


def test_scaled_decoding_changes_a_prediction_only_a_little(tmp_path: Path) -> None:
    with_toml(tmp_path, "leaf", IMAGENET)
    data = photo((2000, 1500), quality=90)
    found = scores(loaded(tmp_path), "leaf", data)
    assert [found["0"], found["1"]] == pytest.approx(reference_scores(data), abs=0.01)


def test_a_prediction_tells_what_it_saw_and_where_the_time_went(engine: Engine) -> None:
    prediction = engine.predict("leaf", engine.open(photo((64, 48))), engine.parameters("leaf", {})).to_dict()
    assert (prediction["model_type"], prediction["model_version"]) == ("leaf", "1")
    assert prediction["image"] == {"width": 64, "height": 48, "format": "JPEG"}
    assert {entry["label"] for entry in prediction["result"]["predictions"]} == set(LABELS)
    assert set(prediction["timings_ms"]) == {"decode", "preprocess", "inference", "postprocess"}
    assert all(milliseconds >= 0 for milliseconds in prediction["timings_ms"].values())


def break_toml(folder: Path) -> None:
    (folder / "model.toml").write_text("tsak = 1")


def break_labels(folder: Path) -> None:
    (folder / "labels.txt").write_bytes("fein\nfäule\n".encode("latin-1"))


def break_size_to_nothing(folder: Path) -> None:
    (folder / "model.toml").write_text("[input]\nsize = 0")


def break_size(folder: Path) -> None:
    (folder / "model.toml").write_text("[input]\nsize = 64")


def break_task(folder: Path) -> None:
    (folder / "model.toml").write_text('task = "mind-reading"')


@pytest.mark.parametrize(("spoil", "reason"), [
    (break_toml, "tsak"), (break_labels, "labels.txt"), (break_size, "size"),
    (break_size_to_nothing, "size"), (break_task, "task"),
])
def test_a_model_that_cannot_be_served_says_why_and_the_others_serve(tmp_path: Path, spoil: Callable[[Path], None],
                                                                     reason: str) -> None:
    for name in ("a", "b", "c"):
        classifier(tmp_path / name / "model.onnx")
    spoil(tmp_path / "b")
    engine = loaded(tmp_path)
    assert [(entry.files.name, entry.state) for entry in engine.entries] == [
        ("a", "ready"), ("b", "failed"), ("c", "ready")]
    assert reason in engine.entry("b").reason != ""
    assert not engine.loading
    with pytest.raises(ModelNotFound, match="cannot be served"):
        engine.model("b")


def test_a_model_of_two_pixels_is_served(tmp_path: Path) -> None:
    classifier(tmp_path / "tiny" / "model.onnx", size=2)
    assert loaded(tmp_path).entry("tiny").state == "ready"


def test_an_unknown_model_is_told_with_those_there_are(engine: Engine) -> None:
    with pytest.raises(ModelNotFound, match="there is: empty, leaf"):
        engine.predict("moon", engine.open(photo()), engine.parameters("leaf", {}))


@pytest.mark.parametrize("toml", ["threads = 2", 'providers = ["AzureExecutionProvider", "CPUExecutionProvider"]'])
def test_what_does_not_survive_a_fork_is_loaded_after_it(tmp_path: Path, toml: str) -> None:
    with_toml(tmp_path, "threads", toml)
    classifier(tmp_path / "plain" / "model.onnx")
    engine = loaded(tmp_path, before_fork=True)
    assert [(entry.files.name, entry.state) for entry in engine.entries] == [("plain", "ready"), ("threads", "loading")]
    assert engine.loading


def test_loading_again_loads_only_what_is_missing(tmp_path: Path) -> None:
    classifier(tmp_path / "plain" / "model.onnx")
    engine = loaded(tmp_path)
    model = engine.model("plain")
    engine.load()
    assert engine.model("plain") is model


@pytest.mark.parametrize(("data", "error"), [
    (b"text", UnsupportedImage), (photo()[:600], UnsupportedImage), (png_header(20_000, 10_000), TooManyPixels),
])
def test_a_picture_is_refused_by_what_is_wrong_with_it(engine: Engine, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        engine.predict("leaf", engine.open(data), engine.parameters("leaf", {}))


@pytest.mark.parametrize(("given", "named"), [
    ({"top_k": "many"}, "'top_k'"), ({"top_k": 0}, "'top_k'"), ({"threshold": 2}, "'threshold'"),
    ({"topk": 3}, "unknown parameter 'topk'; this task takes tile, top_k, threshold"),
])
def test_a_wrong_parameter_is_named(engine: Engine, given: dict, named: str) -> None:
    with pytest.raises(BadParameter, match=named):
        engine.parameters("leaf", given)


class OddSession(Session):
    def run(self, feeds: Mapping[str, NDArray], stop: Stop | None = None) -> dict[str, NDArray]:
        return {"logits": np.zeros((1, 9), np.float32)}


def test_outputs_that_do_not_fit_the_task_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.loading.Session", OddSession)
    classifier(tmp_path / "leaf" / "model.onnx")
    assert "outputs do not fit" in loaded(tmp_path).entry("leaf").reason


def test_predicted_cost_grows_with_the_picture(engine: Engine) -> None:
    model = engine.model("leaf")
    small, large = (engine.predict_ms(engine.workload(model, engine.open(photo(size)).info, model.parameters({})))
                    for size in ((64, 64), (1200, 1200)))
    assert 0 < small < large


@pytest.mark.parametrize(("parameters", "steps"), [({}, 2), ({"tile": 32}, 1 + 4)])
def test_a_prediction_is_computed_where_its_caller_says(engine: Engine, parameters: dict, steps: int) -> None:
    elsewhere = Elsewhere()
    token = runner.set(elsewhere)
    try:
        prediction = engine.predict("leaf", engine.open(photo((56, 56))), engine.parameters("leaf", parameters))
    finally:
        runner.reset(token)
    assert elsewhere.steps == steps
    assert sum(prediction.core_ms.values()) == pytest.approx(1000 * elsewhere.core_s())


def test_what_a_prediction_took_is_learned(engine: Engine, models_dir: Path) -> None:
    fresh, shared = loaded(models_dir), Snapshot()
    fresh.measure_decoding()
    model, image = fresh.model("leaf"), fresh.open(photo())
    work = fresh.workload(model, image.info, model.parameters({}))
    fresh.observe(work, model.predict(image, model.parameters({})))

    def exchange(news: Snapshot) -> Snapshot:
        shared.update(news)
        return {}

    fresh.learn(exchange)
    assert {name.rpartition(" ")[0] for name in shared} == {work.decoding.part, work.running.part}
    assert fresh.cost(model)["samples"] == 1


def test_forked_children_predict_the_same_and_leave_cleanly(models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").write_bytes(photo((300, 200)))
    told = in_child(FORK_AND_PREDICT, MODELS=str(models_dir), PICTURE=str(tmp_path / "picture.jpg"))
    assert told.split() == ["0"] * FORKS
