"""The files of deploy/: what can be checked without the machines that they are for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from settings import PREFIX, ROOT, Settings

DEPLOY = ROOT / "deploy"
MOST_EXPOSED = 30  # of 100, as systemd reckons it


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the paths and the user of this machine."""
    text = (DEPLOY / "punnet.service").read_text().replace("/opt/punnet", str(ROOT)).replace("=punnet", "=root", 1)
    file = tmp_path / "punnet.service"
    file.write_text(text)
    return file


@needs("systemd-analyze")
def test_systemd_knows_every_line_of_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


@needs("systemd-analyze")
def test_the_unit_lets_the_service_do_little_else(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", unit],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@needs("nginx")
def test_nginx_reads_the_example(tmp_path: Path) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=punnet", "-keyout",
                    tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem"], capture_output=True, check=True)
    site = (DEPLOY / "nginx.conf").read_text().replace("/etc/letsencrypt/live/punnet.example.org", str(tmp_path))
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {site} }}")
    done = subprocess.run(["nginx", "-t", "-e", tmp_path / "log", "-c", config], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", sorted(DEPLOY.iterdir()), ids=lambda file: file.name)
def test_every_setting_that_is_named_exists(file: Path) -> None:
    named = set(re.findall(rf"\b{PREFIX}([A-Z_]+)", file.read_text()))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_what_the_container_copies_exists() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.M)
    assert all((ROOT / name).exists() for names in copied for name in names.split())
