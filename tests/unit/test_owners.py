import os
import subprocess
import sys
from pathlib import Path

from jobs.owners import Owner, has_died
from settings import ROOT

LIVE = """
import sys, time
from pathlib import Path
from jobs.owners import Owner
owner = Owner(Path(sys.argv[1]))
owner.start()
print(owner.name, flush=True)
time.sleep(60)
"""


def test_the_death_of_an_owner_is_seen_at_once(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LIVE, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert not has_died(tmp_path, name)
        process.kill()
        process.wait()
    assert has_died(tmp_path, name)
    assert has_died(tmp_path, name)


def test_of_another_machines_owner_nothing_is_known(tmp_path: Path) -> None:
    assert not has_died(tmp_path, Owner(tmp_path / "elsewhere").name)
    assert not has_died(tmp_path, "")
    assert not has_died(tmp_path / "no-folder", "web.1")


def test_each_process_has_a_name_of_its_own(tmp_path: Path) -> None:
    """What was made before a fork is the same in all."""
    owner = Owner(tmp_path)
    before = owner.name
    owner.start()
    assert owner.name != before


def test_files_of_those_who_died_long_ago_go(tmp_path: Path) -> None:
    first, old, new = Owner(tmp_path), tmp_path / "web.old", tmp_path / "web.new"
    first.start()
    for file in (old, new):
        file.touch()
    for file in (old, tmp_path / first.name):
        os.utime(file, (0, 0))
    second = Owner(tmp_path)
    second.start()
    assert {file.name for file in tmp_path.iterdir()} == {new.name, first.name, second.name}


def test_an_owner_lives_without_its_file_where_there_is_no_room(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    owner = Owner(tmp_path / "file" / "folder")
    owner.start()
    assert not has_died(tmp_path / "file" / "folder", owner.name)
