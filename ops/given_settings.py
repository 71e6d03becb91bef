"""What stands in the environment and in `.env`, as it was written, for what start and stop say about it."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from dotenv import dotenv_values

from settings import INTERNAL_VARIABLES, PREFIX, ROOT, Settings, SettingsError, resolved


def unknown_variables() -> list[str]:
    """Names in the environment and in `.env` that look like ours but name no setting: probably misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | INTERNAL_VARIABLES
    return sorted(name for name in {*os.environ, *_env_file_values()}
                  if name.upper().startswith(PREFIX) and name.upper() not in known)


def settings_for_a_stop() -> Settings:
    """The state folder alone, unchecked: a setting that was made wrong while the service runs must not keep it from
    being stopped.

    Raises:
        SettingsError: nobody can tell which folder is meant.
    """
    name = f"{PREFIX}STATE_DIR"
    named = os.environ.get(name) or _env_file_values().get(name) or Settings.model_fields["state_dir"].default
    try:
        return Settings.model_construct(state_dir=resolved(ROOT / Path(named).expanduser()))
    except (RuntimeError, ValueError) as error:
        raise SettingsError(f"{name}={named}: {error}") from error


def _env_file_values() -> Mapping[str, str | None]:
    """What `.env` says, as far as it is text."""
    file = cast(Path | None, Settings.model_config["env_file"])
    if file is None or not file.is_file():
        return {}
    return dotenv_values(stream=io.StringIO(file.read_text("utf-8-sig", errors="replace")))
