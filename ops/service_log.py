"""The service's log files as one stream, for a service in the foreground; supervisor's own log is not among them."""

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO

FILES = ("access", "error", "predictors", "reloader", "valkey", "worker")
POLL_S = 0.2


class ServiceLog:
    """Copies what is added to the files to standard output, from when it is entered until it is left."""

    def __init__(self, folder: Path) -> None:
        self._followed = [_Followed(folder / f"{name}.log") for name in FILES]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="service-log", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Show what was logged until now, and no more."""
        self._ending.set()
        self._thread.join()

    def _follow(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads it any more
            while not self._ending.wait(POLL_S):
                self._show()
            while self._show():
                continue

    def _show(self) -> bool:
        """Whether anything was new."""
        added = b"".join(followed.added() for followed in self._followed)
        sys.stdout.buffer.write(added)
        sys.stdout.flush()
        return bool(added)


class _Followed:
    """One file, which another process may move away and begin anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = path.open("rb") if path.exists() else None
        if self._file is not None:
            self._file.seek(0, 2)

    def added(self) -> bytes:
        """Whole lines that were added since the last call."""
        text = self._whole_lines()
        if not text and self._is_moved():
            self._open()
            text = self._whole_lines()
        return text

    def _open(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._path.open("rb")

    def _whole_lines(self) -> bytes:
        if self._file is None:
            return b""
        at = self._file.tell()
        text = self._file.read()
        whole = text[:text.rfind(b"\n") + 1]
        self._file.seek(at + len(whole))
        return whole

    def _is_moved(self) -> bool:
        """Whether the path leads to another file by now."""
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return False
        return self._file is None or inode != os.fstat(self._file.fileno()).st_ino
