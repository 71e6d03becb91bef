"""What native libraries write to standard error while a predictor works: libtiff has a line for each odd tag.

It goes to a file in memory, of which the log gets the beginning, with the request that it is about.
"""

import fcntl
import logging
import os

STANDARD_ERROR = 2
LOGGED_BYTES, LAST_WORDS_BYTES = 1_000, 10_000
log = logging.getLogger(__name__)


class LibraryOutput:
    """Belongs to one predictor; the process that forked it has it too, and reads what a dying predictor said."""

    def __init__(self) -> None:
        self._file = os.memfd_create("punnet-stderr")
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)

    def capture(self) -> None:
        """In the predictor's process: from now on standard error is this file."""
        os.dup2(self._file, STANDARD_ERROR)

    def log_for(self, whom: str, most_bytes: int = LOGGED_BYTES) -> None:
        """Log what came since the last time, at most so much of it, and forget it."""
        size = os.fstat(self._file).st_size
        if not size:
            return
        text = os.pread(self._file, most_bytes, 0).decode("utf-8", "replace")
        os.ftruncate(self._file, 0)
        more = f" … ({size} bytes in all)" if size > most_bytes else ""
        log.warning("%s: a library says: %s%s", whom, " | ".join(text.split("\n")), more)

    def close(self) -> None:
        """In the process that forked the predictor."""
        os.close(self._file)
