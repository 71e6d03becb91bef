"""Images that ended two predictors, remembered for an hour: an empty file each, named by size and digest."""

import hashlib
import logging
import os
import time
from collections.abc import Mapping
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
            for file in filter(_is_old, self._files()):
                file.unlink(missing_ok=True)
            self._remember(_name(fingerprint, image), 0.0)
        except OSError as error:  # a full disk: it will be found out again
            log.error("a poison image is not remembered: %s", error)

    def ages_s(self) -> dict[str, float]:
        """The names of all images that are remembered, and for how many seconds already."""
        ages = {file.name: _age_s(file) for file in self._files()}
        return {name: age_s for name, age_s in ages.items() if age_s <= REMEMBERED_S}

    def learn(self, ages_s: Mapping[str, float]) -> None:
        """Remember what another machine told, for the rest of the time."""
        try:
            for name, age_s in ages_s.items():
                self._remember(name, age_s)
        except OSError as error:  # a full disk: the other machine tells it again
            log.error("poison images of other machines are not remembered: %s", error)

    def _remember(self, name: str, age_s: float) -> None:
        """The file appears with its age, as others may look at it in every moment."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        partial, moment = self._folder / f".{name}.{os.getpid()}", time.time() - age_s
        partial.touch()
        os.utime(partial, (moment, moment))
        partial.replace(self._folder / name)

    def _files(self) -> list[Path]:
        return list(self._folder.glob("[0-9]*-*"))


def _name(fingerprint: str, image: bytes) -> str:
    return f"{len(image)}-{hashlib.sha256(fingerprint.encode() + image).hexdigest()}"


def _is_old(file: Path) -> bool:
    return _age_s(file) > REMEMBERED_S


def _age_s(file: Path) -> float:
    with suppress(FileNotFoundError):
        return max(0.0, time.time() - file.stat().st_mtime)
    return float("inf")
