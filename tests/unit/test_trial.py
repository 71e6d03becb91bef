"""Models are tried in child processes."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference import trial as module
from inference.repository import SIDE_FILES, Fingerprints, ModelFiles
from inference.trial import TrialResult, Trials
from tests.onnx_models import classifier
from tests.unit.predicting import files_of, loaded

LIMIT_S = 60
HANG = "import time; time.sleep(600)"
Wanted = tuple[ModelFiles, str]


@pytest.fixture
def trials(tmp_path: Path) -> Iterator[Trials]:
    trials = Trials(tmp_path / "trials", places=1)
    yield trials
    trials.end()


def put(tmp_path: Path, hooks: str = "", name: str = "leaf") -> Wanted:
    """A model whose hook does in the child whatever a file might do."""
    folder = tmp_path / "models" / name
    classifier(folder / "model.onnx")
    if hooks:
        (folder / "hooks.py").write_text(hooks + "\ndef postprocess(outputs, context): return []")
    files = files_of(folder.parent, name)
    return files, Fingerprints().of(files)


def result(trials: Trials, wanted: Wanted, **others: Wanted) -> TrialResult:
    """What came of the trial, once it has ended."""
    deadline = time.monotonic() + LIMIT_S
    while (found := trials.known(*wanted)) is None:
        trials.follow({wanted[0].name: wanted, **others})
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def begun(trials: Trials, wanted: dict[str, Wanted]) -> list[int]:
    """The child processes, once a trial of each is under way."""
    deadline = time.monotonic() + LIMIT_S
    while len(trials.pids) < len(wanted):
        trials.follow(wanted)
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return sorted(trials.pids)


def is_gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or ") Z " in status.read_text()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_good_model_is_told_with_what_it_is(trials: Trials, tmp_path: Path) -> None:
    wanted = put(tmp_path)
    assert trials.known(*wanted) is None
    found = result(trials, wanted)
    assert found.info is not None
    assert (found.reason, found.info.fingerprint, found.info.spec) == ("", wanted[1], loaded(tmp_path / "models").spec)
    assert found.info.run_ms > 0
    trials.follow({})
    assert (trials.pids, trials.busy) == (set(), False)
    assert Trials(tmp_path / "trials", 1).known(*wanted) == found


@pytest.mark.parametrize(("hooks", "told"), [
    ("raise ValueError('on purpose')", "hooks.py cannot be run: on purpose (line 1)"),
    ("import numpy; hoard = numpy.ones(1 << 46)", "Unable to allocate"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "SIGABRT"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "want of memory"),
    ("import os; os._exit(3)", "exit code 3"), ("import os; os._exit(0)", "hooks.py leave the process"),
    # The alarm's own action ends native code too; the hook sets it to 1 s.
    ("import signal, ctypes; signal.alarm(1); ctypes.PyDLL(None).sleep(60)", f"longer than {module.TRIAL_S} s"),
], ids=["raises", "takes all memory", "SIGSEGV", "SIGABRT", "SIGKILL", "exit 3", "exit 0", "hangs natively"])
def test_whatever_a_model_does_harms_the_child_only(trials: Trials, tmp_path: Path, hooks: str, told: str) -> None:
    found = result(trials, put(tmp_path, hooks))
    assert (found.info, told in found.reason) == (None, True)


def test_a_thread_of_a_hook_hinders_neither_the_trial_nor_a_fork(trials: Trials, tmp_path: Path) -> None:
    found = result(trials, put(tmp_path, "import threading; threading.Thread(target=threading.Event().wait).start()"))
    assert found.info is not None
    assert (found.reason, found.info.one_thread) == ("", False)


def test_a_trial_that_switches_its_alarm_off_is_ended_all_the_same(trials: Trials, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = put(tmp_path, f"import signal; signal.alarm(0); open({str(tmp_path / 'begun')!r}, 'w')\n{HANG}")
    begun(trials, {"leaf": wanted})
    wait_for(tmp_path / "begun")
    monkeypatch.setattr(module, "GRACE_S", -module.TRIAL_S)
    assert f"longer than {module.TRIAL_S} s" in result(trials, wanted).reason


def test_what_a_trial_prints_fills_no_log(trials: Trials, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = put(tmp_path, "import os\nprint('x' * 15_000_000)\nos.write(2, b'y' * 15_000_000)\n"
                           "raise ValueError('z' * 15_000_000)")
    reason = result(trials, wanted).reason
    assert len(reason) < 2000
    out, err = capfd.readouterr()
    assert 0 < len(out + err) < 200_000


def test_another_file_is_another_trial(trials: Trials, tmp_path: Path) -> None:
    first = put(tmp_path)
    result(trials, first)
    second = put(tmp_path, "x = 1")
    assert trials.known(*second) is None
    assert result(trials, second) != result(trials, first)


def test_files_that_changed_meanwhile_have_no_result(trials: Trials, tmp_path: Path) -> None:
    files, fingerprint = put(tmp_path)
    [child] = begun(trials, {"leaf": (files, "of what lay there before")})
    deadline = time.monotonic() + LIMIT_S
    while child in trials.pids:
        trials.follow({"leaf": (files, "of what lay there before")})
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert trials.known(files, "of what lay there before") is trials.known(files, fingerprint) is None


def test_what_a_model_leaves_behind_is_ended_with_its_trial(trials: Trials, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    wanted = put(tmp_path, f"import subprocess; open({str(pid_file)!r}, 'w').write("
                           "str(subprocess.Popen(['sleep', '250']).pid))")
    assert result(trials, wanted).reason == ""
    deadline = time.monotonic() + 10
    while not is_gone(int(pid_file.read_text())):
        assert time.monotonic() < deadline


def test_slow_trials_give_up_their_places(trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {name: put(tmp_path, HANG, name) for name in ("slow", "slower")}
    good = put(tmp_path, name="good")
    children = begun(trials, slow)
    trials.follow({**slow, "good": good})
    assert (len(trials.pids), trials.busy) == (2, True)
    monkeypatch.setattr(module, "SLOW_S", 0.0)
    assert result(trials, good, **slow).reason == ""
    assert {os.getpriority(os.PRIO_PROCESS, child) for child in children} == {module.SLOW_NICENESS}
    trials.follow(slow)
    assert (sorted(trials.pids), trials.busy) == (children, False)
    trials.end()
    assert all(map(is_gone, children))


def test_no_more_trials_than_a_few_are_under_way_however_slow_they_are(trials: Trials, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_S", 0.0)
    monkeypatch.setattr(module, "MOST_AT_A_TIME", 3)
    slow = {str(number): put(tmp_path, HANG, str(number)) for number in range(5)}
    begun(trials, dict(list(slow.items())[:3]))
    for _ in range(3):
        trials.follow(slow)
    assert len(trials.pids) == 3


def test_a_trial_that_nobody_wants_any_more_is_ended(trials: Trials, tmp_path: Path) -> None:
    wanted = put(tmp_path, f"open({str(tmp_path / 'begun')!r}, 'w')\n{HANG}")
    [child] = begun(trials, {"leaf": wanted})
    wait_for(tmp_path / "begun")
    mended = put(tmp_path, "x = 1")
    trials.follow({"leaf": mended})
    assert is_gone(child)
    assert trials.busy
    assert result(trials, mended).reason == ""
    assert trials.known(*wanted) is None


def test_results_of_a_model_that_is_gone_are_forgotten(trials: Trials, tmp_path: Path) -> None:
    gone, kept = put(tmp_path), put(tmp_path, "raise ValueError", "leaf2")
    for wanted in (gone, kept):
        result(trials, wanted)
    trials.forget("leaf")
    assert trials.known(*gone) is None
    assert trials.known(*kept) is not None


@pytest.mark.parametrize("written", ["no JSON", "{}", '{"reason": "", "info": {}}'])
def test_a_result_that_another_release_wrote_is_none(trials: Trials, tmp_path: Path, written: str) -> None:
    wanted = put(tmp_path)
    result(trials, wanted)
    [file] = (tmp_path / "trials").glob("leaf@1-*")
    file.write_text(written)
    assert trials.known(*wanted) is None


def test_a_full_disk_fails_no_model(trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    wanted = put(tmp_path)
    [child] = begun(trials, {"leaf": wanted})
    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        while child in trials.pids:
            trials.follow({"leaf": wanted})
            time.sleep(0.01)
    assert trials.known(*wanted) is None
    assert result(trials, wanted).reason == ""


def test_a_name_in_any_script_has_its_result_however_many_bytes_it_takes(trials: Trials, tmp_path: Path) -> None:
    wanted = put(tmp_path, name="딸" * 85)
    assert result(trials, wanted).reason == ""
    trials.forget(wanted[0].name)
    assert trials.known(*wanted) is None


def test_a_bare_file_is_tried_without_what_lies_beside_it(trials: Trials, tmp_path: Path) -> None:
    classifier(tmp_path / "models" / "딸기.onnx")
    for name in SIDE_FILES:
        (tmp_path / "models" / name).write_text("no such file")
    files = files_of(tmp_path / "models")
    assert result(trials, (files, Fingerprints().of(files))).reason == ""


def test_what_a_bare_file_lacks_is_asked_for_with_the_place_to_write_it(trials: Trials, tmp_path: Path) -> None:
    classifier(tmp_path / "models" / "leaf.onnx", size="side")
    files = files_of(tmp_path / "models")
    reason = result(trials, (files, Fingerprints().of(files))).reason
    assert "size" in reason
    assert reason.endswith("(first move leaf.onnx into a folder leaf)")


def test_a_nursery_that_is_killed_costs_no_trial(trials: Trials, tmp_path: Path) -> None:
    wanted = put(tmp_path, f"open({str(tmp_path / 'begun')!r}, 'w')\nimport time; time.sleep(1)")
    [child] = begun(trials, {"leaf": wanted})
    wait_for(tmp_path / "begun")
    os.kill(int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert result(trials, wanted).reason == ""


def test_what_a_trial_imports_is_imported_once(trials: Trials, tmp_path: Path) -> None:
    for name in ("first", "second"):
        written = str(tmp_path / f"{name}.parent")
        result(trials, put(tmp_path, f"import os; open({written!r}, 'w').write(str(os.getppid()))", name))
    parents = {path.read_text() for path in tmp_path.glob("*.parent")}
    assert len(parents) == 1
