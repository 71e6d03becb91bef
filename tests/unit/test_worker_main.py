import json
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from tests.unit.conftest import in_child
from worker import __main__ as main_module

PROBE = """
import json, sys
import worker.__main__
print(json.dumps([name for name in ("onnxruntime", "numpy", "flask", "gevent", "PIL") if name in sys.modules]))
"""


class Pool:
    """Notes what it is given."""

    given: tuple[Any, ...] = ()
    started = False

    def __init__(self, *given: Any) -> None:
        Pool.given = given

    def start(self, logging_level: str) -> None:
        Pool.started = True


def test_a_pool_has_as_many_workers_as_it_should(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "load_settings", lambda: settings)
    monkeypatch.setattr(main_module.logs, "configure", lambda *_: None)
    monkeypatch.setattr(main_module, "Pool", Pool)
    main_module.main()
    assert Pool.started
    assert settings.job_workers in Pool.given
    assert settings.state.spool.is_dir()
    assert settings.state.ended.is_dir()


def test_a_worker_imports_nothing_that_computes() -> None:
    assert set(json.loads(in_child(PROBE))) <= {"PIL"}


def test_pools_of_two_state_folders_have_two_names(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (main_module._pool_name(tmp_path / name) for name in "ab")
    assert first != second
    assert first == main_module._pool_name(tmp_path / "a")
