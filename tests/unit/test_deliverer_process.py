"""The pool's child that tells receivers of webhooks is replaced when it dies, and that is told."""

from typing import Any, cast

import pytest

from tests.unit.forks import sleep_for_ever
from worker.deliverer import DelivererProcess


def test_one_that_is_killed_is_replaced_and_told_of(monkeypatch: pytest.MonkeyPatch,
                                                    caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(DelivererProcess, "_run", lambda self, pool_pid: sleep_for_ever())
    deliverer = DelivererProcess(cast(Any, None), "pool", cast(Any, None))
    deliverer.keep()
    killed = deliverer._process
    assert killed is not None
    killed.kill()
    killed.join(10)
    deliverer.keep()
    assert deliverer._process is not killed
    deliverer.end()
    assert caplog.messages == [f"the deliverer of webhooks (pid {killed.pid}) was killed by SIGKILL; another takes its "
                               "place, and delivers what it left"]
