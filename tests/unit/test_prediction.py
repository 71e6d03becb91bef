import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.call_off import CallOff
from inference.errors import InferenceFailed, Overdue, UnsupportedImage
from inference.model import LoadedModel
from inference.prediction import PHASES, Batch, one_by_one, predict
from tests.onnx_models import classifier, classifier_logits
from tests.unit.conftest import LABELS, in_child
from tests.unit.images import photo
from tests.unit.predicting import loaded, opened, result, scores

MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
IMAGENET = "[input]\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"
TILED, TILES = {"tile": 32}, 4  # of an image of 56 pixels a side
FORKS = 20
FORK_AND_PREDICT = f"""
import os, pathlib, sys
from tests.unit.predicting import loaded, result
model, data = loaded(pathlib.Path(os.environ["MODELS"]), "leaf"), pathlib.Path(os.environ["IMAGE"]).read_bytes()
expected = result(model, data)
for _ in range({FORKS}):
    child = os.fork()
    if child == 0:
        sys.exit(result(model, data) != expected)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Watched:
    """A model's session that calls `watch` before each run."""

    def __init__(self, model: LoadedModel, watch: Callable[[int], None]) -> None:
        self._session, self._watch, self._runs = model.session, watch, 0

    def run(self, feeds: Mapping[str, NDArray], call_off: CallOff) -> dict[str, NDArray[np.generic]]:
        self._runs += 1
        self._watch(self._runs)
        return self._session.run(feeds, call_off)


class Answering:
    """A session that gives the same outputs for all feeds."""

    def __init__(self, *shape: int) -> None:
        self._outputs = {"logits": np.zeros(shape, np.float32)}

    def run(self, feeds: Mapping[str, NDArray], call_off: CallOff) -> dict[str, NDArray]:
        return self._outputs


def with_session(model: LoadedModel, session: object) -> LoadedModel:
    return replace(model, session=cast(Any, session))


def in_threads(calls: Iterable[Callable[[], Batch]]) -> Iterator[Batch]:
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(lambda call: call(), calls)


@pytest.fixture(scope="module")
def leaf(models_dir: Path) -> LoadedModel:
    return loaded(models_dir, "leaf")


def reference_scores(data: bytes) -> list[float]:
    """The same prediction, as plainly as it can be written."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR))
    batch = ((pixels / 255 - MEAN) / STD).astype(np.float32)[np.newaxis]
    powers = np.exp(classifier_logits(batch, layout="NHWC")[0].astype(float))
    return list(powers / powers.sum())


def normalising(models_dir: Path, layout: str = "NCHW") -> LoadedModel:
    classifier(models_dir / "leaf" / "model.onnx", layout=layout)
    (models_dir / "leaf" / "model.toml").write_text(IMAGENET)
    return loaded(models_dir)


@pytest.mark.parametrize(("file_format", "size"), [("PNG", (640, 480)), ("JPEG", (40, 60)), ("JPEG", (32, 32))])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_prediction_is_what_a_plain_script_computes(tmp_path: Path, file_format: str, size: tuple[int, int],
                                                      layout: str) -> None:
    data = photo(size, file_format)
    assert list(scores(normalising(tmp_path, layout), data).values()) == pytest.approx(
        sorted(reference_scores(data), reverse=True), abs=1e-5)


def test_scaled_decoding_changes_a_prediction_only_a_little(tmp_path: Path) -> None:
    data = photo((2000, 1500), quality=90)
    found = scores(normalising(tmp_path), data)
    assert [found["0"], found["1"]] == pytest.approx(reference_scores(data), abs=0.01)


@pytest.mark.parametrize("parameters", [{}, TILED])
def test_a_prediction_tells_what_it_saw_and_where_the_time_went(leaf: LoadedModel, parameters: dict) -> None:
    found = predict(leaf, opened(photo((64, 48))), leaf.parameters(parameters))
    assert found.image.to_dict() == {"width": 64, "height": 48, "format": "JPEG"}
    assert {entry["label"] for entry in found.result["predictions"]} == set(LABELS)
    assert tuple(found.timings_ms) == PHASES
    assert min(found.timings_ms.values()) >= 0 < min(found.core_ms.values())
    assert set(found.core_ms) == {"decode", "run"}


def test_a_model_with_threads_of_its_own_is_judged_by_the_wall(leaf: LoadedModel) -> None:
    threaded = replace(leaf, info=replace(leaf.info, one_thread=False))
    found = predict(threaded, opened(photo()), leaf.parameters({}))
    phases_ms = [found.timings_ms[phase] for phase in PHASES[1:]]
    assert found.core_ms["run"] == pytest.approx(sum(phases_ms), abs=0.01)


def test_progress_is_told_of_each_batch_of_tiles(leaf: LoadedModel) -> None:
    heard: list[tuple[int, int]] = []
    predict(leaf, opened(photo((56, 56))), leaf.parameters(TILED),
            progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_batches_run_in_the_threads_of_who_asks_and_give_the_same(leaf: LoadedModel) -> None:
    threads: list[int] = []
    watched = with_session(leaf, Watched(leaf, lambda _: threads.append(threading.get_ident())))
    data = photo((56, 56))
    found = predict(watched, opened(data), leaf.parameters(TILED), run_all=in_threads)
    assert found.result == result(leaf, data, **TILED)
    assert len(threads) == TILES
    assert threading.get_ident() not in threads


def test_times_of_batches_side_by_side_add_up_to_the_time_that_passed(leaf: LoadedModel) -> None:
    both = threading.Barrier(2, timeout=10)

    def work(run: int) -> None:
        both.wait()
        time.sleep(0.05)

    began = time.perf_counter()
    found = predict(with_session(leaf, Watched(leaf, work)), opened(photo((56, 32))), leaf.parameters(TILED),
                    run_all=in_threads)
    elapsed_ms = (time.perf_counter() - began) * 1000
    assert 50 <= sum(found.timings_ms.values()) <= elapsed_ms
    assert min(found.timings_ms.values()) >= 0


@pytest.mark.parametrize(("raised", "told"), [
    (InferenceFailed("on purpose"), InferenceFailed), (MemoryError("too large"), MemoryError),
    (ValueError("odd"), InferenceFailed)])
def test_an_error_of_one_batch_is_the_predictions(leaf: LoadedModel, raised: Exception, told: type[Exception]) -> None:
    def fail(run: int) -> None:
        if run == 3:
            raise raised

    for run_all in (one_by_one, in_threads):
        watched = with_session(leaf, Watched(leaf, fail))
        with pytest.raises(told, match=str(raised)):
            predict(watched, opened(photo((56, 56))), leaf.parameters(TILED), run_all=run_all)


def test_a_prediction_that_is_called_off_ends_at_its_next_step(leaf: LoadedModel) -> None:
    call_off, runs = CallOff(), list[int]()
    watched = with_session(leaf, Watched(leaf, runs.append))
    with pytest.raises(Overdue, match="too long"):
        predict(watched, opened(photo((56, 56))), leaf.parameters(TILED), call_off,
                progress=lambda done, total: call_off.now(Overdue("too long")))
    assert runs == [1]
    with pytest.raises(Overdue, match="too long"):
        predict(watched, opened(photo()), leaf.parameters({}), call_off)
    assert runs == [1]


def test_a_truncated_image_is_refused_where_its_pixels_are_needed(leaf: LoadedModel) -> None:
    with pytest.raises(UnsupportedImage):
        result(leaf, photo()[:600])


def test_outputs_that_do_not_fit_the_task_are_told(leaf: LoadedModel) -> None:
    with pytest.raises(InferenceFailed, match="the outputs do not fit the task image-classification"):
        result(with_session(leaf, Answering(1, 9)), photo())


def test_forked_children_predict_the_same_and_leave_cleanly(models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "image.jpg").write_bytes(photo((300, 200)))
    told = in_child(FORK_AND_PREDICT, MODELS=str(models_dir), IMAGE=str(tmp_path / "image.jpg"))
    assert told.split() == ["0"] * FORKS
