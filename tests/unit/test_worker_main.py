from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from settings import Settings
from tests.onnx_models import classifier
from worker import __main__ as main_module


class Pool:
    """Notes what it is given."""

    given: tuple[Any, ...] = ()
    started = False

    def __init__(self, *given: Any) -> None:
        Pool.given = given

    def start(self, logging_level: str) -> None:
        Pool.started = True


@pytest.fixture
def run_main(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """`python -m worker` with a model of one thread and one of two; the changes of priority."""
    for name, toml in (("plain", ""), ("threads", "threads = 2")):
        classifier(settings.models_dir / name / "model.onnx")
        (settings.models_dir / name / "model.toml").write_text(toml)
    niceness: list[int] = []
    monkeypatch.setattr(main_module, "load_settings", lambda: settings)
    monkeypatch.setattr(main_module.os, "nice", niceness.append)
    monkeypatch.setattr(main_module.logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(main_module, "WarmPool", Pool)
    main_module.main()
    return niceness


def test_jobs_give_way_to_inline_work(run_main: list[int]) -> None:
    assert run_main == [main_module.NICENESS]
    assert Pool.started


def test_only_models_that_survive_a_fork_are_loaded_before_it(run_main: list[int], redis: Redis) -> None:
    runtime_of = Pool.given[2]
    assert {entry.files.name: entry.state for entry in runtime_of(redis).engine.entries} == {
        "plain": "ready", "threads": "loading"}


def test_pools_of_two_state_folders_have_two_names(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (main_module._pool_name(tmp_path / name) for name in "ab")
    assert first != second
    assert first == main_module._pool_name(tmp_path / "a")
