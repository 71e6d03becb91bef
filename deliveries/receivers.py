"""How much is told to one receiver at a time: a slow one with a thousand jobs leaves room for others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_A_TIME = 16
# Deliveries in line for a receiver, those that are told included. Of a slow one no more are in line than are told.
IN_LINE, SLOW_S = 256, 1.0
PATIENCE_S = 2.0  # in line: what is not told within the lease of a claim is told by another, too


class _Line:
    def __init__(self) -> None:
        self.length, self.is_slow, self.places = 0, False, asyncio.Semaphore(AT_A_TIME)

    async def take(self) -> bool:
        if self.length > (AT_A_TIME if self.is_slow else IN_LINE):
            return False
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self.places.acquire()
        except TimeoutError:
            self.is_slow = True
            return False


class Receivers:
    """The lines before all receivers that are told something just now. Within an event loop."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def turn(self, receiver: str) -> AsyncIterator[bool]:
        """Whether it is this delivery's turn; where the receiver has too much to hear already, it is to come later."""
        line = self._lines.setdefault(receiver, _Line())
        line.length += 1
        try:
            is_mine, began = await line.take(), asyncio.get_running_loop().time()
            try:
                yield is_mine
            finally:
                if is_mine:
                    line.is_slow = asyncio.get_running_loop().time() - began > SLOW_S
                    line.places.release()
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[receiver]
