"""Images that ended two predictors, remembered for an hour: an empty file each, named by size and digest."""

import hashlib
import logging
import time
from contextlib import suppress
from pathlib import Path

REMEMBERED_S = 3600.0
log = logging.getLogger(__name__)


class PoisonImages:
    """What all processes of a machine know of poison images. An image is only digested where one of its size is
    known; it counts for one model, as another may well be able to read it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, fingerprint: str, image: bytes) -> bool:
        """Whether this image ended two predictors that held the model with this fingerprint."""
        return any(file.name == _name(fingerprint, image) and not _is_old(file)
                   for file in self._folder.glob(f"{len(image)}-*"))

    def count(self) -> int:
        """How many images are remembered."""
        return sum(not _is_old(file) for file in self._folder.glob("*"))

    def add(self, fingerprint: str, image: bytes) -> None:
        """Remember an image; forget those that are remembered long enough."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for file in filter(_is_old, self._folder.iterdir()):
                file.unlink(missing_ok=True)
            (self._folder / _name(fingerprint, image)).touch()
        except OSError as error:  # a full disk: it will be found out again
            log.error("a poison image is not remembered: %s", error)


def _name(fingerprint: str, image: bytes) -> str:
    return f"{len(image)}-{hashlib.sha256(fingerprint.encode() + image).hexdigest()}"


def _is_old(file: Path) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - file.stat().st_mtime > REMEMBERED_S
    return True
