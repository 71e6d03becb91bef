"""How predictors died, told by the process that forked them to those who asked them: a file each, for a minute."""

import logging
import signal
import time
from contextlib import suppress
from pathlib import Path

from lifeline import end_in_words, signal_name

KEPT_S = 60.0
TOLD_WITHIN_S = 1.0  # after an asker lost its predictor
LOOK_S = 0.01
DECODED_TOO_LONG = "it decoded an image for longer than its route may be kept"  # by SIGPROF, see decode_limit.py
FROM_OUTSIDE = "from outside"  # killed by a person or a test; nothing says that the image is at fault
REPLACED = "; another takes its place"
log = logging.getLogger(__name__)


class Deaths:
    """What is told of one machine's predictors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._killed_for_memory = _killed_for_memory()

    def note(self, predictor: str, status: int, pid: int, is_replaced: bool) -> None:
        """A predictor ended with this status of `os.waitstatus_to_exitcode`."""
        killed, self._killed_for_memory = self._killed_for_memory, _killed_for_memory()
        by_kernel = self._killed_for_memory > killed
        how = FROM_OUTSIDE if status == -signal.SIGKILL and not by_kernel else _told(status)
        level = logging.INFO if how == DECODED_TOO_LONG else logging.ERROR
        log.log(level, "predictor %s (pid %d) %s%s", predictor, pid, _in_words(status, how),
                REPLACED if is_replaced else "")
        try:
            self._tell(predictor, how)
        except OSError as error:  # a full disk: who asked for it will not blame the image
            log.error("nobody is told how predictor %s died: %s", predictor, error)

    def look(self) -> None:
        """To be repeated: what the kernel killed before a predictor's death was no predictor."""
        self._killed_for_memory = _killed_for_memory()

    def _tell(self, predictor: str, how: str) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for file in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another generation's template tidies up too
                if time.time() - file.stat().st_mtime > KEPT_S:
                    file.unlink()
        partial = self._folder / f"{predictor}.partial"
        partial.write_text(how)
        partial.rename(self._folder / predictor)

    def how(self, predictor: str) -> str | None:
        """How a predictor died whose connection has just closed. None where nobody tells: its template died too, or it
        did not die and only broke off."""
        until = time.monotonic() + TOLD_WITHIN_S
        while time.monotonic() < until:
            try:
                return (self._folder / predictor).read_text()
            except FileNotFoundError:
                time.sleep(LOOK_S)
        return None


def _told(status: int) -> str:
    if status == -signal.SIGPROF:
        return DECODED_TOO_LONG
    return signal_name(-status) if status < 0 else f"exit code {status}"


def _in_words(status: int, how: str) -> str:
    """For the log."""
    for_want_of_memory = status == -signal.SIGKILL and how != FROM_OUTSIDE
    why = {FROM_OUTSIDE: " from outside", DECODED_TOO_LONG: f": {DECODED_TOO_LONG}"}.get(how, "")
    return end_in_words(status) + (" for want of memory" if for_want_of_memory else why)


def _killed_for_memory() -> int:
    """How many processes the kernel has killed because the memory was used up."""
    lines = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return next((int(count) for name, count in lines if name == "oom_kill"), 0)
