"""The README's lines do what they say."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT
from tests.integration.server import Server

README = (ROOT / "README.md").read_text()
LINES = [line for line in re.findall(r"^curl .*$", README, re.MULTILINE) if "HOST" not in line]
COMMANDS = re.findall(r"^\./punnet .*$", README, re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("line", LINES)
def test_a_curl_line_of_the_readme_works(server: Server, line: str) -> None:
    line = line.replace("curl ", "curl -s ").replace("localhost:4958", f"localhost:{server.port}")
    line = re.sub(r"-o \S+$", "-o -", line)
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, check=True)
    if "image/png" in line:
        assert done.stdout.startswith(b"\x89PNG")
        return
    expected = 202 if "mode=async" in line else 415 if "README" in line else 200
    assert json.loads(done.stdout)["status"] == expected


def test_the_readme_has_lines_to_try() -> None:
    assert (len(LINES), len(COMMANDS)) >= (7, 5)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_line_of_the_command_line_works(server: Server, tmp_path: Path, line: str) -> None:
    done = subprocess.run(["bash", "-c", line.replace(" drawings", f" {tmp_path}/drawings")], cwd=ROOT,
                          env=server.environment | {"XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True,
                          check=True)
    assert done.stdout
    if "--draw" in line:
        assert {path.suffix for path in (tmp_path / "drawings").iterdir()} == {".png"}
        assert {json.loads(printed)["status"] for printed in done.stdout.splitlines()} == {200}


def test_the_lines_of_python_work(server: Server) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code.replace("localhost:4958", f"localhost:{server.port}")], cwd=ROOT,
                          capture_output=True, text=True, check=True)
    assert "healthy" in done.stdout


def test_the_korean_readme_has_the_same_code_links_and_headings() -> None:
    korean = (ROOT / "README.ko.md").read_text()
    for pattern in (r"^```.*?^```$", r"(?<=\]\()[^)]+", r"^#+ "):
        here, there = (re.findall(pattern, text, re.MULTILINE | re.DOTALL) for text in (README, korean))
        assert {one for one in here if "README" not in one} == {one for one in there if "README" not in one}
        assert len(here) == len(there)


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_of_the_readme_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
