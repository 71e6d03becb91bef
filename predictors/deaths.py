"""How predictors died, told by the process that forked them to those who asked them: a file each, for a minute."""

import logging
import signal
import time
from contextlib import suppress
from pathlib import Path

KEPT_S = 60.0
TOLD_WITHIN_S = 1.0  # after an asker lost its predictor
LOOK_S = 0.01
DECODED_TOO_LONG = "it decoded an image for longer than its route may be kept"  # by SIGPROF, see decode_limit.py
FROM_OUTSIDE = "from outside"  # killed by a person or a test; nothing says that the image is at fault
log = logging.getLogger(__name__)


class Deaths:
    """What is told of one machine's predictors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._killed_for_memory = _killed_for_memory()

    def note(self, predictor: str, status: int) -> None:
        """A predictor ended with this status of `os.waitstatus_to_exitcode`."""
        killed, self._killed_for_memory = self._killed_for_memory, _killed_for_memory()
        by_kernel = self._killed_for_memory > killed
        how = FROM_OUTSIDE if status == -signal.SIGKILL and not by_kernel else _told(status)
        log.log(logging.INFO if how == DECODED_TOO_LONG else logging.ERROR, "predictor %s died: %s", predictor, how)
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
    return signal.Signals(-status).name if status < 0 else f"exit code {status}"


def _killed_for_memory() -> int:
    """How many processes the kernel has killed because the memory was used up."""
    lines = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return next((int(count) for name, count in lines if name == "oom_kill"), 0)
