import os
import re
from pathlib import Path

import pytest

from predictors.protocol import DEVICE_ROUTES, ROUTES
from settings import MAX_SOCKET_PATH_BYTES, ROOT, Settings, SettingsError, load_settings

MOST_BYTES = 107  # of a path in sockaddr_un


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def set_variables(environment: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        environment.setenv(f"PUNNET_{name}", value)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert (settings.bind, settings.host, settings.port) == ("127.0.0.1:4958", "127.0.0.1", 4958)
    assert (settings.state_dir, settings.log_dir, settings.models_dir, settings.image_root) == (
        ROOT / "var", ROOT / "gunicorn", ROOT / "models", ROOT / "samples")
    assert (settings.quick_ms, settings.inline_budget_ms) == (25, 250)
    assert (settings.max_upload_bytes, settings.max_pixels, settings.inflight_mb) == (32_000_000, 100_000_000, 256)
    assert settings.decoded_bytes == 1_024_000_000
    assert (settings.queue_max_jobs, settings.queue_max_mb, settings.wait_max_s) == (1000, 512, 60)
    assert (settings.job_timeout_s, settings.result_ttl_s, settings.stop_timeout_s) == (300, 3600, 30)
    assert settings.embedded
    assert (settings.read_keys(), settings.has_keys) == ((), False)


def test_processes_of_each_kind_are_as_many_as_the_cores(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(os, "sched_getaffinity", lambda _: range(1))
    settings = load_settings()
    assert (settings.workers, settings.predictors, settings.job_workers) == (1, 1, 1)


@pytest.mark.parametrize(("name", "value", "told"), [
    ("WORKERS", "many", "PUNNET_WORKERS=many"), ("WORKERS", "0", "PUNNET_WORKERS=0"),
    ("QUICK_MS", "-1", "PUNNET_QUICK_MS=-1"), ("LOG_LEVEL", "loud", "PUNNET_LOG_LEVEL=loud"),
    ("BIND", "nowhere", "PUNNET_BIND=nowhere"), ("BIND", "127.0.0.1:0", "PUNNET_BIND"),
    ("BIND", "127.0.0.1:70000", "PUNNET_BIND"), ("BIND", "::1:4958", "PUNNET_BIND"),
    ("BIND", "local host:4958", "PUNNET_BIND"), ("API_KEYS", "onlyakey", "PUNNET_API_KEYS"),
    ("API_KEYS", "name:", "PUNNET_API_KEYS"), ("API_KEYS", "name:\u0142", "PUNNET_API_KEYS: the key of 'name'"),
    ("CORS_ORIGINS", "a.org", "PUNNET_CORS_ORIGINS=a.org"), ("ALLOWED_HOSTS", "a:80", "PUNNET_ALLOWED_HOSTS=a:80"),
    ("URL_PREFIX", "punnet", "PUNNET_URL_PREFIX=punnet"), ("REDIS_URL", "http://x", "PUNNET_REDIS_URL"),
    ("ROLES", "web,cook", "PUNNET_ROLES=web,cook"), ("ROLES", "jobs", "PUNNET_ROLES=jobs needs PUNNET_REDIS_URL"),
    ("QUEUE", "a:b", "PUNNET_QUEUE=a:b"), ("QUEUE", "rq", "PUNNET_QUEUE=rq"), ("QUEUE", "*", "PUNNET_QUEUE"),
    ("ALLOW_ANONYMOUS", "perhaps", "PUNNET_ALLOW_ANONYMOUS=perhaps"), ("PREDICTORS", "0", "PUNNET_PREDICTORS=0"),
    ("DECODED_MB", "1", "PUNNET_DECODED_MB=1"), ("QUEUE_MAX_JOBS", "0", "PUNNET_QUEUE_MAX_JOBS=0"),
    ("MAX_UPLOAD_MB", "nan", "PUNNET_MAX_UPLOAD_MB=nan"), ("WAIT_MAX_S", "inf", "PUNNET_WAIT_MAX_S=inf"),
    ("INFLIGHT_MB", "inf", "PUNNET_INFLIGHT_MB=inf"), ("STATE_DIR", "/tmp/" + "x" * 90, "PUNNET_STATE_DIR"),
    ("LOG_DIR", "~nobody-here/logs", "PUNNET_LOG_DIR=~nobody-here/logs"), ("QUICK_MS", "two\nlines", "PUNNET_QUICK_MS"),
])
def test_a_wrong_value_is_one_line_that_names_it(environment: pytest.MonkeyPatch, name: str, value: str,
                                                 told: str) -> None:
    set_variables(environment, **{name: value})
    with pytest.raises(SettingsError, match=told) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "secret"), [
    ("API_KEYS", "s3cret"), ("REDIS_URL", "http://:s3cret@host"), ("WEBHOOK_SECRET", "whsec_s3cret"),
    ("WEBHOOK_SECRET", "s3cret" * 8)])
def test_a_wrong_secret_is_not_printed(environment: pytest.MonkeyPatch, name: str, secret: str) -> None:
    set_variables(environment, **{name: secret})
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("bind", ["0.0.0.0:4958", "192.168.1.2:80", "[::]:4958", "example.org:80"])
def test_an_open_address_without_keys_is_refused(environment: pytest.MonkeyPatch, bind: str) -> None:
    set_variables(environment, BIND=bind)
    with pytest.raises(SettingsError, match="PUNNET_API_KEYS"):
        load_settings()


@pytest.mark.parametrize("permission", [
    {"API_KEYS": "me:key"}, {"API_KEYS_FILE": "keys"}, {"ALLOW_ANONYMOUS": "1"}])
def test_an_open_address_is_allowed_with_keys_or_on_purpose(environment: pytest.MonkeyPatch,
                                                            permission: dict[str, str]) -> None:
    set_variables(environment, BIND="0.0.0.0:4958", **permission)
    assert not load_settings().is_loopback


@pytest.mark.parametrize(("bind", "host", "port"), [
    ("[::1]:80", "::1", 80), ("localhost:5000", "localhost", 5000), ("127.8.8.8:65535", "127.8.8.8", 65535)])
def test_loopback_addresses_need_no_keys(environment: pytest.MonkeyPatch, bind: str, host: str, port: int) -> None:
    set_variables(environment, BIND=bind)
    assert (load_settings().host, load_settings().port, load_settings().is_loopback) == (host, port, True)


def test_keys_are_read_without_their_names(environment: pytest.MonkeyPatch) -> None:
    set_variables(environment, API_KEYS="me:one, you:with:colon,")
    assert load_settings().read_keys() == ("one", "with:colon")


def test_keys_of_a_file_come_beside_those_of_the_variable_and_are_read_anew(environment: pytest.MonkeyPatch,
                                                                            tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbfphone:two\r\n")  # as an editor of Windows writes it
    set_variables(environment, API_KEYS="me:one", API_KEYS_FILE=str(file), BIND="0.0.0.0:80")
    settings = load_settings()
    assert settings.read_keys() == ("one", "two")
    file.write_text("phone:three")
    assert settings.read_keys() == ("one", "three")


@pytest.mark.parametrize("content", [None, "", "s3cret", "me:s3crét", b"me:s3cret\xff"])
def test_a_file_that_holds_no_keys_is_one_line_that_names_it_and_tells_no_key(
        environment: pytest.MonkeyPatch, tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    set_variables(environment, API_KEYS_FILE=str(file))
    with pytest.raises(SettingsError, match=f"PUNNET_API_KEYS_FILE={file}") as caught:
        load_settings().read_keys()
    assert "\n" not in str(caught.value)
    assert "s3cr" not in str(caught.value)


def test_an_empty_variable_is_an_unset_one(environment: pytest.MonkeyPatch) -> None:
    set_variables(environment, WORKERS="", BIND="", REDIS_URL="", MODELS_DIR="")
    assert load_settings() == Settings()
    assert load_settings().models_dir == ROOT / "models"


def test_an_empty_image_root_turns_paths_off(environment: pytest.MonkeyPatch) -> None:
    set_variables(environment, IMAGE_ROOT="")
    assert load_settings().image_root is None


def test_relative_paths_are_from_the_projects_root(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.chdir(tmp_path)
    set_variables(environment, MODELS_DIR="mine", IMAGE_ROOT=str(tmp_path))
    assert (load_settings().models_dir, load_settings().image_root) == (ROOT / "mine", tmp_path)


def test_a_dot_env_file_is_read_and_the_environment_beats_it(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PUNNET_QUICK_MS=7\nPUNNET_WORKERS=3\nOTHER=1\n")
    environment.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    set_variables(environment, WORKERS="5")
    assert (load_settings().quick_ms, load_settings().workers) == (7, 5)


def test_a_dot_env_file_may_begin_with_a_byte_order_mark(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PUNNET_QUICK_MS=7\n", "utf-8-sig")
    environment.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert load_settings().quick_ms == 7


def test_a_dot_env_file_that_is_not_utf_8_is_one_line(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("PUNNET_MODELS_DIR=모델\n".encode("euc-kr"))
    environment.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with pytest.raises(SettingsError, match=r"\.env is not UTF-8 text \(byte 19\): save it as UTF-8"):
        load_settings()


def test_links_that_lead_in_a_circle_are_one_line(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    set_variables(environment, STATE_DIR=str(tmp_path / "a"))
    with pytest.raises(SettingsError, match="PUNNET_STATE_DIR"):
        load_settings()


def test_socket_paths_just_fit(environment: pytest.MonkeyPatch) -> None:
    longest = "/" + "x" * (MAX_SOCKET_PATH_BYTES - len("//supervisor.sock"))
    set_variables(environment, STATE_DIR=longest)
    state = load_settings().state
    sockets = [state.queue_socket, *map(state.socket, ("predictors", *ROUTES, *DEVICE_ROUTES.values()))]
    assert max(len(str(path)) for path in sockets) <= MOST_BYTES
    set_variables(environment, STATE_DIR=longest + "x")
    with pytest.raises(SettingsError):
        load_settings()


def test_log_level_all_means_debug(environment: pytest.MonkeyPatch) -> None:
    set_variables(environment, LOG_LEVEL="all")
    assert load_settings().logging_level == "debug"


def test_settings_do_not_change(settings: Settings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 7  # type: ignore[misc]


def test_the_docs_tell_every_setting_and_no_other() -> None:
    documented = set(re.findall(r"PUNNET_([A-Z_]+[A-Z])", (ROOT / "docs" / "api.md").read_text()))
    assert documented == {name.upper() for name in Settings.model_fields} - {"RELOAD"}
