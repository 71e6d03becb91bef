"""Poison images of other machines, for the inline calls of this one."""

import threading
import time

from jobs.poison import SharedPoison

EXCHANGE_S = 1.0


class PoisonExchange:
    """The thread of one web process. A machine without workers has no other that learns of them."""

    def __init__(self, shared: SharedPoison) -> None:
        self._shared = shared

    def start(self) -> None:
        """Exchange from now on; after a fork, never before."""
        threading.Thread(target=self._exchange_forever, name="poison", daemon=True).start()

    def _exchange_forever(self) -> None:
        while True:
            time.sleep(EXCHANGE_S)
            self._shared.exchange()
