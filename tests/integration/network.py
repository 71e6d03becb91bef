"""Machines for a test: network namespaces of this one, joined by a bridge. Root alone may make them."""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.locks import locked

CHANGES = Path(__file__)  # is locked by who changes the machine's links


@dataclass
class Network:
    """Machines by name, each with a link that can be cut."""

    number: int = field(default_factory=lambda: os.getpid() % 250)
    machines: dict[str, str] = field(default_factory=dict)  # name -> address

    @property
    def _bridge(self) -> str:
        return f"punnet{self.number}"

    def namespace(self, name: str) -> str:
        return f"{self._bridge}-{name}"

    def add(self, name: str) -> str:
        """A machine's address."""
        number = len(self.machines) + 1
        link, space = f"{self._bridge}v{number}", self.namespace(name)
        self.machines[name] = f"10.213.{self.number}.{number}"
        _ip("netns", "add", space)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", link, "master", self._bridge, "up")
        _ip("-n", space, "addr", "add", f"{self.machines[name]}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", space, "link", "set", device, "up")
        return self.machines[name]

    def cut(self, name: str) -> None:
        """Nothing reaches the machine any more, and nobody hears that it is gone."""
        self._set_link(name, "down")

    def join(self, name: str) -> None:
        self._set_link(name, "up")

    def _set_link(self, name: str, state: str) -> None:
        _ip("link", "set", f"{self._bridge}v{list(self.machines).index(name) + 1}", state)


def unchanged() -> contextlib.AbstractContextManager[None]:
    """Meanwhile no test changes the machine's links: Chromium gives up its requests when it sees new ones."""
    return locked(CHANGES, fcntl.LOCK_SH)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Of no machines yet. Skips a test where it cannot be made."""
    with locked(CHANGES, fcntl.LOCK_EX):
        yield from _made(Network())


def _made(made: Network) -> Iterator[Network]:
    try:
        _ip("link", "add", made._bridge, "type", "bridge")
        _ip("addr", "add", f"10.213.{made.number}.254/24", "dev", made._bridge)
        _ip("link", "set", made._bridge, "up")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"machines need root, iproute2 and network namespaces: {error}")
    try:
        yield made
    finally:
        for name in made.machines:
            _ip("netns", "del", made.namespace(name))
        _ip("link", "del", made._bridge)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
