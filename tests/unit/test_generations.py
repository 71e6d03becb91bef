"""Parent, templates and predictors as they run: whatever is swapped or killed, who asks is answered."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from ops.processes import children
from predictors.catalogue import Catalogue
from predictors.client import Predictors
from predictors.protocol import ROUTES, Route
from settings import ROOT
from state_dir import StateDir
from tests.onnx_models import classifier
from tests.unit.images import photo

IMAGE = photo()
AZURE = 'providers = ["AzureExecutionProvider", "CPUExecutionProvider"]\n'  # it counts as a device, and runs on any CPU


FAILS_AFTER_ITS_TRIAL = '''
import sys
if "predictors" in sys.orig_argv:
    raise ValueError("on purpose")
def postprocess(outputs, context):
    return []
'''


class Instance:
    """A parent that runs, and what asks its predictors."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.models, self.state = folder, folder / "models", StateDir(folder / "state")
        self.models.mkdir()
        self.state.root.mkdir()
        self.catalogue = Catalogue(self.state.catalogue)
        self.predictors = Predictors(self.state, self.catalogue)

    def put(self, name: str, classes: int, toml: str = "", hooks: str = "") -> None:
        """Put a model that knows so many classes there, as a whole."""
        partial = self.folder / "partial"
        classifier(partial / "model.onnx", classes=classes)
        (partial / "model.toml").write_text(toml)
        if hooks:
            (partial / "hooks.py").write_text(hooks)
        shutil.rmtree(self.models / name, ignore_errors=True)
        partial.rename(self.models / name)

    def start(self) -> None:
        variables = {"PUNNET_STATE_DIR": str(self.state.root), "PUNNET_MODELS_DIR": str(self.models),
                     "PUNNET_PREDICTORS": "1", "PUNNET_JOB_WORKERS": "1"}
        with (self.folder / "log").open("a") as log:
            self.parent = subprocess.Popen([sys.executable, "-m", "predictors"], cwd=ROOT, env=os.environ | variables,
                                           stdout=log, stderr=log)

    def processes(self, name: str) -> list[int]:
        """Those below the parent that `ps` shows by this name."""
        return [pid for pid in below(self.parent.pid) if shown(pid) == name]

    def only(self, name: str) -> int:
        """The one process of this name, once those of generations before have ended."""
        self.until(lambda: len(self.processes(name)) == 1)
        return self.processes(name)[0]

    def descriptors(self) -> int:
        """How many the template holds."""
        return len(list(Path(f"/proc/{self.only('punnet-templ')}/fd").iterdir()))

    def classes(self, model: str, route: Route = "quick") -> int:
        """How many classes the model knows that answers."""
        run = self.predictors.predict(route, model, {"top_k": 10}, IMAGE, time.monotonic() + 30)
        assert run.wait(30), self.log()
        return len(orjson.loads(run.result().result)["predictions"])

    def until(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)

    def is_ready(self, *models: str) -> bool:
        ready = [entry.name for entry in self.catalogue.entries if entry.state == "ready"]
        return sorted(ready) == sorted(models)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def end(self) -> int:
        """SIGTERM, and whether all processes are gone then: the parent's exit code."""
        everybody = below(self.parent.pid)
        self.parent.terminate()
        code = self.parent.wait(20)
        assert not [pid for pid in everybody if Path(f"/proc/{pid}").exists()]
        return code


def below(pid: int) -> list[int]:
    found = children(pid)
    return [*found, *(lower for child in found for lower in below(child))]


def count_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def shown(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextmanager
def under_load(instance: Instance, model: str) -> Iterator[list[object]]:
    """Questions on all routes the whole time; what they were answered, or the error that ends a thread."""
    answers: list[object] = []
    is_over = threading.Event()

    def ask(route: Route) -> None:
        while not is_over.is_set():
            try:
                answers.append(instance.classes(model, route))
                is_over.wait(0.05)  # cores are left for what is to happen meanwhile
            except Exception as error:
                answers.append(error)
                raise

    asking = [threading.Thread(target=ask, args=(route,)) for route in ROUTES]
    for thread in asking:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in asking:
            thread.join(30)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    instance = Instance(tmp_path_factory.mktemp("generations"))
    instance.put("leaf", 2)
    instance.put("gpu", 4, AZURE)
    instance.put("odd", 2, "threads = 2\n", FAILS_AFTER_ITS_TRIAL)
    instance.start()
    try:
        instance.until(lambda: instance.is_ready("gpu", "leaf") and instance.catalogue.is_ready)
        yield instance
    finally:
        instance.parent.kill()
        instance.parent.wait(10)


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_is_served_after_the_first_start(instance: Instance, route: Route) -> None:
    assert [instance.classes(model, route) for model in ("leaf", "gpu")] == [2, 4]


def test_a_model_that_predictors_cannot_load_does_not_take_the_others_with_it(instance: Instance) -> None:
    instance.until(lambda: instance.catalogue.entry("odd").state == "failed")
    assert "on purpose" in instance.catalogue.entry("odd").reason
    assert instance.classes("leaf") == 2


def test_a_device_is_held_by_one_process(instance: Instance) -> None:
    device = instance.only("punnet-device")
    os.kill(device, signal.SIGSTOP)
    try:
        inline, job = (instance.predictors.predict(route, "gpu", {}, IMAGE) for route in ("quick", "job"))
        assert not inline.wait(0.1)
        assert not job.wait(0.1)
    finally:
        os.kill(device, signal.SIGCONT)
    assert inline.wait(10)
    assert job.wait(10)


@pytest.mark.parametrize("name", ["punnet-quick", "punnet-templ"])
def test_whoever_is_killed_all_questions_are_answered(instance: Instance, name: str) -> None:
    with under_load(instance, "leaf") as answers:
        instance.until(lambda: len(answers) > 3)
        killed = instance.only(name)
        os.kill(killed, signal.SIGKILL)
        instance.until(lambda: len(instance.processes(name)) == 1 and instance.processes(name) != [killed])
        assert instance.classes("leaf") == 2
    assert set(answers) == {2}


def test_models_are_swapped_added_and_removed_under_load(instance: Instance) -> None:
    held = instance.descriptors()
    with under_load(instance, "leaf") as answers:
        instance.put("leaf", 3)
        instance.put("threads", 5, "threads = 2\n")
        shutil.rmtree(instance.models / "gpu")
        instance.until(lambda: 3 in answers and instance.is_ready("leaf", "threads"))
    assert set(answers) == {2, 3}
    assert instance.descriptors() <= held  # a device's predictor has one, and is gone
    assert instance.processes("punnet-device") == []


def test_a_models_threads_are_started_after_the_fork(instance: Instance) -> None:
    assert [instance.classes("threads", route) for route in ROUTES] == [5, 5, 5]
    assert count_threads(instance.only("punnet-templ")) == 1
    assert count_threads(instance.only("punnet-quick")) >= 3  # its own, one that looks for hang-ups, the model's


def test_the_parent_waits_without_computing(instance: Instance) -> None:
    def spent() -> float:
        fields = Path(f"/proc/{instance.parent.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = spent()
    time.sleep(0.3)
    assert spent() - before < 0.1


def test_a_killed_parent_is_followed_by_another_that_answers(instance: Instance) -> None:
    with under_load(instance, "leaf") as answers:
        instance.until(lambda: len(answers) > 3)
        everybody = below(instance.parent.pid)
        instance.parent.kill()
        instance.parent.wait(10)
        instance.until(lambda: not any(shown(pid) for pid in everybody))
        instance.start()
        count = len(answers)
        instance.until(lambda: len(answers) > count + 6)
    assert set(answers) == {3}


def test_sigterm_lets_the_answers_end_and_leaves_no_process(instance: Instance) -> None:
    assert instance.end() == 0
