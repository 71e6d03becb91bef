"""Who executes promoted jobs: web processes, each with a name, and with a file of that name that it has locked for as
long as it lives. So the pool of the same machine knows at once which of them has died.
"""

import fcntl
import logging
import os
import time
import uuid
from pathlib import Path

PREFIX = "web."
KEPT_S = 24 * 3600
log = logging.getLogger(__name__)


class Owner:
    """This process, as the owner of what it executes."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the machine's own."""
        self._folder = folder
        self._descriptor = -1
        self.name = f"{PREFIX}{uuid.uuid4().hex}"

    def start(self) -> None:
        """Have a name, and a file, of one's own; after a fork, never before."""
        self.name = f"{PREFIX}{uuid.uuid4().hex}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._folder / self.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._tidy()
        except OSError as error:
            log.warning("if this process dies, its jobs go on only after their heartbeats are missed: %s", error)

    def _tidy(self) -> None:
        """What died yesterday has no job any more."""
        for file in self._folder.iterdir():
            if time.time() - file.stat().st_mtime > KEPT_S and has_died(self._folder, file.name):
                file.unlink(missing_ok=True)


def has_died(folder: Path, name: str) -> bool:
    """Whether an owner of this machine has died; False for those of others, which nobody can tell from here."""
    try:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
