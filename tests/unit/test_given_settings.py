from pathlib import Path

import pytest

from ops.given_settings import check_env_file, settings_for_a_stop, unknown_variables
from settings import ROOT, Settings, SettingsError


@pytest.fixture
def env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    return tmp_path / ".env"


def test_misspelt_names_are_found_wherever_they_stand(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    for name in ("PUNNET_WORKRES", "PUNNET_WORKERS", "PUNNET_SUPERVISED", "punnet_bind"):
        monkeypatch.setenv(name, "3")
    env_file.write_text("PUNNET_QUIK_MS=1\nexport PUNNET_QUICK_MS=1\n# PUNNET_NOTE=1\nOTHER=1\n")
    assert unknown_variables() == ["PUNNET_QUIK_MS", "PUNNET_WORKRES"]


def test_without_a_dot_env_file_nothing_is_misspelt(env_file: Path) -> None:
    assert unknown_variables() == []


@pytest.mark.parametrize("rest", [b"", b"PUNNET_QUICK_MS=fast\n", "PUNNET_MODELS_DIR=모델\n".encode("euc-kr")])
def test_a_stop_finds_the_state_folder_whatever_else_is_wrong(env_file: Path, tmp_path: Path, rest: bytes) -> None:
    env_file.write_bytes(rest + f"PUNNET_STATE_DIR={tmp_path}/state\n".encode())
    assert settings_for_a_stop().state_dir == tmp_path / "state"


def test_a_stop_takes_the_state_folder_of_the_environment_first(monkeypatch: pytest.MonkeyPatch,
                                                                env_file: Path) -> None:
    env_file.write_text("PUNNET_STATE_DIR=/elsewhere\n")
    monkeypatch.setenv("PUNNET_STATE_DIR", "/" + "x" * 300)
    assert settings_for_a_stop().state_dir == Path("/" + "x" * 300)
    monkeypatch.setenv("PUNNET_STATE_DIR", "")
    assert settings_for_a_stop().state_dir == Path("/elsewhere")


def test_a_stop_takes_the_usual_folder_where_none_is_named(env_file: Path) -> None:
    assert settings_for_a_stop().state_dir == ROOT / "var"


@pytest.mark.parametrize("line", [
    'PUNNET_API_KEYS="phone:secret', "PUNNET_API_KEYS='phone:secret", "PUNNET_API_KEYS: phone:secret",
    "PUNNET_API_KEYS", "export punnet_api_keys phone:secret"])
def test_a_line_of_dot_env_that_sets_nothing_is_refused_without_its_value(env_file: Path, line: str) -> None:
    env_file.write_text(f"# a note\n\nPUNNET_WORKERS=2\n\n{line}\n")
    with pytest.raises(SettingsError, match=r"(?i)^PUNNET_API_KEYS in .*: line 5 is not NAME=value") as refused:
        check_env_file()
    assert "secret" not in str(refused.value)


def test_what_others_read_in_dot_env_is_theirs(env_file: Path) -> None:
    env_file.write_text('export A="1\nB\n\nPUNNET_WORKERS=2\nPUNNET_BIND="127.0.0.1:1" # here\n')
    check_env_file()
