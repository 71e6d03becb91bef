"""Where the server of this machine is reached: as it is told itself, by `PUNNET_BIND`."""

import os
from pathlib import Path

NAME, DEFAULT = "PUNNET_BIND", "127.0.0.1:4958"
ENV_FILE = Path(__file__).resolve().parents[1] / ".env"
ANY_ADDRESS = ("0.0.0.0", "[::]")  # noqa: S104


def own_url(env_file: Path = ENV_FILE) -> str:
    """The environment counts before the file."""
    host, _, port = (os.environ.get(NAME) or _in_file(env_file) or DEFAULT).rpartition(":")
    return f"http://{'127.0.0.1' if host in ANY_ADDRESS else host}:{port}"


def _in_file(env_file: Path) -> str | None:
    if not env_file.is_file():
        return None
    from dotenv import dotenv_values  # most have no such file, and the first image is to be sent soon

    return dotenv_values(env_file, encoding="utf-8-sig").get(NAME)
