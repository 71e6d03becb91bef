import json
from pathlib import Path

import pytest

from api.waiting import FILE_BYTES
from settings import ROOT
from tests.unit.conftest import in_child

# Told as JSON: the values of the configuration, and the names of all settings that gunicorn knows. Modules and what
# was imported from them are no settings.
TELL = f"""
import json, runpy, types
values = runpy.run_path({str(ROOT / "gunicorn" / "gunicorn_cfg.py")!r})
from gunicorn.config import KNOWN_SETTINGS
imported = lambda value: isinstance(value, types.ModuleType) or getattr(value, "__module__", "<run_path>") not in (
    "<run_path>", "__main__")
own = {{name: value for name, value in values.items() if not name.startswith("_") and not imported(value)}}
print(json.dumps({{"own": own, "known": [setting.name for setting in KNOWN_SETTINGS]}}, default=repr))
"""


def told(**variables: str) -> dict:
    return json.loads(in_child(TELL, **variables))


@pytest.fixture(scope="module")
def configuration() -> dict:
    return told()


def test_every_name_is_a_setting_of_gunicorn(configuration: dict) -> None:
    """gunicorn ignores a misspelt one in silence."""
    assert set(configuration["own"]) - set(configuration["known"]) == set()
    assert len(configuration["own"]) > 10


def test_the_values_that_others_rely_on(configuration: dict) -> None:
    own = configuration["own"]
    assert own["worker_class"] == "gevent"
    assert own["bind"] == "127.0.0.1:4958"
    assert own["control_socket_disable"] is True
    assert own["preload_app"] is True
    assert own["capture_output"] is True
    assert own["errorlog"].endswith("/error.log")


@pytest.mark.parametrize("patience_s", ["1", "3", "30"])
def test_an_idle_connection_does_not_use_up_the_patience_of_a_stop(patience_s: str) -> None:
    own = told(PUNNET_STOP_TIMEOUT_S=patience_s)["own"]
    assert own["graceful_timeout"] == int(patience_s)
    assert own["keepalive"] < own["graceful_timeout"] or own["graceful_timeout"] == 1


def test_the_app_is_imported_after_the_fork_where_it_is_to_be_reloaded() -> None:
    assert told(PUNNET_RELOAD="1")["own"]["preload_app"] is False


def test_the_waiting_work_of_a_dead_web_process_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "waiting").write_bytes(b"\1" * FILE_BYTES)
    in_child(f"""
import runpy
runpy.run_path({str(ROOT / "gunicorn" / "gunicorn_cfg.py")!r})["child_exit"](None, None)
""", PUNNET_STATE_DIR=str(tmp_path))
    assert not any((tmp_path / "waiting").read_bytes())


def test_numbers_and_places_follow_the_settings() -> None:
    own = told(PUNNET_WORKERS="3", PUNNET_BIND="127.0.0.1:5000", PUNNET_LOG_LEVEL="all", PUNNET_LOG_DIR="logs")["own"]
    assert (own["workers"], own["bind"], own["loglevel"]) == (3, "127.0.0.1:5000", "debug")
    assert own["errorlog"] == str(ROOT / "logs" / "error.log")


def test_the_worker_has_the_methods_that_we_replace() -> None:
    code = """
from gunicorn.workers.ggevent import GeventWorker
print(*(callable(getattr(GeventWorker, name)) for name in ("handle", "handle_error", "timeout_ctx")))
"""
    assert in_child(code).split() == ["True"] * 3


def test_connections_that_were_opened_together_are_not_closed_together() -> None:
    code = f"""
import runpy
configuration = runpy.run_path({str(ROOT / "gunicorn" / "gunicorn_cfg.py")!r})
seconds = [configuration["_silence"]().seconds for _ in range(1000)]
print(min(seconds) >= 0.5 * configuration["keepalive"], max(seconds) <= configuration["keepalive"],
      len({{round(second, 1) for second in seconds}}) > 10)
"""
    assert in_child(code).split() == ["True"] * 3


def test_gevent_patches_before_anything_else_is_imported() -> None:
    code = f"""
import runpy, sys
from gevent import monkey
before = set(sys.modules)
patch_all, seen = monkey.patch_all, []
monkey.patch_all = lambda: (seen.extend(set(sys.modules) - before), patch_all())
runpy.run_path({str(ROOT / "gunicorn" / "gunicorn_cfg.py")!r})
print("settings" in seen or "pydantic" in seen, monkey.is_module_patched("socket"))
"""
    assert in_child(code).split() == ["False", "True"]
