"""What a web process knows of the predictors, without one: a catalogue with four models, and runs that end at
once or when they are told."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from inference.cost import Amounts
from inference.errors import CalledOff
from inference.model_info import ModelInfo
from inference.registry import Entry
from inference.spec import Finding, InputSpec, ModelSpec, OutputSpec, TensorInfo
from predictors.catalogue import Listing
from predictors.client import Drawing, Prediction, Tensor
from predictors.poison import PoisonImages

T = TypeVar("T")
LABELS = ("healthy", "scorched")
RESULT = {"task": "image-classification", "predictions": [{"label": "gesünd", "score": 0.98}]}
RESULT_JSON = json.dumps(RESULT, ensure_ascii=False).encode()
PREDICTION = Prediction(RESULT_JSON, "1", {"width": 64, "height": 48, "format": "JPEG"},
                        {"decode": 1.5, "preprocess": 0.5, "inference": 3.0, "postprocess": 0.25}, 0.125, ())
DRAWN = b"a drawing"
TENSOR = Tensor(b"numbers", [1, 2], "FP32")
LEAF = ModelInfo(
    ModelSpec("leaf", "1", "image-classification", LABELS, InputSpec("image", (32, 32)),
              OutputSpec({"scores": "logits"}), findings=(Finding("labels", list(LABELS), "labels.txt"),)),
    "fingerprint-of-leaf", (TensorInfo("image", (1, 3, 32, 32), "FP32"),), (TensorInfo("logits", (1, 2), "FP32"),),
    run_ms=2.0)
EMBEDDER = ModelInfo(
    ModelSpec("embedder", "1", "image-feature-extraction", (), InputSpec("image", (32, 32)), OutputSpec({})),
    "fingerprint-of-embedder", (), (), run_ms=2.0)
DECODING: list[tuple[Amounts, float]] = [((1.0, megapixels, megapixels / 4), 0.1 + 8 * megapixels)
                                         for megapixels in (0.01, 1.0, 12.0)]
LISTING = Listing([Entry("embedder", "1", "ready", model=EMBEDDER),
                   Entry("empty", "1", "failed", "model.onnx is empty"), Entry("late", "1", "loading"),
                   Entry("leaf", "1", "ready", model=LEAF)],
                  is_ready=True, decoding=[("decode JPEG 1/1", DECODING), ("decode PNG", DECODING)])


class FakeRun(Generic[T]):
    """A run that ends when it is told, or called off."""

    def __init__(self, begun: bool = True) -> None:
        self.begun, self.progress, self.called_off = begun, (0, 0), False
        self._ended = threading.Event()
        self._answer: T | Exception

    def end(self, answer: T | Exception) -> None:
        self._answer = answer
        self._ended.set()

    def wait(self, timeout_s: float | None) -> bool:
        return self._ended.wait(timeout_s)

    def result(self) -> T:
        assert self._ended.is_set(), "wait() comes first"
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def call_off(self) -> None:
        if not self._ended.is_set():
            self.called_off = True
            self.end(CalledOff("called off"))


@dataclass(frozen=True)
class Question:
    """What was asked."""

    route: str
    model_type: str
    parameters: Mapping[str, Any]
    image: bytes
    tensor_type: str = ""


class FakePredictors:
    """Ends each run with `answer`, each drawing with `drawing`, each other form of a result with `converted`; with None
    when the test tells it to."""

    def __init__(self) -> None:
        self.poison = PoisonImages(Path("/nowhere"))
        self.answer: Prediction | Exception | None = PREDICTION
        self.drawing: bytes | Exception = DRAWN
        self.converted: Tensor | Exception = TENSOR
        self.begin = True
        self.asked: list[Question] = []
        self.runs: list[FakeRun[Prediction]] = []
        self.drawn: list[tuple[bytes, bytes, str, Mapping[str, Any]]] = []
        self.drawn_on: list[str] = []
        self.written: list[tuple[bytes, str]] = []

    def predict(self, route: str, model_type: str, parameters: Mapping[str, Any], image: bytes,
                deadline: float | None = None, tensor_type: str = "", request_id: str = "") -> FakeRun[Prediction]:
        self.asked.append(Question(route, model_type, parameters, image, tensor_type))
        run = FakeRun[Prediction](self.begin)
        self.runs.append(run)
        if self.answer is not None:
            run.end(self.answer)
        return run

    def poison_images(self) -> int:
        return 0

    def draw(self, route: str, image: bytes, result: bytes, media_type: str, style: Mapping[str, Any],
             deadline: float | None = None, request_id: str = "") -> FakeRun[Drawing]:
        self.drawn.append((image, result, media_type, style))
        self.drawn_on.append(route)
        run = FakeRun[Drawing]()
        run.end(self.drawing if isinstance(self.drawing, Exception) else Drawing(self.drawing))
        return run

    def tensor(self, result: bytes, media_type: str, deadline: float | None = None) -> FakeRun[Tensor]:
        self.written.append((result, media_type))
        run = FakeRun[Tensor]()
        run.end(self.converted)
        return run
