import os
import resource
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs import server_check
from ops import checks, queue_server
from ops.checks import StartError, check, make_folders
from ops.queue_server import NoQueueServer
from settings import MEGA, Settings
from tests.unit.conftest import MakeSettings


@pytest.fixture
def settings(make_settings: MakeSettings, tmp_path: Path) -> Settings:
    (tmp_path / "models").mkdir()
    return make_settings(redis_url="", bind="127.0.0.1:1", log_dir=tmp_path / "logs")


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_check_port", lambda settings: None)


def with_free_mb(monkeypatch: pytest.MonkeyPatch, free_mb: float) -> None:
    disk = SimpleNamespace(f_blocks=10**6, f_bavail=free_mb * MEGA / 1000, f_frsize=1000)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)


def refusal(settings: Settings) -> str:
    with pytest.raises(StartError) as caught:
        check(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_machine_that_has_all_passes_in_silence(settings: Settings, capsys: pytest.CaptureFixture) -> None:
    make_folders(settings)
    check(settings)
    assert capsys.readouterr().err == ""


def test_too_few_descriptors_are_told_with_what_is_needed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    assert "may open 64 files here, at least 256 are needed" in refusal(settings)


@pytest.mark.parametrize(("hard", "wanted"), [(resource.RLIM_INFINITY, 16384), (10**6, 16384), (1000, 1000)])
def test_descriptors_are_as_many_as_are_useful_and_allowed(monkeypatch: pytest.MonkeyPatch, hard: int,
                                                           wanted: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, hard))
    assert checks.open_files() == wanted


def test_a_full_disk_is_told_and_a_nearly_full_one_is_a_warning(settings: Settings, monkeypatch: pytest.MonkeyPatch,
                                                                capsys: pytest.CaptureFixture) -> None:
    make_folders(settings)
    with_free_mb(monkeypatch, 0.2)
    assert "its disk is full (0.2 MB are free, 1 are needed): make room there" in refusal(settings)
    with_free_mb(monkeypatch, 5)
    check(settings)
    assert "is nearly full (5.0 MB are free)" in capsys.readouterr().err


def test_a_queue_server_is_only_needed_where_there_is_none_elsewhere(
        settings: Settings, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise NoQueueServer("none")

    make_folders(settings)
    monkeypatch.setattr(queue_server, "find", missing)
    assert refusal(settings) == "none"
    check(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"}))


def test_what_is_wrong_with_a_queue_server_elsewhere_is_told(settings: Settings, capsys: pytest.CaptureFixture,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    make_folders(settings)
    outside = settings.model_copy(update={"redis_url": "redis://elsewhere"})
    monkeypatch.setattr(server_check, "warnings", lambda _: ["it is a replica"])
    check(outside)
    assert capsys.readouterr().err == "punnet: it is a replica\n"

    def unfit(_: Settings) -> list[str]:
        raise server_check.UnfitServer("it is too old")

    monkeypatch.setattr(server_check, "warnings", unfit)
    assert refusal(outside) == "it is too old"


def test_what_was_open_to_others_is_private_after_a_start(settings: Settings, tmp_path: Path) -> None:
    settings.state_dir.mkdir()
    settings.log_dir.mkdir()
    for name in ("access.log", "worker.log.1", "notes.txt"):
        (settings.log_dir / name).touch()
        (settings.log_dir / name).chmod(0o666)
    settings.state_dir.chmod(0o777)
    make_folders(settings)
    assert stat.S_IMODE(settings.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.state.ended.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in settings.log_dir.iterdir()} == {
        "access.log": 0o600, "worker.log.1": 0o600, "notes.txt": 0o666}
