"""`python -m ops.reload`: for development. Follows the files of code and models, restarts what uses them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from ops.supervisor import Supervisor
from settings import ROOT, Settings, load_settings

POLL_S = 0.5
CODE = ("api", "inference", "jobs", "worker", "gunicorn", "settings.py", "wsgi.py", ".env")


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
        if path.is_file() and path.suffix not in (".pyc", ".log"):
            yield path, path.stat()


if __name__ == "__main__":
    main()
