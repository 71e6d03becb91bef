"""The running supervisord, over its socket. The only import of supervisor."""

import os
import sys
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport

from settings import ROOT, Settings

# http.client's and the socket's own errors, and the answers of a supervisord that is about to end.
UNREACHABLE = (OSError, Fault)
MODULE = "supervisor.supervisord"


def command(foreground: bool) -> list[str]:
    """How to start supervisord; its configuration must be named by an absolute path."""
    as_root = ["-u", "root"] if os.geteuid() == 0 else []  # not asked to stay root, it warns that it does
    return [sys.executable, "-m", MODULE, "-c", str(ROOT / "supervisord.conf"), *as_root,
            *(["-n", "-s"] if foreground else [])]


class Supervisor:
    """What start and stop need of it. Every call raises one of UNREACHABLE where it does not answer."""

    def __init__(self, settings: Settings) -> None:
        transport = SupervisorTransport(None, None, f"unix://{settings.state_dir / 'supervisor.sock'}")
        self._rpc: Any = ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def is_running(self) -> bool:
        try:
            return self._rpc.getState()["statename"] == "RUNNING"
        except UNREACHABLE:
            return False

    def pids(self) -> dict[str, int]:
        """Program -> pid, 0 where it does not run."""
        return {info["name"]: info["pid"] for info in self._rpc.getAllProcessInfo()}

    def stop(self, program: str, wait: bool) -> None:
        """Also where it has ended already."""
        try:
            self._rpc.stopProcess(program, wait)
        except Fault as fault:
            if fault.faultCode != Faults.NOT_RUNNING:
                raise

    def restart(self, program: str) -> None:
        self.stop(program, wait=True)
        self._rpc.startProcess(program, False)

    def signal(self, program: str, name: str) -> None:
        self._rpc.signalProcess(program, name)

    def shutdown(self) -> None:
        """Stop all programs, the one started last first, and end."""
        self._rpc.shutdown()
