"""`python -m ops.reload`: for development. Follows the code's files, restarts what uses them; models are followed by
the service itself."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ops.supervisor import Supervisor
from settings import ROOT, load_settings

POLL_S = 0.5
# Settings are read once: changing them takes a stop and a start.
CODE = ("api", "deliveries", "inference", "jobs", "lifeline.py", "logs.py", "metrics", "predictors", "probes.py",
        "shares.py", "state_dir.py", "version.py", "worker", "wsgi.py")


def main() -> None:
    settings = load_settings()
    known = fingerprint()
    while True:
        time.sleep(POLL_S)
        current = fingerprint()
        if current != known:
            known = current
            print("files changed: reloading", flush=True)
            if settings.is_web:
                Supervisor(settings).signal("gunicorn", "HUP")
            for program in ("predictors", "workers") if settings.runs_jobs else ("predictors",):
                Supervisor(settings).restart(program)


def fingerprint() -> set[tuple[str, int, int]]:
    """Path, time and size of every file that matters."""
    return {(str(path), status.st_mtime_ns, status.st_size) for name in CODE for path, status in _files(ROOT / name)}


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in [root] if root.is_file() else root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # an editor's temporary file
            if path.is_file() and path.suffix != ".pyc":
                yield path, path.stat()


if __name__ == "__main__":
    main()
