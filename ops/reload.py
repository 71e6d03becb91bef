"""`python -m ops.reload`: for development. Follows the files of code and models, restarts what uses them."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ops.supervisor import Supervisor
from settings import ROOT, Settings, load_settings

POLL_S = 0.5
# Settings are read once: changing them takes a stop and a start.
CODE = ("api", "inference", "jobs", "worker", "wsgi.py")


def main() -> None:
    settings = load_settings()
    known = fingerprint(settings)
    while True:
        time.sleep(POLL_S)
        current = fingerprint(settings)
        if current != known:
            known = current
            print("files changed: reloading", flush=True)
            Supervisor(settings).signal("gunicorn", "HUP")
            Supervisor(settings).restart("workers")


def fingerprint(settings: Settings) -> set[tuple[str, int, int]]:
    """Path, time and size of every file that matters."""
    roots = [*(ROOT / name for name in CODE), settings.models_dir]
    return {(str(path), status.st_mtime_ns, status.st_size) for root in roots for path, status in _files(root)}


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in [root] if root.is_file() else root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # an editor's temporary file
            if path.is_file() and path.suffix != ".pyc":
                yield path, path.stat()


if __name__ == "__main__":
    main()
