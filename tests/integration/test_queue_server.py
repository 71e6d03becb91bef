"""Trouble of the queue server: inline answers go on, jobs are 503 and none is half accepted, and when the trouble is
over, all goes on by itself. One service and two real queue servers serve all tests."""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from jobs import trouble
from jobs.server_check import UnfitServer, warnings
from settings import Settings
from tests.integration.images import leaf, white
from tests.integration.outside import Outside, Relay, make_certificate, outside
from tests.integration.server import Answer, Server, wait_until

NOBODY = 1  # a port


@dataclass
class Service:
    server: Server
    relay: Relay
    first: Outside
    second: Outside

    def post(self, model: str = "strawberry") -> Answer:
        return self.server.predict((white() if model == "sleep2" else leaf()) + uuid.uuid4().bytes, model, mode="async")

    def accepted(self, queue: Outside | None = None) -> int:
        """How many jobs were ever accepted."""
        found: Any = (queue or self.first).client.get("punnet:numbered")
        return int(found or 0)

    def read_so_far(self) -> int:
        """How often a job was read."""
        statistics: Any = self.first.client.info("commandstats")
        return statistics["cmdstat_hgetall"]["calls"]

    def check_goes_on(self, queue: Outside | None = None) -> None:
        """A new job is accepted and answered, and then nothing is counted any more."""
        client: Any = (queue or self.first).client
        job = wait_until(lambda: answer if (answer := self.post()).status == 202 else None, 20).json
        assert self.server.job(job["id"], wait_s=60)["state"] == "succeeded"
        wait_until(lambda: (client.hlen("punnet:callers"), client.llen("rq:queue:punnet")) == (0, 0), 30)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("outside")
    with outside(home / "first") as first, outside(home / "second") as second:
        relay = Relay(first.port)
        server = Server(home, {"MODELS_DIR": models_dir, "WORKERS": 1, "REDIS_URL": f"redis://127.0.0.1:{relay.port}"})
        try:
            server.start()
            yield Service(server, relay, first, second)
        finally:
            server.stop()
            relay.close()


def set_password(first: Outside, password: str) -> None:
    client = first.client
    client.config_set("requirepass", password)
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")


def unset_password(server: Outside, password: str) -> None:
    Redis(port=server.port, password=password).config_set("requirepass", "")


@pytest.mark.parametrize(("begin", "end", "detail"), [
    (lambda first: first.client.config_set("maxmemory", 1), lambda first: first.client.config_set("maxmemory", 0),
     trouble.FULL),
    (lambda first: first.client.replicaof("127.0.0.1", NOBODY), lambda first: first.client.replicaof("NO", "ONE"),
     trouble.READ_ONLY),
    (lambda first: first.client.config_set("min-replicas-to-write", 1),
     lambda first: first.client.config_set("min-replicas-to-write", 0), trouble.READ_ONLY),
    (lambda first: set_password(first, "secret"), lambda first: unset_password(first, "secret"), trouble.REFUSED),
    (lambda first: first.send(signal.SIGSTOP), lambda first: first.send(signal.SIGCONT), trouble.AWAY),
    (lambda first: first.send(signal.SIGKILL), lambda first: first.start(), trouble.AWAY),
], ids=["no memory", "replica", "lacks replicas", "password", "frozen", "killed"])
def test_a_trouble_of_the_queue_server_costs_no_job_and_half_accepts_none(
        service: Service, begin: Callable[[Outside], object], end: Callable[[Outside], object], detail: str) -> None:
    running = service.post("sleep2").json["id"]
    service.server.wait_for_state(running, "processing")
    waited: list[Answer] = []
    waiter = threading.Thread(target=lambda: waited.append(service.server.get(f"/jobs/{running}?wait=60")))
    read = service.read_so_far()
    waiter.start()
    wait_until(lambda: service.read_so_far() >= read + 2, 20)  # it has looked, follows the job, and looked again
    accepted = service.accepted()
    begin(service.first)
    try:
        refused = [service.post() for _ in range(2)]
        inline = service.server.predict(leaf())
        ready = service.server.get("/readyz")
    finally:
        end(service.first)
    assert (inline.status, ready.status) == (200, 200)
    for answer in refused:
        assert answer.is_problem(503, "queue-unavailable"), answer.body
        assert answer.headers["Retry-After"]
    assert refused[-1].json["detail"] == detail
    waiter.join()
    assert (waited[0].status, waited[0].json["state"]) == (200, "succeeded")
    assert service.accepted() == accepted
    service.check_goes_on()


def test_after_a_failover_the_former_primary_is_left(service: Service) -> None:
    """Connections to it last, and it answers: it only takes no writes any more."""
    first, second = service.first, service.second
    second.client.replicaof("127.0.0.1", first.port)
    wait_until(lambda: second.client.info("replication")["master_link_status"] == "up", 20)
    running = service.post("sleep2").json["id"]
    service.server.wait_for_state(running, "processing")
    wait_until(lambda: first.client.wait(1, 1000), 20)
    service.relay.target = second.port
    second.client.replicaof("NO", "ONE")
    first.client.replicaof("127.0.0.1", second.port)
    try:
        assert service.server.job(running, wait_s=60)["state"] == "succeeded"
        service.check_goes_on(second)
    finally:
        service.relay.target = first.port
        first.client.replicaof("NO", "ONE")
        second.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        second.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")


def test_tls_works_with_the_right_authority_and_is_told_otherwise(service: Service, tmp_path: Path) -> None:
    certificate, context = make_certificate(tmp_path)
    tls = Relay(service.first.port, context)
    trusted = f"rediss://127.0.0.1:{tls.port}?ssl_ca_certs={certificate}"
    try:
        assert warnings(Settings(redis_url=trusted)) == []
        with pytest.raises(UnfitServer, match=r"certificate .* is not trusted"):
            warnings(Settings(redis_url=f"rediss://127.0.0.1:{tls.port}"))
        [line] = warnings(Settings(redis_url=f"redis://127.0.0.1:{tls.port}"))
        assert "rediss://" in line
    finally:
        tls.close()
    [line] = warnings(Settings(redis_url=f"rediss://127.0.0.1:{service.first.port}"))
    assert "does it speak TLS?" in line


def test_what_may_cost_jobs_is_told_at_a_start(service: Service) -> None:
    settings, client = Settings(redis_url=f"redis://127.0.0.1:{service.second.port}"), service.second.client
    assert warnings(settings) == []
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.replicaof("127.0.0.1", NOBODY)
    replica, policy = warnings(settings)
    assert ("read-only replica" in replica, "allkeys-lru" in policy) == (True, True)
    client.replicaof("NO", "ONE")
    client.config_set("maxmemory-policy", "noeviction")


def test_a_wrong_password_stops_the_start_with_one_line_that_does_not_tell_it(service: Service,
                                                                              own_server: Server) -> None:
    service.second.client.config_set("requirepass", "right")
    own_server.settings["REDIS_URL"] = f"redis://:wrong-secret@127.0.0.1:{service.second.port}/0"
    done = own_server.start(check=False)
    unset_password(service.second, "right")
    assert done.returncode == 1
    [line] = done.stdout.strip().splitlines()
    assert line.startswith(f"punnet: PUNNET_REDIS_URL: redis://127.0.0.1:{service.second.port}/0 refuses")
    assert "secret" not in line
