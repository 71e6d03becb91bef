"""A model's files become a model that can predict, or a sentence about why they cannot."""

import os
import time
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from inference.errors import ModelNotUsable
from inference.findings.sources import GRAPH
from inference.loading import load, reason_of
from inference.session import Session
from tests.onnx_models import classifier, heavy
from tests.unit.images import photo
from tests.unit.predicting import files_of, loaded, result, scores


def put(models_dir: Path, **files: str) -> None:
    classifier(models_dir / "leaf" / "model.onnx")
    for name, content in files.items():
        (models_dir / "leaf" / name.replace("_", ".")).write_bytes(content.encode("latin-1"))


@pytest.mark.parametrize(("files", "reason"), [
    ({"model_toml": "tsak = 1"}, "tsak"), ({"labels_txt": "fein\nfäule\n"}, "labels.txt"),
    ({"model_toml": "[input]\nsize = 64"}, "size"), ({"model_toml": "[input]\nsize = 0"}, "size"),
    ({"model_toml": 'task = "mind-reading"'}, "task"),
    ({"hooks_py": "def preprocess(image): return image"}, "cannot predict a test image"),
], ids=["key", "labels", "other size", "no size", "task", "hooks"])
def test_files_that_cannot_be_served_say_why(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    put(tmp_path, **files)
    with pytest.raises(ModelNotUsable, match=reason) as raised:
        loaded(tmp_path)
    assert reason_of(raised.value) == str(raised.value)


def test_a_model_of_two_pixels_can_be_served(tmp_path: Path) -> None:
    classifier(tmp_path / "tiny" / "model.onnx", size=2)
    assert loaded(tmp_path).info.run_ms > 0


@pytest.mark.parametrize(("toml", "one_thread", "on_device"), [
    ("", True, False), ("threads = 2", False, False),
    ('providers = ["AzureExecutionProvider", "CPUExecutionProvider"]', False, True)])
def test_it_is_told_what_survives_a_fork_and_what_runs_on_a_device(tmp_path: Path, toml: str, one_thread: bool,
                                                                   on_device: bool) -> None:
    put(tmp_path, model_toml=toml)
    info = loaded(tmp_path).info
    assert (info.one_thread, info.on_device) == (one_thread, on_device)


def test_what_a_trial_found_out_is_not_found_out_again(tmp_path: Path) -> None:
    put(tmp_path)
    tried = loaded(tmp_path)
    again = load(files_of(tmp_path), tried.info)
    assert again.info is tried.info
    assert result(again, photo()) == result(tried, photo())


def test_scores_that_sum_to_1_get_no_second_softmax(tmp_path: Path) -> None:
    put(tmp_path)
    logits = loaded(tmp_path)
    path = tmp_path / "leaf" / "model.onnx"
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "plain"
    model.graph.node.append(helper.make_node("Softmax", ["plain"], ["logits"]))
    onnx.save(model, path)
    shares = loaded(tmp_path)
    assert [finding.source for finding in shares.spec.findings if finding.fact == "activation"] == [GRAPH]
    assert GRAPH not in [finding.source for finding in logits.spec.findings]
    assert scores(shares, photo()) == pytest.approx(scores(logits, photo()), abs=1e-5)


def test_weights_beside_a_model_may_be_overwritten_while_it_serves(tmp_path: Path) -> None:
    """Mapped into memory they would end the process by SIGBUS."""
    path = heavy(tmp_path / "wide" / "model.onnx", 8)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = loaded(tmp_path)
    before = result(model, photo())
    os.truncate(path.parent / "weights.bin", 100)
    assert result(model, photo()) == before
    with pytest.raises(ModelNotUsable, match="the file with its weights is truncated"):
        loaded(tmp_path)


@pytest.mark.parametrize(("error", "reason"), [
    (ModelNotUsable("export it again"), "export it again"),
    (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
    (MemoryError(), "needs more memory than this machine has"), (ValueError("odd"), "(odd)")])
def test_whatever_a_models_files_bring_is_a_reason(error: Exception, reason: str) -> None:
    assert reason in reason_of(error)


def test_a_slow_model_is_run_twice_only_in_its_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once to see what it answers, once to measure it: a trial has 120 s."""
    put(tmp_path)
    runs: list[float] = []
    run = Session.run

    def slow(self: Session, *arguments: Any) -> Any:
        runs.append(time.monotonic())
        busy_until = time.process_time() + 0.2
        while time.process_time() < busy_until:
            pass
        return run(self, *arguments)

    monkeypatch.setattr(Session, "run", slow)
    monkeypatch.setattr("inference.loading.ENOUGH_MS", 100)
    loaded(tmp_path)
    assert len(runs) == 2


def test_a_model_that_prepares_its_own_input_is_not_warned_of_it(tmp_path: Path) -> None:
    hook = "import numpy\ndef preprocess(image): return numpy.zeros((1, 3, 32, 32), numpy.float32)"
    put(tmp_path, hooks_py=hook)
    assert loaded(tmp_path).spec.warnings == ()
