"""How long an inline route may decode one image: those behind it wait."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from inference.errors import SlowToDecode

Check = Callable[[], None]
# Decoding that ends between two pieces of the file is to do so before the kernel ends the process.
LAST_MOMENT = 1.2


@dataclass(frozen=True)
class DecodeLimit:
    """Milliseconds of a core. Decoding that goes on beyond them ends between two pieces of the file; where it is one
    call into a library, the kernel ends the process by SIGPROF, and another predictor takes its place."""

    core_ms: float

    @contextmanager
    def __call__(self, check: Check) -> Iterator[Check]:
        """Gives a check that also raises SlowToDecode; the clocks count the whole process."""
        until = time.process_time() + self.core_ms / 1000

        def limited() -> None:
            check()
            if time.process_time() > until:
                raise SlowToDecode(f"decoding the image takes more than {self.core_ms:g} ms")

        signal.setitimer(signal.ITIMER_PROF, LAST_MOMENT * self.core_ms / 1000)
        try:
            yield limited
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def limit_of(group: str, inline_budget_ms: float) -> DecodeLimit | None:
    """A quick image may keep the others waiting for the inline budget, a long one for that much more than it may be
    predicted to take. A job may decode as long as it may run."""
    limits_ms = {"quick": inline_budget_ms, "long": 2 * inline_budget_ms}
    return DecodeLimit(limits_ms[group]) if limits_ms.get(group) else None
