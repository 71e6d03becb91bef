"""Models are tried in a child process, and what came of it is shared."""

import fcntl
import signal
import threading
import time
from pathlib import Path

import pytest

from inference import trial as module
from inference.engine import Engine
from inference.repository import ModelFiles, scan
from inference.trial import Trials
from tests.onnx_models import classifier
from tests.unit.conftest import MAX_PIXELS


@pytest.fixture
def trials(tmp_path: Path) -> Trials:
    return Trials(tmp_path / "trials")


def put(tmp_path: Path, hooks: str = "") -> ModelFiles:
    """A model whose hook does in the child whatever a file might do."""
    folder = tmp_path / "models" / "leaf"
    classifier(folder / "model.onnx")
    if hooks:
        (folder / "hooks.py").write_text(hooks + "\ndef postprocess(outputs, context): return []")
    return scan(folder.parent)[0]


def reason(trials: Trials, files: ModelFiles) -> str:
    verdict = trials.verdict(files)
    assert verdict is not None
    return verdict.reason


def test_a_good_model_can_be_served(trials: Trials, tmp_path: Path) -> None:
    files = put(tmp_path)
    assert trials.known(files) is None
    assert reason(trials, files) == ""
    assert trials.known(files) == trials.verdict(files)


def test_a_broken_file_is_told_with_its_reason(trials: Trials, tmp_path: Path) -> None:
    files = put(tmp_path, "raise ValueError('on purpose')")
    assert "ValueError: on purpose (line 1)" in reason(trials, files)


@pytest.mark.parametrize(("crash", "told"), [
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "SIGABRT"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory"),
    ("import os; os._exit(3)", "exit code 3"), ("import os; os._exit(0)", "hooks.py leave the process"),
])
def test_a_crash_harms_the_child_only(trials: Trials, tmp_path: Path, crash: str, told: str) -> None:
    files = put(tmp_path, crash)
    engine = Engine(files.folder.parent, MAX_PIXELS, tmp_path / "trials")
    engine.load()
    assert (engine.entry("leaf").state, told in engine.entry("leaf").reason) == ("failed", True)


def test_a_model_that_takes_all_memory_is_told(trials: Trials, tmp_path: Path) -> None:
    files = put(tmp_path, "import numpy; hoard = numpy.ones(1 << 46)")
    assert "Unable to allocate" in reason(trials, files)


def test_a_model_that_hangs_natively_is_ended(trials: Trials, tmp_path: Path) -> None:
    """The alarm's own action ends native code too; here it is set to 1 s by the hook."""
    files = put(tmp_path, "import signal, ctypes; signal.alarm(1); ctypes.PyDLL(None).sleep(60)")
    assert str(module.TRIAL_S) in reason(trials, files)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_another_file_is_another_trial(trials: Trials, tmp_path: Path) -> None:
    first = put(tmp_path)
    trials.verdict(first)
    second = put(tmp_path, "x = 1")
    assert trials.known(second) is None
    trials.verdict(second)
    assert (trials.known(first), trials.known(second)) == (None, trials.verdict(second))


def test_what_a_model_leaves_behind_is_ended_with_its_trial(trials: Trials, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    files = put(tmp_path, f"import subprocess; open({str(pid_file)!r}, 'w').write("
                          "str(subprocess.Popen(['sleep', '250']).pid))")
    assert reason(trials, files) == ""
    left, deadline = Path("/proc") / pid_file.read_text() / "stat", time.monotonic() + 10
    while left.exists() and ") Z " not in left.read_text():
        assert time.monotonic() < deadline


def test_a_start_does_not_wait_for_a_model_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.engine.START_S", 2)
    classifier(tmp_path / "models" / "aaa" / "model.onnx")
    put(tmp_path, "while True: pass")
    engine = Engine(tmp_path / "models", MAX_PIXELS, tmp_path / "trials")
    engine.load(before_fork=True)
    assert not engine.loading
    assert [(entry.files.name, entry.state) for entry in engine.entries] == [("aaa", "ready"), ("leaf", "loading")]
    (tmp_path / "models" / "leaf" / "hooks.py").unlink()
    engine.follow()
    engine.follow()
    assert engine.entry("leaf").state == "ready"


def test_who_waits_for_anothers_trial_waits_no_longer_than_it_may(trials: Trials, tmp_path: Path) -> None:
    files = put(tmp_path)
    (tmp_path / "trials").mkdir()
    with (tmp_path / "trials" / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        began = time.monotonic()
        assert trials.verdict(files, patience_s=0.2) is None
        assert time.monotonic() - began < 5
    assert reason(trials, files) == ""


def test_a_stop_ends_the_trial_that_is_under_way(trials: Trials, tmp_path: Path) -> None:
    files, found = put(tmp_path, f"open({str(tmp_path / 'begun')!r}, 'w')\nwhile True: pass"), []
    thread = threading.Thread(target=lambda: found.append(trials.verdict(files)))
    thread.start()
    while not (tmp_path / "begun").exists():
        assert thread.is_alive()
    trials.end()
    thread.join(timeout=10)
    assert found == [None]
    assert trials.verdict(files) is None
    assert trials.known(files) is None
