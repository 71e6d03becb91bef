"""What stands in the environment and in `.env`, as it was written, for what start and stop say about it."""

import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from settings import INTERNAL_VARIABLES, PREFIX, ROOT, Settings, SettingsError, resolved

# One of our settings at the begin of a line.
NAME = re.compile(rf"\s*(?:export\s+)?({PREFIX}\w*)", re.IGNORECASE)


def unknown_variables() -> list[str]:
    """Names in the environment and in `.env` that look like ours but name no setting: probably misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | INTERNAL_VARIABLES
    return sorted(name for name in {*os.environ, *_env_file_values()}
                  if name.upper().startswith(PREFIX) and name.upper() not in known)


def warn_of_misspelt() -> None:
    """A line for each on the standard error."""
    for name in unknown_variables():
        print(f"punnet: {name} is no setting; is it misspelt?", file=sys.stderr)


def check_env_file() -> None:
    """A line that is none would be passed over, and with it a key, or whatever else it sets.

    Raises:
        SettingsError: one line that names it, and not its value, which may be a secret.
    """
    for binding in parse_stream(io.StringIO(_env_file_text())):
        name = NAME.match(binding.original.string)
        if name and (binding.error or binding.value is None):
            line = binding.original.line + name[0].count("\n")  # it is told with the empty lines before it
            raise SettingsError(f"{name[1]} in {Settings.model_config['env_file']}: line {line} is not NAME=value; "
                                "what begins with a quote has to end with it")


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
    return dotenv_values(stream=io.StringIO(_env_file_text()))


def _env_file_text() -> str:
    file = cast(Path | None, Settings.model_config["env_file"])
    return "" if file is None or not file.is_file() else file.read_text("utf-8-sig", errors="replace")
