"""How a prediction that runs in one thread is ended from another."""

from typing import Any, Protocol

from inference.errors import InferenceError


class Terminable(Protocol):
    """onnxruntime's RunOptions: a run looks at its flag between two nodes of the graph."""

    terminate: bool


class Stop:
    """One prediction's. Ending is asked for; the native call ends at its next node, the rest at its next step."""

    def __init__(self) -> None:
        self._reason: InferenceError | None = None
        self._runs: list[Any] = []

    def end(self, reason: InferenceError) -> None:
        """From any thread; the first reason counts, and is what the prediction raises."""
        self._reason = self._reason or reason
        for options in tuple(self._runs):
            options.terminate = True

    def check(self) -> None:
        """Between two steps. Raises the reason."""
        if self._reason is not None:
            raise self._reason

    def begin(self, options: Terminable) -> None:
        """A native run begins: from now on `end` ends it. Raises the reason where it was asked before."""
        self._runs.append(options)
        self.check()

    def finish(self, options: Terminable) -> None:
        self._runs.remove(options)
