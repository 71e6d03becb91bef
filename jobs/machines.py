"""The worker machines of an installation, by their heartbeats: how many workers they have, and which models.

A machine is a pool of workers. Its heartbeat is a key that the queue server forgets after a while. Machines mostly have
the same models, so that a list of models is written down once for all of them, under its digest.
"""

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from rq import Queue

from jobs.keys import key

# A set of the machines' names, a key for each machine, and one for each list of models.
MACHINES, MACHINE, MODELS = "machines", "machine:", "models:"
KNOWN, KNOWN_S = "known-models", 7 * 24 * 3600  # a set of the names and fingerprints that machines had
SIGN_S = 3  # between two heartbeats of a machine
SIGN_TTL_S = 15
LOOK_S = 1.0  # what a process knows of the machines is no older
Models = Mapping[str, str]  # what callers may call a model -> its fingerprint


@dataclass(frozen=True)
class Machine:
    """`name` is its pool's, `host` what its owner calls it."""

    name: str
    host: str
    workers: int
    models: Models


def may_run(held: str | None, wanted: str, elsewhere: Collection[str], was_known: bool) -> bool:
    """Whether a machine may run a job that was accepted for the files `wanted` of a model.

    Args:
        held: what the machine has under the model's name.
        wanted: "" for a job that does not say it.
        elsewhere: what the other machines have under the name.
        was_known: a worker machine has had the wanted files, so that they are not yet to come. Once they are gone
            everywhere, those that took their place will do.
    """
    return held is not None and (held == wanted or (wanted not in elsewhere and (was_known or not wanted)))


def say_alive(queue: Queue, machine: Machine) -> None:
    """A machine's heartbeat. Raises RedisError."""
    models = json.dumps(machine.models, sort_keys=True)
    digest = hashlib.sha256(models.encode()).hexdigest()[:16]
    sign = json.dumps({"host": machine.host, "workers": machine.workers, "models": digest})
    known = [f"{name} {fingerprint}" for name, fingerprint in machine.models.items()]
    with queue.connection.pipeline(transaction=False) as pipeline:
        if known:
            pipeline.sadd(key(queue.name, KNOWN), *known)
            pipeline.expire(key(queue.name, KNOWN), KNOWN_S)
        pipeline.set(key(queue.name, MODELS + digest), models, ex=2 * SIGN_TTL_S)
        pipeline.set(key(queue.name, MACHINE + machine.name), sign, ex=SIGN_TTL_S)
        pipeline.sadd(key(queue.name, MACHINES), machine.name)
        pipeline.execute()


def say_gone(queue: Queue, name: str) -> None:
    """A machine takes no more jobs. Raises RedisError."""
    queue.connection.delete(key(queue.name, MACHINE + name))
    queue.connection.srem(key(queue.name, MACHINES), name)


class Machines:
    """The living machines, as one process sees them. `own` is the name of this process's machine, which knows better
    what it has itself."""

    def __init__(self, queue: Queue, own: str = "") -> None:
        self._queue, self._own = queue, own
        self._models: dict[str, Models] = {}  # by digest
        self._seen: list[Machine] = []
        self._looked_at = float("-inf")

    def workers(self) -> int:
        """Of all machines together; 1 where there is none, so that one can reckon with it. Raises RedisError."""
        return max(1, sum(machine.workers for machine in self.living()))

    def may_run(self, held: str | None, model_type: str, wanted: str) -> bool:
        """Whether a machine that has the files `held` may run a job that was accepted for others. Raises RedisError."""
        if held in (None, wanted):
            return held is not None
        return may_run(held, wanted, self._fingerprints(model_type), self._was_known(model_type, wanted))

    def missing(self, model_type: str, wanted: str) -> str:
        """What a job has to wait for beside its turn; "" for nothing. Raises RedisError."""
        if not self.living():
            return "a worker machine: none is running"
        held = self._fingerprints(model_type)
        if not held:
            return f"a worker machine that serves model '{model_type}'"
        if any(self.may_run(one, model_type, wanted) for one in held):
            return ""
        return f"a worker machine that has the files of model '{model_type}' for which the job was accepted"

    def living(self) -> list[Machine]:
        """Raises RedisError."""
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._seen, self._looked_at = self._read(), time.monotonic()
        return self._seen

    def _fingerprints(self, model_type: str) -> set[str]:
        """What the machines, but this one, have under a model's name."""
        return {machine.models[model_type] for machine in self.living()
                if machine.name != self._own and model_type in machine.models}

    def _was_known(self, model_type: str, wanted: str) -> bool:
        return bool(self._queue.connection.sismember(key(self._queue.name, KNOWN), f"{model_type} {wanted}"))

    def _read(self) -> list[Machine]:
        client = self._queue.connection
        names = sorted(name.decode() for name in cast(set[bytes], client.smembers(key(self._queue.name, MACHINES))))
        if not names:
            return []
        signs = cast(list[bytes | None], client.mget([key(self._queue.name, MACHINE + name) for name in names]))
        found = {name: json.loads(sign) for name, sign in zip(names, signs, strict=True) if sign is not None}
        if dead := set(names) - found.keys():
            client.srem(key(self._queue.name, MACHINES), *dead)
        self._learn_models({sign["models"] for sign in found.values()})
        return [self._machine(name, sign) for name, sign in found.items()]

    def _machine(self, name: str, sign: Mapping[str, Any]) -> Machine:
        return Machine(name, sign["host"], sign["workers"], self._models[sign["models"]])

    def _learn_models(self, digests: set[str]) -> None:
        """Read the lists that are new here, and forget those that nobody has any more."""
        known = {digest: self._models[digest] for digest in digests & self._models.keys()}
        for digest in digests - known.keys():
            text = cast(bytes | None, self._queue.connection.get(key(self._queue.name, MODELS + digest)))
            known[digest] = json.loads(text or b"{}")
        self._models = known
