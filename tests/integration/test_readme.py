"""The README's lines do what they say."""

import json
import re
import shutil
import subprocess

import pytest

from settings import ROOT
from tests.integration.server import Server

README = (ROOT / "README.md").read_text()
LINES = [line for line in re.findall(r"^curl .*$", README, re.MULTILINE) if "HOST" not in line]


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
    assert len(LINES) >= 7


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_of_the_readme_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
