"""How a running prediction is ended from another thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from inference.errors import InferenceError


class Terminable(Protocol):
    """onnxruntime's RunOptions: a run looks at this flag between two nodes of the graph."""

    terminate: bool


class CallOff:
    """Belongs to one prediction. A native run ends at its next node, everything else at its next step."""

    def __init__(self) -> None:
        self._reason: InferenceError | None = None
        self._runs: list[Any] = []

    def now(self, reason: InferenceError) -> None:
        """Call the prediction off, from any thread; it raises the first reason that was given."""
        self._reason = self._reason or reason
        for options in tuple(self._runs):
            options.terminate = True

    def check(self) -> None:
        """Raise the reason, if there is one; to be called between two steps."""
        if self._reason is not None:
            raise self._reason

    @contextmanager
    def ending(self, options: Terminable) -> Iterator[None]:
        """While a native run with these options lasts, `now` ends it too."""
        self._runs.append(options)
        try:
            self.check()
            yield
        finally:
            self._runs.remove(options)
