"""A store that is a folder on a disk: beside the embedded queue server, or one that several machines share."""

import contextlib
import os
import uuid
from pathlib import Path

from jobs.errors import NotStored, StoreAway
from jobs.room import Room
from jobs.stores.contract import ENDED, FOLDERS, Entry

PARTIAL = ".partial"


class FolderStore:
    """One file for each name. Not synced to the disk: it outlives every process of ours, as the queue itself does."""

    listing_s = 2.0  # looking at thousands of small files takes longer than a job on one of them

    def __init__(self, root: Path, room: Room | None = None) -> None:
        self._root, self._room = root, room or Room(root, root / ENDED)

    def make_folders(self) -> None:
        """At the start alone: a shared folder that is not mounted any more is not to be made on the disk below it."""
        for folder in FOLDERS:
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    def put(self, name: str, data: bytes) -> None:
        """Raises OSError, also where accepted jobs need what is left of the disk."""
        self._room.check(len(data))
        partial = self._root / f"{name}.{uuid.uuid4().hex}{PARTIAL}"
        try:
            partial.write_bytes(data)
            partial.rename(self._root / name)
        except OSError:
            with contextlib.suppress(OSError):  # the first one says what is wrong
                partial.unlink(missing_ok=True)
            raise

    def get(self, name: str) -> bytes:
        path = self._root / name
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            if not path.parent.is_dir():
                raise StoreAway(f"{path.parent} is gone") from error
            raise NotStored(f"nothing is stored as {name}") from error

    def rename(self, name: str, to: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._root / name).rename(self._root / to)

    def delete(self, *names: str) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    def entries(self, folder: str) -> list[Entry]:
        """What was left half written has a name too, by which it can be deleted."""
        now_s, found = self._now_s(folder), []
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # its job ended meanwhile
                    status = entry.stat()
                    found.append(Entry(entry.name, status.st_size, now_s - status.st_mtime))
        return sorted(found, key=lambda entry: -entry.age_s)

    def memory_bytes(self) -> int:
        return 0

    def make_room(self) -> int | None:
        return None if self._room.make() else self._room.free_bytes()

    def _now_s(self, folder: str) -> float:
        """The time of the machine that has the disk, which stamps what is changed there; it takes no room."""
        os.utime(self._root / folder)
        return (self._root / folder).stat().st_mtime
